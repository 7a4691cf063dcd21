"""Applications: what each may do, and what it proves itself with."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    ForeignKey,
    Integer,
    Table,
    Text,
    bindparam,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as insert_once

from app.store.base import CONFIGURATION, UTCDateTime, metadata, row_of, value_of, won

clients = Table(
    "clients",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("app_type", Text, nullable=False),
    Column("auth_method", Text, nullable=False),
    Column("secret_digests", JSON, nullable=False),
    Column("grant_types", JSON, nullable=False),
    Column("is_enabled", Boolean, nullable=False),
    Column("is_first_party", Boolean, nullable=False),
    Column("trusts_forwarded_ip", Boolean, nullable=False),
    Column("id_token_alg", Text, nullable=False),
    Column("id_token_seconds", Integer, nullable=False),
    Column("refresh_rotates", Boolean, nullable=False),
    Column("refresh_leeway_seconds", Integer, nullable=False),
    Column("refresh_seconds", Integer),
    Column("refresh_idle_seconds", Integer),
    Column("is_global", Boolean, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    info=CONFIGURATION,
)

client_origins = Table(
    "client_origins",
    metadata,
    Column("client_id", Text, ForeignKey("clients.id", ondelete="CASCADE"), primary_key=True),
    Column("origin", Text, primary_key=True, index=True),
    info=CONFIGURATION,
)

client_keys = Table(
    "client_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("client_id", Text, ForeignKey("clients.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("alg", Text, nullable=False),
    Column("public_pem", Text, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime),
    info=CONFIGURATION,
)

# Assertions seen, so that each serves once (RFC 7523 3, jti).
client_assertions = Table(
    "client_assertions",
    metadata,
    Column("client_id", Text, primary_key=True),
    Column("jti", Text, primary_key=True),
    Column("expires_at", UTCDateTime, nullable=False, index=True),
)


@dataclass(frozen=True)
class Client:
    id: str
    name: str
    app_type: str
    """Empty where nobody said; only tools read it."""
    auth_method: str
    """`none`, `client_secret_post` (Basic serves as well) or `private_key_jwt`."""
    created_at: datetime
    grant_types: tuple[str, ...] = ()
    secret_digests: tuple[str, ...] = field(default=(), repr=False)
    """Of the one secret that counts; rows of earlier versions may name the one before it, too."""
    is_enabled: bool = True
    is_first_party: bool = True
    trusts_forwarded_ip: bool = False
    id_token_alg: str = "RS256"  # noqa: S105 - an algorithm, not a secret
    id_token_seconds: int = 36000
    refresh_rotates: bool = True
    refresh_leeway_seconds: int = 0
    refresh_seconds: int | None = 2592000
    refresh_idle_seconds: int | None = 1296000
    is_global: bool = False
    """The one that stands for all applications: shown to tools that ask for it, good for nothing else."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Members that are kept and shown, and that nothing here depends on."""


@dataclass(frozen=True)
class ClientKey:
    id: str
    name: str
    alg: str
    public_pem: str
    created_at: datetime
    expires_at: datetime | None = None
    """From then on it verifies nothing."""

    def is_good(self, now: datetime) -> bool:
        return self.expires_at is None or self.expires_at > now


_BY_ID = select(clients).where(clients.c.id == bindparam("id"))


def find_client(conn: Connection, client_id: str) -> Client | None:
    row = conn.execute(_BY_ID, {"id": client_id}).first()
    return value_of(Client, row) if row else None


def list_clients(conn: Connection) -> list[Client]:
    return [value_of(Client, row) for row in conn.execute(select(clients).order_by(clients.c.name))]


def add_client(conn: Connection, client: Client, origins: Iterable[str] = ()) -> None:
    conn.execute(insert(clients).values(**row_of(client)))
    set_origins(conn, client.id, origins)


def update_client(conn: Connection, client_id: str, **changes: object) -> None:
    if changes:
        conn.execute(update(clients).where(clients.c.id == client_id).values(**changes))


def has_global_client(conn: Connection) -> bool:
    return conn.execute(select(clients.c.id).where(clients.c.is_global.is_(True))).first() is not None


def remove_client(conn: Connection, client_id: str) -> None:
    conn.execute(delete(clients).where(clients.c.id == client_id))


def set_origins(conn: Connection, client_id: str, origins: Iterable[str]) -> None:
    conn.execute(delete(client_origins).where(client_origins.c.client_id == client_id))
    rows = [{"client_id": client_id, "origin": origin} for origin in sorted(set(origins))]
    if rows:
        conn.execute(insert(client_origins), rows)


def list_origins(conn: Connection, client_id: str) -> list[str]:
    found = select(client_origins.c.origin).where(client_origins.c.client_id == client_id)
    return list(conn.execute(found).scalars())


def is_web_origin(client: Client, origin: str) -> bool:
    """Whether a listed origin is where its pages or apps run, and not one that may only read answers."""
    reads = client.settings.get("allowed_origins") or []
    return origin not in reads or origin in (client.settings.get("web_origins") or [])


def list_related_origins(conn: Connection) -> list[str]:
    """The sites of all applications, which may use one relying party's keys."""
    known = {client.id: client for client in list_clients(conn) if client.is_enabled}
    rows = conn.execute(select(client_origins).where(client_origins.c.origin.startswith("https://")))
    return sorted(
        {r.origin for r in rows if r.client_id in known and is_web_origin(known[r.client_id], r.origin)}
    )


def list_clients_of_origin(conn: Connection, origin: str) -> Sequence[str]:
    found = select(client_origins.c.client_id).where(client_origins.c.origin == origin)
    return conn.execute(found).scalars().all()


def list_client_keys(conn: Connection, client_id: str) -> list[ClientKey]:
    found = select(client_keys).where(client_keys.c.client_id == client_id).order_by(client_keys.c.created_at)
    return [value_of(ClientKey, row) for row in conn.execute(found)]


def add_client_key(conn: Connection, client_id: str, key: ClientKey) -> None:
    conn.execute(insert(client_keys).values(client_id=client_id, **row_of(key)))


def move_expiry(conn: Connection, client_id: str, key_id: str, expires_at: datetime | None) -> bool:
    match = (client_keys.c.client_id == client_id) & (client_keys.c.id == key_id)
    return won(conn.execute(update(client_keys).where(match).values(expires_at=expires_at)))


def remove_client_key(conn: Connection, client_id: str, key_id: str) -> bool:
    match = (client_keys.c.client_id == client_id) & (client_keys.c.id == key_id)
    return won(conn.execute(delete(client_keys).where(match)))


def consume_assertion(conn: Connection, client_id: str, jti: str, expires_at: datetime) -> bool:
    """Whether this assertion is seen for the first time; the primary key decides between parallel uses."""
    first = insert_once(client_assertions).values(client_id=client_id, jti=jti, expires_at=expires_at)
    once = first.on_conflict_do_nothing().returning(client_assertions.c.jti)
    return conn.execute(once).first() is not None
