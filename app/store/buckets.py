"""Leaking buckets: one mechanism for everything that somebody may do only so often.

Each use pours in one, and time lets it leak out. A look and its count are one conditional statement, because what is
read first and written later lets parallel uses through.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    Column,
    Connection,
    Float,
    Integer,
    Table,
    Text,
    bindparam,
    case,
    delete,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from app.store.base import UTCDateTime, metadata

buckets = Table(
    "buckets",
    metadata,
    Column("key", Text, primary_key=True),
    Column("level", Float, nullable=False),
    Column("updated_seconds", Float, nullable=False),
    Column("empty_at", UTCDateTime, nullable=False, index=True),
    # Of the level, what may yet be taken back.
    Column("pending", Integer, nullable=False, server_default="0"),
)
UNLIMITED = 1e15  # a bucket that is only watched
STALE_SECONDS = 60.0  # far above the time any use may take: its process is gone, and what it poured in stays
_B = buckets.c
_pour = insert(buckets)
_now = bindparam("now_seconds", type_=Float)
_elapsed = case((_now > _B.updated_seconds, _now - _B.updated_seconds), else_=0.0)
_leaked = _B.level - _elapsed / bindparam("refill_seconds", type_=Float)
_left = case((_leaked > 0, _leaked), else_=0.0)
_SPEND = _pour.on_conflict_do_update(
    index_elements=[_B.key],
    # Of two servers whose clocks differ, the earlier one must not let the same time leak twice.
    set_={
        "level": _left + 1,
        "updated_seconds": _B.updated_seconds + _elapsed,
        "empty_at": _pour.excluded.empty_at,
    },
    where=_left + 1 <= bindparam("size", type_=Float),
).returning(_B.level)
_is_stale = _now - _B.updated_seconds > STALE_SECONDS
_HOLD = _pour.on_conflict_do_update(
    index_elements=[_B.key],
    set_={
        "level": _left + 1,
        "pending": case((_is_stale, 1), else_=_B.pending + 1),
        "updated_seconds": _B.updated_seconds + _elapsed,
        "empty_at": _pour.excluded.empty_at,
    },
    where=_left + 1 <= bindparam("size", type_=Float),
).returning(_B.level)
_one_less = case((_B.pending > 0, _B.pending - 1), else_=0)
_of_bucket = update(buckets).where(_B.key == bindparam("bucket"))
_KEEP = _of_bucket.values(pending=_one_less).returning(_B.level, _B.pending)
_RELEASE = _of_bucket.values(pending=_one_less, level=case((_B.level > 1, _B.level - 1), else_=0.0))
_LEVEL = select(_B.level, _B.updated_seconds, _B.pending).where(_B.key == bindparam("bucket"))
_GIVE_BACK = (
    update(buckets)
    .where(_B.key == bindparam("bucket"))
    .values(level=case((_B.level > 1, _B.level - 1), else_=0.0))
)


def spend(conn: Connection, key: str, *, size: int, refill_seconds: float, now: datetime) -> float | None:
    """Count a use. Returns None when there was room for it, else the seconds until there is."""
    if size >= 1 and conn.execute(_SPEND, _poured(key, size, refill_seconds, now)).first() is not None:
        return None
    if size < 1:
        return refill_seconds
    left = look(conn, key, refill_seconds=refill_seconds, now=now).level
    return float(max(1.0, (left + 1 - size) * refill_seconds))


def _poured(key: str, size: float, refill_seconds: float, now: datetime) -> dict[str, object]:
    seconds = now.timestamp()
    return {
        "key": key,
        "level": 1.0,
        "updated_seconds": seconds,
        "empty_at": datetime.fromtimestamp(seconds + size * refill_seconds, now.tzinfo),
        "now_seconds": seconds,
        "refill_seconds": refill_seconds,
        "size": float(size),
    }


@dataclass(frozen=True)
class Level:
    level: float
    """What has not leaked out yet, pending uses included."""
    pending: int


def look(conn: Connection, key: str, *, refill_seconds: float, now: datetime) -> Level:
    row = conn.execute(_LEVEL, {"bucket": key}).first()
    if row is None:
        return Level(0.0, 0)
    elapsed = max(0.0, now.timestamp() - row.updated_seconds)
    is_stale = elapsed > STALE_SECONDS
    return Level(max(0.0, row.level - elapsed / refill_seconds), 0 if is_stale else row.pending)


def hold(
    conn: Connection, key: str, *, size: int, refill_seconds: float, now: datetime, is_limited: bool = True
) -> bool:
    """Count a use that is not decided yet, if there is room for it. One whose process dies stays counted."""
    values = _poured(key, size, refill_seconds, now) | ({} if is_limited else {"size": UNLIMITED})
    return conn.execute(_HOLD, values | {"pending": 1}).first() is not None


def keep(conn: Connection, key: str) -> float:
    """The use counts. Returns the level of all that count for certain."""
    row = conn.execute(_KEEP, {"bucket": key}).first()
    return 0.0 if row is None else float(row.level - row.pending)


def release(conn: Connection, key: str) -> None:
    """The use does not count."""
    conn.execute(_RELEASE, {"bucket": key})


def give_back(conn: Connection, key: str) -> None:
    """The use does not count, but forgives no earlier one."""
    conn.execute(_GIVE_BACK, {"bucket": key})


def empty(conn: Connection, key: str) -> None:
    conn.execute(delete(buckets).where(_B.key == key))
