"""Enrolled devices and codes. One table for every kind: sealed secret, details that only the factor reads, counter.

`counter` only moves forward: the time step of a one-time password, the signature count of a security key. Keys that
are kept in step over several devices do not count, theirs stays 0.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Connection,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    bindparam,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from app.store.base import BigId, UTCDateTime, metadata, row_of, value_of, won

FAILURE_CAP = 50  # consecutive wrong proofs after which the authenticator is disabled; NIST 3.2.2 permits 100

authenticators = Table(
    "authenticators",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("name", Text),
    Column("sealed_secret", Text),
    Column("code_digest", Text),
    Column("credential_id", Text, unique=True, index=True),
    Column("details", JSON, nullable=False),
    Column("counter", BigId, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("transaction_id", Text),
    Column("created_at", UTCDateTime, nullable=False),
    Column("confirmed_at", UTCDateTime),
    Column("disabled_at", UTCDateTime),
    Column("last_used_at", UTCDateTime),
)
_C = authenticators.c
_is_code = _C.kind == "recovery_code"
_is_confirmed_code = _is_code & _C.confirmed_at.is_not(None)
# One confirmed code a person; one that waits a login: somebody else's login must not put its code in the place of mine.
Index(
    "ix_authenticators_one_recovery_code",
    _C.user_id,
    unique=True,
    sqlite_where=_is_confirmed_code,
    postgresql_where=_is_confirmed_code,
)
Index(
    "ix_authenticators_one_pending_code",
    _C.user_id,
    _C.transaction_id,
    unique=True,
    sqlite_where=_is_code,
    postgresql_where=_is_code,
)

# For the purge of those that nobody confirmed.
_is_pending = _C.confirmed_at.is_(None)
Index("ix_authenticators_pending", _C.created_at, sqlite_where=_is_pending, postgresql_where=_is_pending)


@dataclass(frozen=True)
class Authenticator:
    id: str
    user_id: str
    kind: str
    created_at: datetime
    name: str | None = None
    sealed_secret: str | None = field(default=None, repr=False)
    code_digest: str | None = field(default=None, repr=False)
    credential_id: str | None = None
    """The name that a security key gave itself, unlike any other's; base64url."""
    details: dict[str, object] = field(default_factory=dict)
    counter: int = 0
    failures: int = 0
    transaction_id: str | None = None
    """The login in which it was enrolled and by which alone it can be confirmed."""
    confirmed_at: datetime | None = None
    disabled_at: datetime | None = None
    last_used_at: datetime | None = None

    @property
    def is_active(self) -> bool:
        return self.confirmed_at is not None and self.disabled_at is None


_OF_USER = (
    select(authenticators)
    .where(authenticators.c.user_id == bindparam("user_id"))
    .order_by(authenticators.c.created_at, authenticators.c.id)
)


def list_authenticators(conn: Connection, user_id: str) -> list[Authenticator]:
    return [value_of(Authenticator, row) for row in conn.execute(_OF_USER, {"user_id": user_id})]


def list_of_many(conn: Connection, user_ids: list[str]) -> dict[str, tuple[Authenticator, ...]]:
    found: dict[str, tuple[Authenticator, ...]] = {}
    for row in conn.execute(select(authenticators).where(_C.user_id.in_(user_ids)).order_by(_C.created_at)):
        found[row.user_id] = (*found.get(row.user_id, ()), value_of(Authenticator, row))
    return found


def list_enrolled(conn: Connection, user_ids: Iterable[str]) -> set[str]:
    """Who of these people has a confirmed second factor."""
    of_them = _C.user_id.in_(list(user_ids)) & _C.confirmed_at.is_not(None) & (_C.kind != "recovery_code")
    return set(conn.execute(select(_C.user_id).where(of_them).distinct()).scalars())


def add_authenticator(conn: Connection, authenticator: Authenticator) -> None:
    conn.execute(insert(authenticators).values(**row_of(authenticator)))


def add_first_recovery_code(conn: Connection, code: Authenticator) -> bool:
    """Add the code that comes with the first factor. False when the person has one, or was shown one in this login."""
    has_one = select(_C.id).where(_C.user_id == code.user_id, _is_confirmed_code)
    if conn.execute(has_one).first() is not None:
        return False
    values = row_of(code)
    once = upsert(authenticators).values(**values).on_conflict_do_nothing().returning(_C.id)
    return conn.execute(once).first() is not None


def replace_recovery_code(conn: Connection, code: Authenticator, now: datetime) -> None:
    conn.execute(delete(authenticators).where(_C.user_id == code.user_id, _C.kind == code.kind))
    add_authenticator(conn, replace(code, confirmed_at=now))


def drop_oldest_pending(conn: Connection, added: Authenticator, limit: int) -> None:
    """Keep `limit` of a person's unconfirmed ones, the one just added in any case.

    Of those added before the clock was set back each looks newer.
    """
    is_pending = _C.confirmed_at.is_(None) & (_C.kind != "recovery_code")
    others = (_C.user_id == added.user_id) & (_C.id != added.id) & is_pending
    newest = select(_C.id).where(others).order_by(_C.created_at.desc(), _C.id).limit(limit - 1)
    conn.execute(delete(authenticators).where(others, _C.id.not_in(newest)))


def find_by_device(conn: Connection, device_id: str, prefixes: Iterable[str]) -> Authenticator | None:
    """By its whole id, or by the part behind the kind: the guardian's vocabulary names devices alone."""
    ids = [f"{prefix}|{device_id}" for prefix in prefixes] + [device_id]
    row = conn.execute(select(authenticators).where(_C.id.in_(ids))).first()
    return value_of(Authenticator, row) if row else None


def save_device(conn: Connection, device: Authenticator) -> bool:
    """Write what a device says of itself. False when it is gone."""
    said = {
        "name": device.name,
        "details": device.details,
        "sealed_secret": device.sealed_secret,
        "code_digest": device.code_digest,
    }
    return won(conn.execute(update(authenticators).where(_C.id == device.id).values(**said)))


def rename_authenticator(conn: Connection, authenticator_id: str, name: str) -> None:
    conn.execute(update(authenticators).where(_C.id == authenticator_id).values(name=name))


def prefer_kind(conn: Connection, authenticator_id: str, kind: str) -> None:
    """The same device, by another way to it."""
    conn.execute(update(authenticators).where(_C.id == authenticator_id).values(kind=kind))


def remove_authenticator(conn: Connection, user_id: str, authenticator_id: str) -> bool:
    match = (authenticators.c.id == authenticator_id) & (authenticators.c.user_id == user_id)
    return won(conn.execute(delete(authenticators).where(match)))


def remove_pending_code(conn: Connection, user_id: str, transaction_id: str | None) -> None:
    """The recovery code that a login was shown, unless it waits for another authenticator of that login."""
    of_login = (_C.user_id == user_id) & (_C.transaction_id == transaction_id) & _C.confirmed_at.is_(None)
    if conn.execute(select(_C.id).where(of_login, ~_is_code)).first() is None:
        conn.execute(delete(authenticators).where(of_login, _is_code))


def remove_authenticators(conn: Connection, user_id: str, kinds: Collection[str] = ()) -> list[str]:
    """Remove all of a person's, or those of some kinds; returns the kinds that were confirmed."""
    gone = delete(authenticators).where(authenticators.c.user_id == user_id)
    if kinds:
        gone = gone.where(_C.kind.in_(kinds))
    return [r.kind for r in conn.execute(gone.returning(authenticators)) if r.confirmed_at is not None]


_SPEND = (
    update(authenticators)
    .where(
        authenticators.c.id.in_(bindparam("ids", expanding=True)),
        authenticators.c.failures < bindparam("cap"),
        authenticators.c.disabled_at.is_(None),
    )
    .values(failures=authenticators.c.failures + 1)
    .returning(authenticators.c.id)
)
_DISABLE = (
    update(authenticators)
    .where(
        authenticators.c.id.in_(bindparam("ids", expanding=True)),
        authenticators.c.failures >= bindparam("cap"),
        authenticators.c.disabled_at.is_(None),
    )
    .values(disabled_at=bindparam("now"))
)
_GIVE_BACK = (
    update(authenticators)
    .where(authenticators.c.id.in_(bindparam("ids", expanding=True)), authenticators.c.failures > 0)
    .values(failures=authenticators.c.failures - 1)
)


def spend_guess(conn: Connection, ids: Iterable[str]) -> set[str]:
    """Count one guess at each of these before it is looked at; returns those that may still be tried."""
    return set(conn.execute(_SPEND, {"ids": list(ids), "cap": FAILURE_CAP}).scalars())


def disable_exhausted(conn: Connection, ids: Iterable[str], now: datetime) -> None:
    conn.execute(_DISABLE, {"ids": list(ids), "cap": FAILURE_CAP, "now": now})


def disable_authenticator(conn: Connection, authenticator_id: str, now: datetime) -> None:
    """It proves nothing any more, and still counts as enrolled."""
    is_it = (_C.id == authenticator_id) & _C.disabled_at.is_(None)
    conn.execute(update(authenticators).where(is_it).values(disabled_at=now))


def give_back_guess(conn: Connection, ids: Sequence[str]) -> None:
    if ids:
        conn.execute(_GIVE_BACK, {"ids": list(ids)})


def _use(*conditions: ColumnElement[bool], **changes: object):  # type: ignore[no-untyped-def]
    """An authenticator proved itself: forget the failures, confirm it when this was its first success."""
    return (
        update(authenticators)
        .where(_C.id == bindparam("authenticator_id"), _C.disabled_at.is_(None), *conditions)
        .values(failures=0, last_used_at=bindparam("at"), confirmed_at=bindparam("confirmed"), **changes)
    )


_PROVE = _use()
_is_uncounted = (_C.counter == 0) & (_C.counter == bindparam("to"))
_ADVANCE = _use((_C.counter < bindparam("to")) | _is_uncounted, counter=bindparam("to"))
_REGISTER = _use(
    _C.confirmed_at.is_(None),
    credential_id=bindparam("credential"),
    details=bindparam("facts", type_=JSON),
    counter=bindparam("to"),
)
_REPLACE = _use(
    _C.confirmed_at.is_not(None),
    _C.code_digest == bindparam("old_digest"),
    code_digest=bindparam("new_digest"),
)


def use_authenticator(conn: Connection, authenticator: Authenticator, now: datetime) -> bool:
    """It proved itself by something that is used up elsewhere. False when it is disabled or gone."""
    confirmed = authenticator.confirmed_at or now
    values = {"authenticator_id": authenticator.id, "at": now, "confirmed": confirmed}
    return won(conn.execute(_PROVE, values))


def advance_counter(conn: Connection, authenticator: Authenticator, to: int, now: datetime) -> bool:
    """Use up a time step or signature count: only the first of parallel uses wins, and nothing earlier ever."""
    confirmed = authenticator.confirmed_at or now
    values = {"authenticator_id": authenticator.id, "to": to, "at": now, "confirmed": confirmed}
    return won(conn.execute(_ADVANCE, values))


def register_credential(
    conn: Connection,
    authenticator: Authenticator,
    credential_id: str,
    details: dict[str, object],
    counter: int,
    now: datetime,
) -> bool:
    """Confirm a security key with what it told of itself. False where it was confirmed, disabled or removed.

    Raises IntegrityError where somebody has a key of that name.
    """
    values = {
        "authenticator_id": authenticator.id,
        "credential": credential_id,
        "facts": details,
        "to": counter,
        "at": now,
        "confirmed": now,
    }
    return won(conn.execute(_REGISTER, values))


def find_by_credential(conn: Connection, credential_id: str) -> Authenticator | None:
    row = conn.execute(select(authenticators).where(_C.credential_id == credential_id)).first()
    return value_of(Authenticator, row) if row else None


def note_details(conn: Connection, authenticator_id: str, details: dict[str, object]) -> None:
    conn.execute(update(authenticators).where(_C.id == authenticator_id).values(details=details))


def consume_code(conn: Connection, authenticator: Authenticator, new_digest: str, now: datetime) -> bool:
    """Exchange a recovery code for its successor: only the first of parallel uses wins."""
    values = {
        "authenticator_id": authenticator.id,
        "old_digest": authenticator.code_digest,
        "new_digest": new_digest,
        "at": now,
        "confirmed": authenticator.confirmed_at,
    }
    return won(conn.execute(_REPLACE, values))


def confirm_recovery_code(conn: Connection, user_id: str, transaction_id: str | None, now: datetime) -> None:
    """The code that came with the first factor counts from the moment that factor has proven itself.

    Only the one that this login was shown: codes shown to other logins, which knew no more than the password, go.
    """
    waiting = (_C.user_id == user_id) & _is_code & _C.confirmed_at.is_(None)
    conn.execute(
        update(authenticators).where(waiting, _C.transaction_id == transaction_id).values(confirmed_at=now)
    )
    conn.execute(delete(authenticators).where(waiting))
