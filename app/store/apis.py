"""APIs that tokens are for (Auth0: resource servers)."""

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
    Column("enforces_policies", Boolean, nullable=False),
    Column("client_policy", Text, nullable=False),
    Column("user_policy", Text, nullable=False),
    Column("descriptions", JSON, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
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
    enforces_policies: bool = False
    """Scopes of a person are cut to the permissions that roles and administrators gave."""
    client_policy: str = "require_client_grant"
    """Whether clients get tokens for themselves: `require_client_grant` or `deny_all`."""
    user_policy: str = "allow_all"
    """Whether clients get tokens for people: `allow_all`, `require_client_grant` (one for users) or `deny_all`."""
    descriptions: dict[str, str] = field(default_factory=dict)
    """Of the scopes that have one."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Members that are kept and shown, and that nothing here depends on."""


_BY_IDENTIFIER = select(apis).where(apis.c.identifier == bindparam("identifier"))


def find_api(conn: Connection, identifier: str) -> Api | None:
    row = conn.execute(_BY_IDENTIFIER, {"identifier": identifier}).first()
    return value_of(Api, row) if row else None


def find_api_by_id(conn: Connection, api_id: str) -> Api | None:
    row = conn.execute(select(apis).where(apis.c.id == api_id)).first()
    return value_of(Api, row) if row else None


def list_apis(conn: Connection) -> list[Api]:
    return [value_of(Api, row) for row in conn.execute(select(apis).order_by(apis.c.identifier))]


def add_api(conn: Connection, api: Api) -> None:
    conn.execute(insert(apis).values(**row_of(api)))


def update_api(conn: Connection, api_id: str, **changes: object) -> None:
    if changes:
        conn.execute(update(apis).where(apis.c.id == api_id).values(**changes))


def remove_api(conn: Connection, api_id: str) -> None:
    conn.execute(delete(apis).where(apis.c.id == api_id))
