"""Leaking buckets: one mechanism for everything that somebody may do only so often.

Each use pours in one, and time lets it leak out. A look and its count are one conditional statement, because what is
read first and written later lets parallel uses through.
"""

from datetime import datetime

from sqlalchemy import Column, Connection, Float, Table, Text, bindparam, case, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from app.store.base import UTCDateTime, metadata

buckets = Table(
    "buckets",
    metadata,
    Column("key", Text, primary_key=True),
    Column("level", Float, nullable=False),
    Column("updated_seconds", Float, nullable=False),
    Column("empty_at", UTCDateTime, nullable=False, index=True),
)
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
_LEVEL = select(_B.level, _B.updated_seconds).where(_B.key == bindparam("bucket"))
_GIVE_BACK = (
    update(buckets)
    .where(_B.key == bindparam("bucket"))
    .values(level=case((_B.level > 1, _B.level - 1), else_=0.0))
)


def spend(conn: Connection, key: str, *, size: int, refill_seconds: float, now: datetime) -> float | None:
    """Count a use. Returns None when there was room for it, else the seconds until there is."""
    seconds = now.timestamp()
    full = datetime.fromtimestamp(seconds + size * refill_seconds, now.tzinfo)
    values = {
        "key": key,
        "level": 1.0,
        "updated_seconds": seconds,
        "empty_at": full,
        "now_seconds": seconds,
        "refill_seconds": refill_seconds,
        "size": float(size),
    }
    if size >= 1 and conn.execute(_SPEND, values).first() is not None:
        return None
    row = conn.execute(_LEVEL, {"bucket": key}).first()
    if row is None:
        return refill_seconds
    left = row.level - max(0.0, seconds - row.updated_seconds) / refill_seconds
    return float(max(1.0, (left + 1 - size) * refill_seconds))


def give_back(conn: Connection, key: str) -> None:
    """The use does not count, but forgives no earlier one."""
    conn.execute(_GIVE_BACK, {"bucket": key})


def empty(conn: Connection, key: str) -> None:
    conn.execute(delete(buckets).where(_B.key == key))
