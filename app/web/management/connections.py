"""`/connections`: realms, as tools administer them."""

from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import Connection

from app import accounts
from app.accounts.policies import write_line
from app.directories import DIRECTORIES
from app.directories.directory import CannotAsk
from app.errors import Missing, NotPossible
from app.policy_mirror import LABEL
from app.store import clients, realms, users
from app.store.realms import Realm
from app.store.tenant import lock_tenant
from app.web.management.credentials import get_client
from app.web.management.metadata import merged_labels
from app.web.management.operation import Answered, Call, operation
from app.web.management.paging import Anywhere, Checkpoint, Fields, checkpoint_page, choose, whole_page
from app.web.management.schema import Body, Email, Labels, Text128
from app.web.management.wire import timestamp

UNKNOWN = "The connection does not exist"
STRATEGIES = {"auth0": "database", "ad": "ad", "auth0-adldap": "ad", "ldap": "ldap", "custom": "http"}
KINDS = {"database": "auth0", "ad": "ad", "ldap": "ldap", "http": "custom"}
MEMBERS = (
    "id name display_name strategy options realms enabled_clients is_domain_connection show_as_button metadata "
    "authentication connected_accounts"
).split()

Name = Annotated[str, Field(max_length=128, pattern=r"^[a-zA-Z0-9](-[a-zA-Z0-9]|[a-zA-Z0-9])*$")]


def get_realm(conn: Connection, connection_id: str) -> Realm:
    """Raises Missing."""
    realm = realms.find_realm(conn, connection_id)
    if realm is None:
        raise Missing(UNKNOWN, reason="inexistent_connection")
    return realm


def strategy_of(realm: Realm) -> str:
    """As it was named when the connection was made: tools compare it."""
    return str(realm.shown.get("strategy") or KINDS[realm.kind])


def view(conn: Connection, realm: Realm) -> dict[str, Any]:
    return {
        "id": realm.id,
        "name": realm.name,
        "display_name": realm.display_name,
        "strategy": strategy_of(realm),
        "options": realm.options,
        "realms": realms.list_names(conn, realm.id),
        "enabled_clients": realms.list_clients_of(conn, realm.id),
        "is_domain_connection": realm.shown.get("is_domain_connection", False),
        "show_as_button": realm.shown.get("show_as_button"),
        "metadata": realm.labels or None,
        "authentication": {"active": realm.is_enabled},
        "connected_accounts": realm.shown.get("connected_accounts", {"active": False}),
    }


class ListQuery(Anywhere, Fields):
    per_page: int = Field(100, ge=0, le=100)
    strategy: list[str] | None = None
    name: str | None = None


@operation("GET", "/connections", scopes="read:connections", query=ListQuery)
def list_connections(call: Call) -> object:
    """Connections; `name` and `strategy` choose among them"""
    query: ListQuery = call.query
    with call.ctx.db.read() as conn:
        found = [
            realm
            for realm in realms.list_realms(conn)
            if (not query.strategy or strategy_of(realm) in query.strategy)
            and query.name in (None, realm.name)
        ]

        def shown(realm: Realm) -> dict[str, Any]:
            return choose(view(conn, realm), query, MEMBERS)

        if query.take is None:
            return whole_page(query, "connections", found, shown)
        found.sort(key=lambda realm: realm.id)

        def behind(limit: int, after: str) -> list[Realm]:
            return [realm for realm in found if realm.id > after][:limit]

        return checkpoint_page(query, "connections", behind, lambda realm: realm.id, shown)


@operation("GET", "/connections/{id}", scopes="read:connections", query=Fields)
def show_connection(call: Call) -> object:
    """A connection"""
    with call.ctx.db.read() as conn:
        return choose(view(conn, get_realm(conn, call.id)), call.query, MEMBERS)


class Switch(Body):
    active: bool


class Changes(Body):
    display_name: Text128 | None = None
    options: dict[str, Any] | None = None
    enabled_clients: list[str] | None = None
    realms: Annotated[list[Text128], Field(max_length=20)] | None = None
    is_domain_connection: bool | None = None
    show_as_button: bool | None = None
    metadata: Labels | None = None
    authentication: Switch | None = None
    connected_accounts: dict[str, Any] | None = None


class NewConnection(Changes):
    name: Name
    strategy: str


SHOWN = ("is_domain_connection", "show_as_button", "connected_accounts")


def _shown(given: Changes) -> dict[str, Any]:
    """Members that are kept and shown, and that nothing depends on."""
    return {name: getattr(given, name) for name in SHOWN if getattr(given, name) is not None}


@operation("POST", "/connections", scopes="create:connections", ok=201, body=NewConnection)
def create_connection(call: Call) -> object:
    """Create a connection"""
    ctx, given = call.ctx, call.body
    if given.strategy not in STRATEGIES:
        raise NotPossible(
            f"Payload validation error: 'No enum match, expected {', '.join(STRATEGIES)}' on property strategy."
        )
    realm = accounts.new_realm(
        given.name,
        ctx.now,
        kind=STRATEGIES[given.strategy],
        options=_checked(given.options or {}),
        display_name=given.display_name,
        labels={name: text for name, text in (given.metadata or {}).items() if text is not None},
        is_enabled=given.authentication is None or given.authentication.active,
        shown=_shown(given) | ({"strategy": given.strategy} if given.strategy == "auth0-adldap" else {}),
    )
    with ctx.db.write() as conn:
        realm = accounts.create_realm(
            conn, ctx, realm, names=tuple(given.realms or ()), clients=tuple(given.enabled_clients or ())
        )
        realm = _mirrored(conn, call, realm)
        return view(conn, realm)


@operation("PATCH", "/connections/{id}", scopes="update:connections", body=Changes)
def update_connection(call: Call) -> object:
    """Change a connection; `options` replace the old ones as a whole"""
    ctx, given = call.ctx, call.body
    with ctx.db.write() as conn:
        lock_tenant(conn)
        realm = get_realm(conn, call.id)
        changed: dict[str, Any] = {}
        if "display_name" in given.model_fields_set:
            changed["display_name"] = given.display_name
        if given.options is not None:
            changed["options"] = _checked(given.options)
        if given.metadata is not None:
            changed["labels"] = merged_labels(realm.labels, given.metadata, "metadata")
        if given.authentication is not None:
            changed["is_enabled"] = given.authentication.active
        if _shown(given):
            changed["shown"] = realm.shown | _shown(given)
        if changed:
            realm = accounts.update_realm(conn, ctx, realm, **changed)
        realm = _mirrored(conn, call, realm)
        if given.realms is not None:
            accounts.set_names(conn, ctx, realm, tuple(given.realms) or (realm.name,))
        if given.enabled_clients is not None:
            accounts.set_clients(conn, ctx, realm, tuple(given.enabled_clients))
        return view(conn, realm)


def _mirrored(conn: Connection, call: Call, realm: Realm) -> Realm:
    """The policy as the line of it among the metadata says, where there was one in the body."""
    given: Changes = call.body
    if given.metadata is None or LABEL not in given.metadata:
        return realm
    return write_line(conn, call.ctx, realm, given.metadata[LABEL], by=call.caller.client_id)


@operation("DELETE", "/connections/{id}", scopes="delete:connections", ok=202)
def delete_connection(call: Call) -> object:
    """Delete a connection with everybody in it"""
    with call.ctx.db.write() as conn:
        realm = realms.find_realm(conn, call.id)
        if realm is None:
            return Answered(status=204)
        accounts.remove_realm(conn, call.ctx, realm)
    return {"deleted_at": timestamp(call.ctx.now)}


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    """Lenient: tools of different ages send different options. What logins depend on must be of its kind."""
    for path, kind in KNOWN_OPTIONS.items():
        value: Any = options
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
            raise NotPossible(
                f"Payload validation error: 'Expected type {NAMES[kind]}' on property options.{path}."
            )
    policy = options.get("passwordPolicy")
    if policy is not None and policy not in PASSWORD_POLICIES:
        text = f"'No enum match, expected {', '.join(PASSWORD_POLICIES)}' on property options.passwordPolicy."
        raise NotPossible(f"Payload validation error: {text}")
    return options


NAMES: dict[type, str] = {bool: "boolean", str: "string", dict: "object", list: "array", int: "integer"}
PASSWORD_POLICIES = ("none", "low", "fair", "good", "excellent")
KNOWN_OPTIONS: dict[str, type] = {
    "mfa": dict,
    "mfa.active": bool,
    "passwordPolicy": str,
    "password_options": dict,
    "password_complexity_options": dict,
    "password_complexity_options.min_length": int,
    "password_history": dict,
    "password_history.enable": bool,
    "password_history.size": int,
    "password_no_personal_info": dict,
    "password_no_personal_info.enable": bool,
    "password_dictionary": dict,
    "password_dictionary.enable": bool,
    "password_dictionary.dictionary": list,
    "brute_force_protection": bool,
    "disable_signup": bool,
    "requires_username": bool,
    "disable_self_service_change_password": bool,
    "authentication_methods": dict,
    "authentication_methods.password": dict,
    "authentication_methods.password.enabled": bool,
    "attributes": dict,
}


# --- the applications that may use it ------------------------------------------------------------------------------


class ClientsQuery(Checkpoint):
    take: int | None = Field(None, ge=1, le=1000)


@operation("GET", "/connections/{id}/clients", scopes="read:connections", query=ClientsQuery)
def list_enabled_clients(call: Call) -> object:
    """Applications that may use a connection"""
    with call.ctx.db.read() as conn:
        everyone = realms.list_clients_of(conn, get_realm(conn, call.id).id)

    def behind(limit: int, after: str) -> list[str]:
        return [client_id for client_id in everyone if client_id > after][:limit]

    return checkpoint_page(call.query, "clients", behind, str, lambda client_id: {"client_id": client_id})


class ClientSwitch(Body):
    client_id: str
    status: bool


@operation(
    "PATCH",
    "/connections/{id}/clients",
    scopes="update:connections",
    ok=204,
    body=Annotated[list[ClientSwitch], Field(min_length=1, max_length=50)],
)
def switch_clients(call: Call) -> object:
    """Let applications use a connection, or not any more"""
    with call.ctx.db.write() as conn:
        lock_tenant(conn)
        realm = get_realm(conn, call.id)
        wanted = set(realms.list_clients_of(conn, realm.id))
        for switch in call.body:
            if switch.status and clients.find_client(conn, switch.client_id) is None:
                raise Missing("The client does not exist", reason="inexistent_client")
            wanted = wanted | {switch.client_id} if switch.status else wanted - {switch.client_id}
        accounts.set_clients(conn, call.ctx, realm, tuple(wanted))
    return None


class ConnectionsQuery(Checkpoint, Fields):
    strategy: list[str] | None = None


@operation(
    "GET",
    "/clients/{id}/connections",
    scopes="read:connections read:clients read:client_summary",
    query=ConnectionsQuery,
)
def list_client_connections(call: Call) -> object:
    """Connections that an application may use; how they are set up is for those who may read connections"""
    shown = tuple(name for name in MEMBERS if name != "options" or "read:connections" in call.caller.scopes)
    with call.ctx.db.read() as conn:
        client = get_client(conn, call.id)
        found = [r for r in realms.list_realms(conn) if client.id in realms.list_clients_of(conn, r.id)]
        found.sort(key=lambda realm: realm.id)

        def behind(limit: int, after: str) -> list[Realm]:
            return [realm for realm in found if realm.id > after][:limit]

        return checkpoint_page(
            call.query,
            "connections",
            behind,
            lambda realm: realm.id,
            lambda realm: choose(
                {name: value for name, value in view(conn, realm).items() if name in shown}, call.query, shown
            ),
        )


@operation("GET", "/connections/{id}/status", scopes="read:connections")
def show_status(call: Call) -> object:
    """Whether a directory outside can be reached"""
    with call.ctx.db.read() as conn:
        realm = get_realm(conn, call.id)
    if realm.kind == "database":
        raise NotPossible("Connection does not have a status.", reason="operation_not_supported")
    try:
        return {"status": "online", "answered": DIRECTORIES[realm.kind].check(call.ctx, realm)}
    except CannotAsk as problem:
        text = f"The connection is not connected to any node ({problem.says})"
        raise Missing(text, reason="inexistent_node") from None


class EmailQuery(Body):
    model_config = Body.model_config | {"extra": "ignore"}
    email: Email


@operation("DELETE", "/connections/{id}/users", scopes="delete:users", ok=204, query=EmailQuery)
def delete_user_by_email(call: Call) -> object:
    """Delete the user of a connection who has an e-mail address"""
    with call.ctx.db.write() as conn:
        realm = get_realm(conn, call.id)
        for user in users.list_users_by_email(conn, call.query.email.lower()):
            if user.realm_id == realm.id:
                accounts.remove_user(conn, call.ctx, user)
    return None


OPERATIONS = (
    list_connections,
    show_connection,
    create_connection,
    update_connection,
    delete_connection,
    list_enabled_clients,
    switch_clients,
    list_client_connections,
    show_status,
    delete_user_by_email,
)
