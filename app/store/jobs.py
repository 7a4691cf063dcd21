"""Work that outlives a request: imports and exports of people. Who holds a job is told by one conditional update.

An import's file is sealed, because it holds hashes and factor secrets, and goes when the job ends. What a job yields
(rejected records, an exported file) lies in parts, so that nobody ever needs the whole of it in memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Connection,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    func,
    insert,
    select,
    text,
    update,
)

from app.store.base import BigId, UTCDateTime, metadata, row_of, value_of, won
from app.store.database import Database

jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("realm_id", Text),
    Column("client_id", Text),
    Column("options", JSON, nullable=False),
    Column("source", Text),
    Column("sealed_content", Text),
    Column("total", Integer),
    Column("position", Integer, nullable=False),
    Column("digest", Text),
    Column("inserted", Integer, nullable=False),
    Column("updated", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("status_details", Text),
    Column("runner", Text),
    Column("claimed_at", UTCDateTime),
    Column("created_at", UTCDateTime, nullable=False),
    Column("kept_until", UTCDateTime, nullable=False, index=True),
)
_J = jobs.c
_is_open = _J.status.in_(("pending", "processing"))
Index(
    "ix_jobs_open",
    _J.created_at,
    sqlite_where=text("status IN ('pending', 'processing')"),
    postgresql_where=text("status IN ('pending', 'processing')"),
)

job_parts = Table(
    "job_parts",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("job_id", Text, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("content", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)

LEASE = timedelta(seconds=60)
"""A job whose process has not been heard of for so long is taken by another one."""
LIVES_FOR = timedelta(hours=2)
KEPT_FOR = timedelta(hours=24)
OVERDUE = "The job did not end within two hours."


@dataclass(frozen=True)
class Job:
    id: str
    type: str
    """`users_import`, `users_export`, `verification_email`, `mfa_reset`, `mfa_rehearsal`."""
    created_at: datetime
    kept_until: datetime
    status: str = "pending"
    realm_id: str | None = None
    client_id: str | None = None
    """Who asked for it."""
    options: dict[str, Any] = field(default_factory=dict)
    source: str | None = None
    """The file of an import that a command reads by itself; no server takes such a job."""
    total: int | None = None
    position: int = 0
    """How many records are done, taken or rejected: where the next process goes on."""
    digest: str | None = None
    """Of those records, to know the same file again."""
    inserted: int = 0
    updated: int = 0
    failed: int = 0
    status_details: str | None = None
    runner: str | None = None
    claimed_at: datetime | None = None


_SHOWN = [_J[name] for name in Job.__dataclass_fields__]


def add_job(conn: Connection, job: Job, sealed_content: str | None = None) -> None:
    conn.execute(insert(jobs).values(**row_of(job), sealed_content=sealed_content))


def find_job(conn: Connection, job_id: str) -> Job | None:
    row = conn.execute(select(*_SHOWN).where(_J.id == job_id)).first()
    return value_of(Job, row) if row else None


def find_content(conn: Connection, job_id: str) -> str | None:
    found = conn.execute(select(_J.sealed_content).where(_J.id == job_id)).scalar()
    return None if found is None else str(found)


def lock_imports(conn: Connection) -> None:
    """Two requests that count active imports at once do so one after the other, until the transaction ends."""
    if conn.dialect.name == "postgresql":
        conn.execute(text("SELECT pg_advisory_xact_lock(2350)"))


def count_active_imports(conn: Connection) -> int:
    """Those that the servers work off."""
    active = (_J.type == "users_import") & _is_open & _J.source.is_(None)
    return int(conn.execute(select(func.count()).select_from(jobs).where(active)).scalar_one())


# --- who works on it -----------------------------------------------------------------------------------------------


def _is_free(now: datetime) -> ColumnElement[bool]:
    is_left = (_J.status == "processing") & (_J.claimed_at < now - LEASE)
    return _J.source.is_(None) & ((_J.status == "pending") | is_left)


def find_free(conn: Connection, now: datetime) -> str | None:
    """The id of the oldest job that nobody works on."""
    found = select(_J.id).where(_is_free(now), _is_open).order_by(_J.created_at).limit(1)
    job_id = conn.execute(found).scalar()
    return None if job_id is None else str(job_id)


def claim(conn: Connection, job_id: str, runner: str, now: datetime) -> bool:
    """Whether this process has it now; of several that ask at once, one."""
    taken = update(jobs).where(_J.id == job_id, _is_free(now))
    return won(conn.execute(taken.values(status="processing", runner=runner, claimed_at=now)))


def find_interrupted(conn: Connection, realm_id: str, source: str) -> Job | None:
    """The newest import of that file by a command that did not come to its end."""
    same = (_J.type == "users_import") & (_J.source == source) & (_J.realm_id == realm_id)
    found = select(*_SHOWN).where(same, _J.status != "completed").order_by(_J.created_at.desc()).limit(1)
    row = conn.execute(found).first()
    return value_of(Job, row) if row else None


def take_over(conn: Connection, job_id: str, runner: str, now: datetime) -> bool:
    """Go on with a command's import; a process that still works on it loses it."""
    taken = update(jobs).where(_J.id == job_id, _J.source.is_not(None), _J.status != "completed")
    values = {"status": "processing", "status_details": None, "runner": runner, "claimed_at": now}
    return won(conn.execute(taken.values(**values, kept_until=now + KEPT_FOR)))


def advance(conn: Connection, job_id: str, runner: str, now: datetime, **changes: object) -> bool:
    """Note progress and sign of life; False for a process that has lost the job and must not write."""
    mine = update(jobs).where(_J.id == job_id, _J.runner == runner, _J.status == "processing")
    return won(conn.execute(mine.values(claimed_at=now, **changes)))


def finish(conn: Connection, job_id: str, runner: str, status: str, details: str | None = None) -> bool:
    """The end; the file that came with the job goes."""
    mine = update(jobs).where(_J.id == job_id, _J.runner == runner, _J.status == "processing")
    return won(conn.execute(mine.values(status=status, status_details=details, sealed_content=None)))


def _is_overdue(now: datetime) -> ColumnElement[bool]:
    return _is_open & _J.source.is_(None) & (_J.created_at < now - LIVES_FOR)


def has_overdue(conn: Connection, now: datetime) -> bool:
    return conn.execute(select(_J.id).where(_is_overdue(now)).limit(1)).first() is not None


def fail_overdue(conn: Connection, now: datetime) -> None:
    values = {"status": "failed", "status_details": OVERDUE, "sealed_content": None}
    conn.execute(update(jobs).where(_is_overdue(now)).values(**values))


# --- what it yields ------------------------------------------------------------------------------------------------


def add_part(conn: Connection, job_id: str, content: bytes) -> None:
    conn.execute(insert(job_parts).values(job_id=job_id, content=content))


def remove_parts(conn: Connection, job_id: str) -> None:
    conn.execute(job_parts.delete().where(job_parts.c.job_id == job_id))


def has_parts(conn: Connection, job_id: str) -> bool:
    found = select(job_parts.c.id).where(job_parts.c.job_id == job_id).limit(1)
    return conn.execute(found).first() is not None


def read_parts(db: Database, job_id: str) -> Iterator[bytes]:
    """One after the other, with no connection held between them: whoever downloads may be slow."""
    after = 0
    while True:
        with db.read() as conn:
            found = select(job_parts.c.id, job_parts.c.content)
            found = found.where(job_parts.c.job_id == job_id, job_parts.c.id > after)
            row = conn.execute(found.order_by(job_parts.c.id).limit(1)).first()
        if row is None:
            return
        after = row.id
        yield bytes(row.content)
