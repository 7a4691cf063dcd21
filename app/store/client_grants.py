"""Which client may ask for which scopes of an API, for itself (subject type `client`) or for people (`user`)."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    ForeignKey,
    Select,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from app.store.apis import apis
from app.store.base import CONFIGURATION, UTCDateTime, metadata, won

client_grants = Table(
    "client_grants",
    metadata,
    Column("id", Text, primary_key=True),
    Column("client_id", Text, ForeignKey("clients.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("api_id", Text, ForeignKey("apis.id", ondelete="CASCADE"), nullable=False),
    Column("subject_type", Text, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    UniqueConstraint("client_id", "api_id", "subject_type"),
    info=CONFIGURATION,
)


@dataclass(frozen=True)
class ClientGrant:
    id: str
    client_id: str
    api_id: str
    audience: str
    """The API's identifier; of a grant that is being added it is not looked at."""
    scopes: tuple[str, ...]
    created_at: datetime
    settings: dict[str, Any] = field(default_factory=dict)
    subject_type: str = "client"


_G = client_grants.c
_GRANTS = select(client_grants, apis.c.identifier.label("audience")).join(apis, apis.c.id == _G.api_id)
_GRANTED = (
    select(_G.scopes, _G.settings, apis.c.scopes.label("all_scopes"))
    .join(apis, apis.c.id == _G.api_id)
    .where(
        _G.client_id == bindparam("client_id"),
        _G.api_id == bindparam("api_id"),
        _G.subject_type == bindparam("subject_type"),
    )
)


def _grant(row: Any) -> ClientGrant:
    return ClientGrant(
        row.id,
        row.client_id,
        row.api_id,
        row.audience,
        tuple(row.scopes),
        row.created_at,
        row.settings,
        row.subject_type,
    )


def find_granted(
    conn: Connection, client_id: str, api_id: str, subject_type: str = "client"
) -> tuple[str, ...] | None:
    """The scopes that a client was granted on an API; None when it was granted nothing at all."""
    wanted = {"client_id": client_id, "api_id": api_id, "subject_type": subject_type}
    row = conn.execute(_GRANTED, wanted).first()
    if row is None:
        return None
    return tuple(row.all_scopes if row.settings.get("allow_all_scopes") else row.scopes)


def find_client_grant(conn: Connection, grant_id: str) -> ClientGrant | None:
    row = conn.execute(_GRANTS.where(_G.id == grant_id)).first()
    return _grant(row) if row else None


def matching(client_id: str | None, audience: str | None, subject_type: str | None) -> Select[Any]:
    found = _GRANTS
    if client_id is not None:
        found = found.where(_G.client_id == client_id)
    if audience is not None:
        found = found.where(apis.c.identifier == audience)
    if subject_type is not None:
        found = found.where(_G.subject_type == subject_type)
    return found


def list_client_grants(
    conn: Connection,
    *,
    client_id: str | None = None,
    audience: str | None = None,
    subject_type: str | None = None,
    limit: int,
    offset: int = 0,
    after: str = "",
) -> list[ClientGrant]:
    """In order of ids; with `after`, those behind that id."""
    found = matching(client_id, audience, subject_type).where(_G.id > after).order_by(_G.id)
    return [_grant(row) for row in conn.execute(found.limit(limit).offset(offset))]


def add_client_grant(conn: Connection, grant: ClientGrant) -> None:
    """Raises sqlalchemy's IntegrityError when the client has a grant on the API, or one of them does not exist."""
    conn.execute(
        insert(client_grants).values(
            id=grant.id,
            client_id=grant.client_id,
            api_id=grant.api_id,
            subject_type=grant.subject_type,
            scopes=list(grant.scopes),
            settings=grant.settings,
            created_at=grant.created_at,
        )
    )


def update_client_grant(conn: Connection, grant_id: str, **changes: object) -> None:
    conn.execute(update(client_grants).where(_G.id == grant_id).values(**changes))


def remove_client_grant(conn: Connection, grant_id: str) -> bool:
    return won(conn.execute(delete(client_grants).where(_G.id == grant_id)))


def remove_client_grant_on(conn: Connection, client_id: str, api_id: str) -> None:
    """The one for itself."""
    its_own = (_G.client_id == client_id, _G.api_id == api_id, _G.subject_type == "client")
    conn.execute(delete(client_grants).where(*its_own))
