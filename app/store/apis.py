"""APIs that tokens are for (Auth0: resource servers), and which client may ask for which scopes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

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

from app.store.base import CONFIGURATION, UTCDateTime, metadata, row_of, value_of

apis = Table(
    "apis",
    metadata,
    Column("id", Text, primary_key=True),
    Column("identifier", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("signing_alg", Text, nullable=False),
    Column("token_dialect", Text, nullable=False),
    Column("token_seconds", Integer, nullable=False),
    Column("allow_offline_access", Boolean, nullable=False),
    Column("is_system", Boolean, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    info=CONFIGURATION,
)

client_grants = Table(
    "client_grants",
    metadata,
    Column("id", Text, primary_key=True),
    Column("client_id", Text, ForeignKey("clients.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("api_id", Text, ForeignKey("apis.id", ondelete="CASCADE"), nullable=False),
    Column("scopes", JSON, nullable=False),
    info=CONFIGURATION,
)


@dataclass(frozen=True)
class Api:
    id: str
    identifier: str
    name: str
    created_at: datetime
    scopes: tuple[str, ...] = ()
    signing_alg: str = "RS256"
    token_dialect: str = "access_token"  # noqa: S105 - a dialect, not a secret
    token_seconds: int = 86400
    allow_offline_access: bool = False
    is_system: bool = False


_BY_IDENTIFIER = select(apis).where(apis.c.identifier == bindparam("identifier"))
_GRANT = select(client_grants.c.scopes).where(
    client_grants.c.client_id == bindparam("client_id"), client_grants.c.api_id == bindparam("api_id")
)


def find_api(conn: Connection, identifier: str) -> Api | None:
    row = conn.execute(_BY_IDENTIFIER, {"identifier": identifier}).first()
    return value_of(Api, row) if row else None


def list_apis(conn: Connection) -> list[Api]:
    return [value_of(Api, row) for row in conn.execute(select(apis).order_by(apis.c.identifier))]


def add_api(conn: Connection, api: Api) -> None:
    conn.execute(insert(apis).values(**row_of(api)))


def update_api(conn: Connection, api_id: str, **changes: object) -> None:
    conn.execute(update(apis).where(apis.c.id == api_id).values(**changes))


def remove_api(conn: Connection, api_id: str) -> None:
    conn.execute(delete(apis).where(apis.c.id == api_id))


def find_client_grant(conn: Connection, client_id: str, api_id: str) -> tuple[str, ...] | None:
    """The scopes that a client was granted on an API; None when it was granted nothing at all."""
    row = conn.execute(_GRANT, {"client_id": client_id, "api_id": api_id}).first()
    return tuple(row.scopes) if row else None


def set_client_grant(
    conn: Connection, grant_id: str, client_id: str, api_id: str, scopes: Sequence[str]
) -> None:
    conn.execute(
        delete(client_grants).where(client_grants.c.client_id == client_id, client_grants.c.api_id == api_id)
    )
    conn.execute(
        insert(client_grants).values(id=grant_id, client_id=client_id, api_id=api_id, scopes=list(scopes))
    )
