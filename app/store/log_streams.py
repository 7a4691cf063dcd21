"""Log streams: where events are sent, and how far each one got.

The events themselves are the outbox. A stream keeps the id of the last event that its sink took, and is worked on
by whoever holds its lease; both change only in conditional statements that name the lease.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Integer,
    Table,
    Text,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from app.store.base import BigId, UTCDateTime, metadata, row_of, value_of, won
from app.store.events import events

log_streams = Table(
    "log_streams",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("is_priority", Boolean, nullable=False),
    Column("filters", JSON, nullable=False),
    Column("pii", JSON, nullable=False),
    Column("sink", JSON, nullable=False),
    Column("sealed_secrets", Text),
    Column("created_at", UTCDateTime, nullable=False),
    Column("cursor", BigId, nullable=False),
    Column("lease", Text),
    Column("leased_until", UTCDateTime),
    Column("retry_at", UTCDateTime),
    Column("failing_since", UTCDateTime),
    Column("failures", Integer, nullable=False),
    Column("problem", Text),
)
_S = log_streams.c


@dataclass(frozen=True)
class LogStream:
    id: str
    name: str
    type: str
    status: str
    """`active`, `paused` by an administrator, or `suspended` because its sink failed for long."""
    created_at: datetime
    cursor: int
    """The last event that the sink has, or that the stream does not want."""
    is_priority: bool = False
    filters: tuple[str, ...] = ()
    """Categories of events; empty: all."""
    pii: dict[str, Any] = field(default_factory=dict)
    sink: dict[str, Any] = field(default_factory=dict)
    sealed_secrets: str | None = field(default=None, repr=False)
    lease: str | None = None
    leased_until: datetime | None = None
    retry_at: datetime | None = None
    failing_since: datetime | None = None
    failures: int = 0
    problem: str | None = None
    """Why the last delivery failed, in a word."""


_BY_ID = select(log_streams).where(_S.id == bindparam("id"))


def find_log_stream(conn: Connection, stream_id: str) -> LogStream | None:
    row = conn.execute(_BY_ID, {"id": stream_id}).first()
    return value_of(LogStream, row) if row else None


def list_log_streams(conn: Connection) -> list[LogStream]:
    found = select(log_streams).order_by(_S.created_at, _S.id)
    return [value_of(LogStream, row) for row in conn.execute(found)]


def count_log_streams(conn: Connection) -> int:
    return int(conn.execute(select(func.count()).select_from(log_streams)).scalar_one())


def add_log_stream(conn: Connection, stream: LogStream) -> None:
    conn.execute(insert(log_streams).values(**row_of(stream)))


def update_log_stream(conn: Connection, stream_id: str, **changed: Any) -> None:
    """What an administrator changes, never the cursor: a delivery may be moving it."""
    if changed:
        conn.execute(update(log_streams).where(_S.id == stream_id).values(**changed))


def remove_log_stream(conn: Connection, stream_id: str) -> bool:
    return won(conn.execute(delete(log_streams).where(_S.id == stream_id)))


# --- delivery ------------------------------------------------------------------------------------------------------


def _is_due(now: datetime):  # type: ignore[no-untyped-def]
    is_free = or_(_S.lease.is_(None), _S.leased_until <= now)
    is_time = or_(_S.retry_at.is_(None), _S.retry_at <= now)
    return (_S.status == "active") & is_free & is_time


def list_due(conn: Connection, now: datetime) -> list[LogStream]:
    """Streams that nobody works on although there are events for them; those with priority first."""
    newest = select(func.max(events.c.id)).scalar_subquery()
    found = select(log_streams).where(_is_due(now), _S.cursor < newest)
    rows = conn.execute(found.order_by(_S.is_priority.desc(), _S.cursor))
    return [value_of(LogStream, row) for row in rows]


def take_lease(conn: Connection, stream_id: str, lease: str, now: datetime, until: datetime) -> bool:
    """Whether this caller is the one who delivers now."""
    free = (_S.id == stream_id) & _is_due(now)
    return won(conn.execute(update(log_streams).where(free).values(lease=lease, leased_until=until)))


def advance_cursor(conn: Connection, stream_id: str, lease: str, cursor: int, until: datetime) -> bool:
    """The sink has everything up to there. False: the lease went to somebody else, or the stream is gone."""
    mine = (_S.id == stream_id) & (_S.lease == lease) & (_S.cursor < cursor)
    fine = {"failures": 0, "failing_since": None, "retry_at": None, "problem": None}
    return won(
        conn.execute(update(log_streams).where(mine).values(cursor=cursor, leased_until=until, **fine))
    )


def release_lease(conn: Connection, stream_id: str, lease: str) -> bool:
    mine = (_S.id == stream_id) & (_S.lease == lease)
    return won(conn.execute(update(log_streams).where(mine).values(lease=None, leased_until=None)))


def put_off(
    conn: Connection, stream_id: str, lease: str, problem: str, *, now: datetime, retry_at: datetime
) -> bool:
    """A delivery failed: wait, and remember since when."""
    mine = (_S.id == stream_id) & (_S.lease == lease)
    values: dict[str, Any] = {
        "lease": None,
        "leased_until": None,
        "failures": _S.failures + 1,
        "failing_since": func.coalesce(_S.failing_since, now),
        "retry_at": retry_at,
        "problem": problem,
    }
    return won(conn.execute(update(log_streams).where(mine).values(**values)))


def suspend(conn: Connection, stream_id: str, failing_since: datetime) -> bool:
    """Whether this caller suspended it: nothing does that twice for one failure."""
    same = (_S.id == stream_id) & (_S.status == "active") & (_S.failing_since == failing_since)
    return won(conn.execute(update(log_streams).where(same).values(status="suspended")))
