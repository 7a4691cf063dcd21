"""Refresh tokens: one row a login, not a token.

A family knows the digest of its newest token and of that one's parent. Rotation is one conditional UPDATE, so that of
parallel uses exactly one wins; whatever else is presented under the family's handle is a token used before, or an
attack. Older tokens need no rows of their own to be recognised.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    bindparam,
    delete,
    insert,
    or_,
    select,
    update,
)

from app.store.base import UTCDateTime, metadata, row_of, value_of, won
from app.store.users import User, users

LONGEST_LEEWAY = timedelta(seconds=60)  # what a client may be given at most
ACTIVE_LIMIT = 200  # refresh tokens of one person in one application; the oldest falls out

# No foreign key to the user: a token of a deleted person is told apart from an unknown one.
refresh_families = Table(
    "refresh_families",
    metadata,
    Column("handle_digest", Text, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("realm_id", Text, nullable=False),
    Column("client_id", Text, nullable=False),
    Column("audience", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("gty", JSON, nullable=False),
    Column("methods", JSON, nullable=False),
    Column("current_digest", Text, nullable=False),
    Column("parent_digest", Text),
    Column("sealed_successor", Text),
    Column("generation", Integer, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("rotated_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime),
    Column("idle_expires_at", UTCDateTime),
    Column("initial_ip", Text),
    Column("initial_user_agent", Text),
    Column("last_ip", Text),
    Column("last_user_agent", Text),
    Column("labels", JSON),
    Column("is_rotating", Boolean, nullable=False),
    Column("revoked_at", UTCDateTime),
    Index("ix_refresh_families_user_client", "user_id", "client_id", "created_at"),
    Index("ix_refresh_families_expires_at", "expires_at"),
    Index("ix_refresh_families_idle_expires_at", "idle_expires_at"),
)


_has_successor = refresh_families.c.sealed_successor.is_not(None)
# For the purge, which must find the few without looking at all.
Index(
    "ix_refresh_families_successors",
    refresh_families.c.rotated_at,
    sqlite_where=_has_successor,
    postgresql_where=_has_successor,
)


@dataclass(frozen=True)
class RefreshFamily:
    handle_digest: str
    user_id: str
    realm_id: str
    client_id: str
    audience: str
    scope: str
    gty: tuple[str, ...]
    methods: tuple[tuple[str, int], ...]
    current_digest: str = field(repr=False)
    created_at: datetime
    rotated_at: datetime
    expires_at: datetime | None
    idle_expires_at: datetime | None
    parent_digest: str | None = field(default=None, repr=False)
    sealed_successor: str | None = field(default=None, repr=False)
    generation: int = 0
    revoked_at: datetime | None = None
    initial_ip: str | None = None
    initial_user_agent: str | None = None
    last_ip: str | None = None
    last_user_agent: str | None = None
    labels: dict[str, str] | None = None
    """The management API's `refresh_token_metadata`."""
    is_rotating: bool = True


@dataclass(frozen=True)
class Seen:
    """When and from where a token was used."""

    now: datetime
    ip: str
    user_agent: str


_F = refresh_families.c
_BY_HANDLE = select(refresh_families).where(_F.handle_digest == bindparam("handle"))
_HOLD = _BY_HANDLE.with_for_update()
_WITH_USER = (
    select(*(column.label(f"family_{column.name}") for column in _F), users)
    .select_from(refresh_families.outerjoin(users, users.c.id == _F.user_id))
    .where(_F.handle_digest == bindparam("handle"))
)
_ADD = insert(refresh_families)
_IS_LIVE = (
    _F.revoked_at.is_(None),
    or_(_F.expires_at.is_(None), _F.expires_at > bindparam("now")),
    or_(_F.idle_expires_at.is_(None), _F.idle_expires_at > bindparam("now")),
)
_ROTATE = (
    update(refresh_families)
    .where(_F.handle_digest == bindparam("handle"), _F.current_digest == bindparam("old"), *_IS_LIVE)
    .values(
        current_digest=bindparam("new"),
        parent_digest=bindparam("old"),
        sealed_successor=bindparam("sealed"),
        generation=_F.generation + 1,
        rotated_at=bindparam("now"),
        idle_expires_at=bindparam("idle"),
        last_ip=bindparam("ip"),
        last_user_agent=bindparam("user_agent"),
    )
)
_TOUCH = (
    update(refresh_families)
    .where(_F.handle_digest == bindparam("handle"), *_IS_LIVE)
    .values(
        idle_expires_at=bindparam("idle"),
        rotated_at=bindparam("now"),
        last_ip=bindparam("ip"),
        last_user_agent=bindparam("user_agent"),
    )
)
_REVOKE = (
    update(refresh_families)
    .where(_F.handle_digest == bindparam("handle"), _F.revoked_at.is_(None))
    .values(revoked_at=bindparam("now"), sealed_successor=None)
)
# The one that is added stays in any case: of those added before the clock was set back each looks newer.
_OTHERS = (
    _F.user_id == bindparam("user_id"),
    _F.client_id == bindparam("client_id"),
    _F.handle_digest != bindparam("added"),
)
_NEWEST = select(_F.handle_digest).where(*_OTHERS).order_by(_F.created_at.desc()).limit(ACTIVE_LIMIT - 1)
_DROP_OLDEST = delete(refresh_families).where(*_OTHERS, _F.handle_digest.not_in(_NEWEST))


def hold_family(conn: Connection, handle_digest: str) -> RefreshFamily | None:
    """The family as it is now, and nobody else changes it until the transaction ends."""
    row = conn.execute(_HOLD, {"handle": handle_digest}).first()
    return value_of(RefreshFamily, row) if row else None


def find_family_with_user(conn: Connection, handle_digest: str) -> tuple[RefreshFamily | None, User | None]:
    """The family and its person, who may have been deleted."""
    row = conn.execute(_WITH_USER, {"handle": handle_digest}).first()
    if row is None:
        return None, None
    return value_of(RefreshFamily, row, "family_"), value_of(User, row) if row.id is not None else None


def add_family(conn: Connection, family: RefreshFamily) -> None:
    values = row_of(family)
    conn.execute(_ADD, values)
    others = {"user_id": family.user_id, "client_id": family.client_id, "added": family.handle_digest}
    conn.execute(_DROP_OLDEST, others)


def rotate_family(
    conn: Connection,
    handle_digest: str,
    *,
    old: str,
    new: str,
    sealed_successor: str | None,
    idle_expires_at: datetime | None,
    seen: Seen,
) -> bool:
    """Put the successor in the place of the newest token; only the first of parallel uses wins."""
    values = {
        "handle": handle_digest,
        "old": old,
        "new": new,
        "sealed": sealed_successor,
        "idle": idle_expires_at,
        **row_of(seen),
    }
    return won(conn.execute(_ROTATE, values))


def touch_family(conn: Connection, handle_digest: str, idle_expires_at: datetime | None, seen: Seen) -> bool:
    """A use without rotation; False when the family was revoked or has run out meanwhile."""
    return won(conn.execute(_TOUCH, {"handle": handle_digest, "idle": idle_expires_at, **row_of(seen)}))


def revoke_family(conn: Connection, handle_digest: str, now: datetime) -> bool:
    return won(conn.execute(_REVOKE, {"handle": handle_digest, "now": now}))


def revoke_families(conn: Connection, user_id: str, now: datetime) -> int:
    """End every family of a person; returns how many were still live."""
    live = (_F.user_id == user_id) & _F.revoked_at.is_(None)
    result = conn.execute(update(refresh_families).where(live).values(revoked_at=now, sealed_successor=None))
    return int(result.rowcount)


def revoke_families_of_client(conn: Connection, client_id: str, now: datetime) -> None:
    live = (_F.client_id == client_id) & _F.revoked_at.is_(None)
    conn.execute(update(refresh_families).where(live).values(revoked_at=now, sealed_successor=None))


def revoke_families_of_realm(conn: Connection, realm_id: str, now: datetime) -> None:
    live = (_F.realm_id == realm_id) & _F.revoked_at.is_(None)
    conn.execute(update(refresh_families).where(live).values(revoked_at=now, sealed_successor=None))


def find_family(conn: Connection, handle_digest: str) -> RefreshFamily | None:
    row = conn.execute(_BY_HANDLE, {"handle": handle_digest}).first()
    return value_of(RefreshFamily, row) if row else None


def list_families(
    conn: Connection,
    *,
    user_id: str,
    client_id: str | None = None,
    now: datetime,
    limit: int,
    after: str = "",
) -> list[RefreshFamily]:
    """Of a person, those still good, in order of handles; with `after`, those behind that one."""
    found = select(refresh_families).where(_F.user_id == user_id, _F.handle_digest > after, *_IS_LIVE)
    if client_id is not None:
        found = found.where(_F.client_id == client_id)
    rows = conn.execute(found.order_by(_F.handle_digest).limit(limit), {"now": now})
    return [value_of(RefreshFamily, row) for row in rows]


def revoke_where(
    conn: Connection, now: datetime, *, user_id: str | None = None, client_id: str | None = None
) -> int:
    """End the families of a person, of an application, or of one in the other; returns how many were live."""
    ending = update(refresh_families).where(_F.revoked_at.is_(None))
    if user_id is not None:
        ending = ending.where(_F.user_id == user_id)
    if client_id is not None:
        ending = ending.where(_F.client_id == client_id)
    return int(conn.execute(ending.values(revoked_at=now, sealed_successor=None)).rowcount)


def label_family(conn: Connection, handle_digest: str, labels: dict[str, str]) -> None:
    conn.execute(update(refresh_families).where(_F.handle_digest == handle_digest).values(labels=labels))


def forget_successors(conn: Connection, before: datetime) -> None:
    """Successors are kept open to the leeway only; this removes those of families that nobody used since."""
    old = _F.sealed_successor.is_not(None) & (_F.rotated_at < before)
    conn.execute(update(refresh_families).where(old).values(sealed_successor=None))
