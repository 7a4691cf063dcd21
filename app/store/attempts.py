"""Spent attempts: wrong passwords in a row per person and address.

Everything here is one conditional statement, because what is read first and written later lets parallel guesses
through. An attempt is counted as *pending* before the password is looked at and becomes a failure, or nothing,
afterwards; one whose process died stays counted and turns into a failure by itself.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import (
    Column,
    Connection,
    Integer,
    Table,
    Text,
    bindparam,
    case,
    delete,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from app.store.base import UTCDateTime, metadata

FORGOTTEN_AFTER = timedelta(days=30)  # without a further failure
STALE_AFTER = timedelta(seconds=60)  # far above the time any attempt may take: its process is gone

password_attempts = Table(
    "password_attempts",
    metadata,
    Column("key", Text, primary_key=True),
    Column("realm_id", Text, nullable=False),
    Column("identity", Text, nullable=False, index=True),
    Column("identifier", Text, nullable=False),
    Column("ip", Text, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("pending", Integer, nullable=False),
    Column("reserved_at", UTCDateTime, nullable=False),
    Column("failed_at", UTCDateTime, nullable=False, index=True),
)


@dataclass(frozen=True)
class Attempts:
    """Wrong passwords in a row: `failures` are known, `pending` are being looked at."""

    failures: int
    pending: int


_P = password_attempts.c
_insert = insert(password_attempts)
_is_forgotten = _P.failed_at < bindparam("forgotten_before")
_is_stale = _P.reserved_at < bindparam("stale_before")
_RESERVE = _insert.on_conflict_do_update(
    index_elements=[_P.key],
    set_={
        "failures": case((_is_forgotten, 0), (_is_stale, _P.failures + _P.pending), else_=_P.failures),
        "pending": case((or_(_is_forgotten, _is_stale), 1), else_=_P.pending + 1),
        "reserved_at": _insert.excluded.reserved_at,
        "failed_at": case((_is_forgotten, _insert.excluded.failed_at), else_=_P.failed_at),
    },
    where=or_(_is_forgotten, _P.failures + _P.pending < bindparam("cap")),
).returning(_P.failures, _P.pending)
_LOOK = select(_P.failures, _P.pending, _P.reserved_at).where(_P.key == bindparam("attempt_key"))
_one_less = case((_P.pending > 0, _P.pending - 1), else_=0)
_of_key = update(password_attempts).where(_P.key == bindparam("attempt_key"))
_FAIL = _of_key.values(failures=_P.failures + 1, pending=_one_less, failed_at=bindparam("at")).returning(
    _P.failures
)
_RELEASE = _of_key.values(pending=_one_less)
_CLEAR = _of_key.values(failures=0)
_SUCCEED = _of_key.values(failures=0, pending=_one_less)


def reserve_password_attempt(
    conn: Connection,
    *,
    key: str,
    realm_id: str,
    identity: str,
    identifier: str,
    ip: str,
    cap: int,
    now: datetime,
) -> bool:
    """Count an attempt unless the cap is reached, failures and pending ones together."""
    values = {
        "key": key,
        "realm_id": realm_id,
        "identity": identity,
        "identifier": identifier,
        "ip": ip,
        "failures": 0,
        "pending": 1,
        "reserved_at": now,
        "failed_at": now,
        "cap": cap,
        "forgotten_before": now - FORGOTTEN_AFTER,
        "stale_before": now - STALE_AFTER,
    }
    return conn.execute(_RESERVE, values).first() is not None


def find_password_attempts(conn: Connection, key: str, now: datetime) -> Attempts:
    row = conn.execute(_LOOK, {"attempt_key": key}).first()
    if row is None:
        return Attempts(0, 0)
    if row.reserved_at < now - STALE_AFTER:
        return Attempts(row.failures + row.pending, 0)
    return Attempts(row.failures, row.pending)


def fail_password_attempt(conn: Connection, key: str, now: datetime) -> int:
    """Returns how many there are now; none where somebody has forgotten them meanwhile."""
    return int(conn.execute(_FAIL, {"attempt_key": key, "at": now}).scalar() or 0)


def release_password_attempt(conn: Connection, key: str) -> None:
    """The password was right, but that alone forgives nothing: only issued tokens do (`clear_…`)."""
    conn.execute(_RELEASE, {"attempt_key": key})


def succeed_password_attempt(conn: Connection, key: str) -> None:
    """The password was right and tokens are issued: the attempt is taken back, earlier failures are forgiven."""
    conn.execute(_SUCCEED, {"attempt_key": key})


def clear_password_failures(conn: Connection, key: str) -> None:
    conn.execute(_CLEAR, {"attempt_key": key})


@dataclass(frozen=True)
class Block:
    identifier: str
    ip: str


def list_blocks(conn: Connection, identity: str, cap: int, now: datetime) -> list[Block]:
    """From which addresses an identity has reached the cap."""
    over = (_P.identity == identity) & (_P.failures >= cap) & (_P.failed_at >= now - FORGOTTEN_AFTER)
    rows = conn.execute(select(_P.identifier, _P.ip).where(over).order_by(_P.ip))
    return [Block(row.identifier, row.ip) for row in rows]


def remove_password_attempts(conn: Connection, identity: str) -> int:
    """Unblock: forget every failure of a person or name, from wherever it came."""
    return int(conn.execute(delete(password_attempts).where(_P.identity == identity)).rowcount)
