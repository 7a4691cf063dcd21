"""Challenges: what was asked of somebody in the middle of a login, and whether it was answered.

The client holds a handle (an `oob_code`, or the random challenge of a security key); only its digest is kept here.
A state changes by one conditional UPDATE, so of parallel answers one counts.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    ForeignKey,
    Index,
    Table,
    Text,
    bindparam,
    func,
    insert,
    select,
)
from sqlalchemy import update as _update

from app.store.base import UTCDateTime, metadata, row_of, value_of, won

challenges = Table(
    "challenges",
    metadata,
    Column("id", Text, primary_key=True),
    Column("handle_digest", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("authenticator_id", Text, ForeignKey("authenticators.id", ondelete="CASCADE")),
    Column("transaction_id", Text, nullable=False),
    Column("secret_digest", Text),
    Column("details", JSON, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False, index=True),
    Column("settled_at", UTCDateTime),
    Column("polled_at", UTCDateTime),
)
_C = challenges.c
Index("ix_challenges_authenticator", _C.authenticator_id, _C.created_at)


@dataclass(frozen=True)
class Challenge:
    id: str
    handle_digest: str = field(repr=False)
    kind: str
    user_id: str
    authenticator_id: str | None
    """None where any of a person's security keys may answer."""
    transaction_id: str
    created_at: datetime
    expires_at: datetime
    secret_digest: str | None = field(default=None, repr=False)
    details: dict[str, Any] = field(default_factory=dict)
    """What only the factor reads."""
    state: str = "open"
    """`open`, then `approved` or `rejected` by a device; at last `used`, or `void` when a newer one took its place."""
    settled_at: datetime | None = None
    polled_at: datetime | None = None


_BY_HANDLE = select(challenges).where(_C.handle_digest == bindparam("digest"))
_BY_ID = select(challenges).where(_C.id == bindparam("challenge_id"))
_SETTLE = (
    _update(challenges)
    .where(_C.id == bindparam("challenge_id"), _C.state.in_(bindparam("of", expanding=True)))
    .where(_C.expires_at > bindparam("at"))
    .values(state=bindparam("to"), settled_at=bindparam("at"))
)
_POLL = (
    _update(challenges)
    .where(_C.id == bindparam("challenge_id"))
    .where(_C.polled_at.is_(None) | (_C.polled_at <= bindparam("before")))
    .values(polled_at=bindparam("at"))
)


def find_challenge(conn: Connection, handle_digest: str) -> Challenge | None:
    row = conn.execute(_BY_HANDLE, {"digest": handle_digest}).first()
    return value_of(Challenge, row) if row else None


def find_challenge_by_id(conn: Connection, challenge_id: str) -> Challenge | None:
    row = conn.execute(_BY_ID, {"challenge_id": challenge_id}).first()
    return value_of(Challenge, row) if row else None


def add_challenge(conn: Connection, challenge: Challenge) -> None:
    """Add it in the place of those that the same login has open for that device, or another of its kind."""
    older = (
        (_C.user_id == challenge.user_id)
        & (_C.transaction_id == challenge.transaction_id)
        & ((_C.kind == challenge.kind) | (_C.authenticator_id == challenge.authenticator_id))
        & _C.state.in_(("open", "approved"))
    )
    conn.execute(_update(challenges).where(older).values(state="void", settled_at=challenge.created_at))
    conn.execute(insert(challenges).values(**row_of(challenge)))


def _settle(conn: Connection, challenge_id: str, of: tuple[str, ...], to: str, now: datetime) -> bool:
    values = {"challenge_id": challenge_id, "of": list(of), "to": to, "at": now}
    return won(conn.execute(_SETTLE, values))


def answer_challenge(conn: Connection, challenge_id: str, to: str, now: datetime) -> bool:
    """A device says `approved` or `rejected`: its first word counts."""
    return _settle(conn, challenge_id, ("open",), to, now)


def consume_challenge(conn: Connection, challenge_id: str, now: datetime, *, of: str = "open") -> bool:
    """Whether this caller is the one that may complete a login with it."""
    return _settle(conn, challenge_id, (of,), "used", now)


def void_challenge(conn: Connection, challenge_id: str, now: datetime) -> bool:
    """Nobody may answer it any more."""
    return _settle(conn, challenge_id, ("open",), "void", now)


def note_poll(conn: Connection, challenge_id: str, now: datetime, before: datetime) -> bool:
    """Whether nobody else has asked since `before`."""
    return won(conn.execute(_POLL, {"challenge_id": challenge_id, "at": now, "before": before}))


def count_unanswered(conn: Connection, authenticator_id: str, since: datetime) -> tuple[int, datetime | None]:
    """How many challenges of an authenticator led to nothing since its last success, and when the newest was made."""
    last_used = select(func.max(_C.created_at)).where(
        _C.authenticator_id == authenticator_id, _C.state == "used"
    )
    newest_used = conn.execute(last_used).scalar() or since
    found = select(func.count(), func.max(_C.created_at)).where(
        _C.authenticator_id == authenticator_id, _C.created_at > max(since, newest_used)
    )
    row = conn.execute(found).one()
    return int(row[0]), row[1]
