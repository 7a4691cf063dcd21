"""The one row of settings that an administrator changes for the whole server."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import JSON, Column, Connection, Integer, Table, Text, bindparam, insert, select, update

from app.store.base import CONFIGURATION, UTCDateTime, metadata

tenant = Table(
    "tenant",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    # Renewed by every change of configuration (app.store.configuration).
    Column("version", Text),
    Column("name", Text, nullable=False),
    Column("default_directory", Text),
    Column("default_audience", Text),
    Column("mfa_policies", JSON, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    info=CONFIGURATION,
)


@dataclass(frozen=True)
class Tenant:
    name: str
    default_directory: str | None
    default_audience: str | None
    mfa_policies: tuple[str, ...]


_GET = select(tenant).where(tenant.c.id == 1)


def get_tenant(conn: Connection) -> Tenant:
    row = conn.execute(_GET).one()
    return Tenant(row.name, row.default_directory, row.default_audience, tuple(row.mfa_policies))


def add_tenant(conn: Connection, name: str, now: datetime) -> None:
    conn.execute(insert(tenant).values(id=1, name=name, mfa_policies=[], created_at=now))


def has_tenant(conn: Connection) -> bool:
    return conn.execute(select(tenant.c.id)).first() is not None


_LOCK = update(tenant).where(tenant.c.id == bindparam("one")).values(id=1)


def lock_tenant(conn: Connection) -> None:
    """Wait for one's turn at what only one process may do at a time, until the transaction ends: reading
    configuration in order to change it, for instance.
    """
    conn.execute(_LOCK, {"one": 1})


def update_tenant(conn: Connection, **changes: object) -> None:
    conn.execute(update(tenant).where(tenant.c.id == 1).values(**changes))
