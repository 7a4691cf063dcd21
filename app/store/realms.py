"""Realms: separate user directories. On the management wire a realm is a connection."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    ForeignKey,
    Row,
    Table,
    Text,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from app.policy_terms import Written, read_written
from app.store.base import CONFIGURATION, Kept, UTCDateTime, metadata, row_of, value_of
from app.store.tenant import Tenant, tenant

realms = Table(
    "realms",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("display_name", Text),
    Column("mfa_policy", Kept(read_written)),
    Column("is_enabled", Boolean, nullable=False),
    Column("has_brute_force_protection", Boolean, nullable=False),
    Column("options", JSON, nullable=False),
    Column("labels", JSON, nullable=False),
    Column("shown", JSON, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("sealed_secrets", Text),
    info=CONFIGURATION,
)

# Under which names a login may ask for the realm; its own name unless it was given others.
realm_names = Table(
    "realm_names",
    metadata,
    Column("name", Text, primary_key=True),
    Column("realm_id", Text, ForeignKey("realms.id", ondelete="CASCADE"), nullable=False, index=True),
    info=CONFIGURATION,
)

realm_clients = Table(
    "realm_clients",
    metadata,
    Column("realm_id", Text, ForeignKey("realms.id", ondelete="CASCADE"), primary_key=True),
    Column("client_id", Text, ForeignKey("clients.id", ondelete="CASCADE"), primary_key=True),
    info=CONFIGURATION,
)


@dataclass(frozen=True)
class Realm:
    id: str
    name: str
    kind: str
    display_name: str | None
    mfa_policy: Written | None
    """None where nobody wrote one."""
    is_enabled: bool
    has_brute_force_protection: bool
    created_at: datetime
    options: dict[str, Any] = field(default_factory=dict)
    """As the management API shows them; what logins depend on is read by properties below or has a column."""
    labels: dict[str, str] = field(default_factory=dict)
    """The connection's `metadata`."""
    shown: dict[str, Any] = field(default_factory=dict)
    """Members that are kept and shown, and that nothing here depends on."""
    sealed_secrets: str | None = field(default=None, repr=False)
    """What this server proves itself with to a directory outside."""

    @property
    def wants_mfa(self) -> bool:
        """The connection's own switch: without it the realm is exempt, as Auth0's `options.mfa.active` says."""
        return _member(self.options, "mfa", "active") is not False

    @property
    def takes_passwords(self) -> bool:
        return _member(self.options, "authentication_methods", "password", "enabled") is not False

    @property
    def takes_passkeys(self) -> bool:
        """Off unless it is switched on; a directory outside knows nothing of passkeys."""
        is_on = _member(self.options, "authentication_methods", "passkey", "enabled") is True
        return is_on and self.kind == "database"

    @property
    def takes_signups(self) -> bool:
        return self.kind == "database" and not self.options.get("disable_signup")

    @property
    def needs_password_at_creation(self) -> bool:
        behavior = _member(self.options, "authentication_methods", "password", "api_behavior")
        return self.kind == "database" and self.takes_passwords and behavior != "optional"

    def takes_identifier(self, name: str) -> bool:
        """Whether `email`, `username` or `phone_number` is an attribute that people are found by."""
        return _member(self.options, "attributes", name, "identifier", "active") is True


def _member(found: Any, *path: str) -> Any:
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


_BY_ID = select(realms).where(realms.c.id == bindparam("id"))
_BY_NAME = select(realms).where(realms.c.name == bindparam("name"))
_IS_FOR_CLIENT = exists().where(
    realm_clients.c.realm_id == realms.c.id, realm_clients.c.client_id == bindparam("client_id")
)
# The tenant's row is always there, so that one statement answers for both, whether the realm exists or not.
_PLACE = select(
    realms,
    _IS_FOR_CLIENT.label("is_for_client"),
    *(column.label(f"tenant_{column.name}") for column in tenant.c),
)
_PLACE_BY_NAME = _PLACE.select_from(
    tenant.outerjoin(
        realm_names,
        realm_names.c.name == func.coalesce(bindparam("name", type_=Text), tenant.c.default_directory),
    ).outerjoin(realms, realms.c.id == realm_names.c.realm_id)
)
_PLACE_BY_ID = _PLACE.select_from(tenant.outerjoin(realms, realms.c.id == bindparam("id")))


@dataclass(frozen=True)
class Place:
    """Where a login happens."""

    tenant: Tenant
    realm: Realm | None
    is_for_client: bool

    def __bool__(self) -> bool:
        """Whether there is such a realm."""
        return self.realm is not None


def _place(row: Row[tuple[object, ...]]) -> Place:
    settings = Tenant(
        row.tenant_name,
        row.tenant_default_directory,
        row.tenant_default_audience,
        tuple(row.tenant_mfa_policies),
    )
    return Place(settings, value_of(Realm, row) if row.id is not None else None, bool(row.is_for_client))


def find_realm(conn: Connection, realm_id: str) -> Realm | None:
    row = conn.execute(_BY_ID, {"id": realm_id}).first()
    return value_of(Realm, row) if row else None


def find_realm_by_name(conn: Connection, name: str) -> Realm | None:
    row = conn.execute(_BY_NAME, {"name": name}).first()
    return value_of(Realm, row) if row else None


def get_place(conn: Connection, name: str | None, client_id: str) -> Place:
    """The realm that answers to a name, or the default directory without one; and whether the client may use it."""
    return _place(conn.execute(_PLACE_BY_NAME, {"name": name, "client_id": client_id}).one())


def get_place_by_id(conn: Connection, realm_id: str, client_id: str) -> Place:
    return _place(conn.execute(_PLACE_BY_ID, {"id": realm_id, "client_id": client_id}).one())


def list_realms(conn: Connection) -> Sequence[Realm]:
    return [value_of(Realm, row) for row in conn.execute(select(realms).order_by(realms.c.name))]


def add_realm(conn: Connection, realm: Realm) -> None:
    conn.execute(insert(realms).values(**row_of(realm)))


def update_realm(conn: Connection, realm_id: str, **changes: object) -> None:
    if changes:
        conn.execute(update(realms).where(realms.c.id == realm_id).values(**changes))


def list_names(conn: Connection, realm_id: str) -> list[str]:
    found = select(realm_names.c.name).where(realm_names.c.realm_id == realm_id)
    return list(conn.execute(found.order_by(realm_names.c.name)).scalars())


def set_names(conn: Connection, realm_id: str, names: Sequence[str]) -> None:
    """Raises sqlalchemy's IntegrityError when another realm has one of them."""
    conn.execute(delete(realm_names).where(realm_names.c.realm_id == realm_id))
    conn.execute(insert(realm_names), [{"name": name, "realm_id": realm_id} for name in dict.fromkeys(names)])


def remove_realm(conn: Connection, realm_id: str) -> None:
    conn.execute(delete(realms).where(realms.c.id == realm_id))


def list_clients_of(conn: Connection, realm_id: str) -> list[str]:
    found = select(realm_clients.c.client_id).where(realm_clients.c.realm_id == realm_id)
    return list(conn.execute(found.order_by(realm_clients.c.client_id)).scalars())


def set_clients_of(conn: Connection, realm_id: str, client_ids: Sequence[str]) -> None:
    conn.execute(delete(realm_clients).where(realm_clients.c.realm_id == realm_id))
    if client_ids:
        rows = [{"realm_id": realm_id, "client_id": client_id} for client_id in client_ids]
        conn.execute(insert(realm_clients), rows)
