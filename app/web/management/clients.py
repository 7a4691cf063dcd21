"""`/clients`: applications, as tools administer them."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import Connection

from app import accounts
from app.errors import Forbidden, Missing, NotPossible
from app.store import clients, refresh_families
from app.store.clients import Client
from app.store.tenant import lock_tenant
from app.tokens.signing import DEFAULT_ALGORITHM
from app.web.management.metadata import merged_labels
from app.web.management.operation import Call, operation
from app.web.management.paging import Anywhere, Fields, Flag, checkpoint_page, choose, whole_page
from app.web.management.schema import Body, Labels, Lenient, Text128
from app.web.management.wire import timestamp

UNKNOWN = "The client does not exist"
READ = "read:clients read:client_keys read:client_credentials read:client_summary"
LONGEST_REFRESH = 157788000
LEEWAY = int(refresh_families.LONGEST_LEEWAY.total_seconds())
# Members with a meaning of their own; all others are kept in `settings` and shown.
MEMBERS = (
    "client_id tenant name description global app_type is_first_party grant_types token_endpoint_auth_method "
    "client_authentication_methods jwt_configuration refresh_token is_token_endpoint_ip_header_trusted "
    "client_metadata callbacks allowed_origins web_origins allowed_logout_urls allowed_clients client_aliases addons "
    "mobile native_social_login organization_usage default_organization cross_origin_authentication sso_disabled "
    "custom_login_page_on logo_uri oidc_conformant sso initiate_login_uri callback_url_template signing_keys enabled "
    "client_secret"
).split()
SUMMARY = (
    "client_id",
    "name",
    "app_type",
    "description",
    "logo_uri",
    "is_first_party",
    "client_metadata",
    "tenant",
)
DEFAULTS: dict[str, Any] = {
    "oidc_conformant": False,
    "sso_disabled": False,
    "cross_origin_authentication": False,
    "custom_login_page_on": True,
}
DEFAULT_GRANTS = ("authorization_code", "implicit", "refresh_token")

Urls = Annotated[list[Annotated[str, Field(max_length=2000)]], Field(max_length=100)]


class JwtConfiguration(Lenient):
    lifetime_in_seconds: Annotated[int, Field(ge=1, le=2592000)] | None = None
    alg: Literal["RS256", "RS512", "PS256", "HS256"] | None = None
    secret_encoded: bool | None = None
    scopes: dict[str, Any] | None = None


class RefreshToken(Lenient):
    rotation_type: Literal["rotating", "non-rotating"] | None = None
    expiration_type: Literal["expiring", "non-expiring"] | None = None
    leeway: Annotated[int, Field(ge=0, le=LEEWAY)] | None = None
    token_lifetime: Annotated[int, Field(ge=1, le=LONGEST_REFRESH)] | None = None
    infinite_token_lifetime: bool | None = None
    idle_token_lifetime: Annotated[int, Field(ge=1, le=LONGEST_REFRESH)] | None = None
    infinite_idle_token_lifetime: bool | None = None


class NewCredential(Body):
    credential_type: Literal["public_key"]
    pem: Annotated[str, Field(min_length=1, max_length=4096)]
    name: Text128 | None = None
    alg: Literal["RS256", "RS384", "PS256"] = "RS256"
    parse_expiry_from_cert: Literal[False] | None = None
    """Keys that run out by themselves are not kept yet: better refused than ignored."""


class KnownCredential(Body):
    id: str


class PrivateKeyJwt(Body):
    credentials: Annotated[list[NewCredential | KnownCredential], Field(max_length=2)]


class AuthenticationMethods(Body):
    private_key_jwt: PrivateKeyJwt | None = None


class Changes(Body):
    name: Annotated[str, Field(min_length=1, max_length=200, pattern="^[^<>]+$")] | None = None
    description: Annotated[str, Field(max_length=140)] | None = None
    app_type: Literal["native", "spa", "regular_web", "non_interactive"] | None = None
    is_first_party: bool | None = None
    grant_types: list[Annotated[str, Field(min_length=1, max_length=200)]] | None = None
    token_endpoint_auth_method: Literal["none", "client_secret_post", "client_secret_basic"] | None = None
    client_authentication_methods: AuthenticationMethods | None = None
    jwt_configuration: JwtConfiguration | None = None
    refresh_token: RefreshToken | None = None
    is_token_endpoint_ip_header_trusted: bool | None = None
    client_metadata: Labels | None = None
    web_origins: Urls | None = None
    allowed_origins: Urls | None = None
    enabled: bool | None = None
    """Our extension: an application that is switched off is refused everything."""
    callbacks: Urls | None = None
    allowed_logout_urls: Urls | None = None
    allowed_clients: list[str] | None = None
    client_aliases: list[str] | None = None
    addons: dict[str, Any] | None = None
    mobile: dict[str, Any] | None = None
    native_social_login: dict[str, Any] | None = None
    encryption_key: dict[str, Any] | None = None
    organization_usage: Literal["deny", "allow", "require"] | None = None
    organization_require_behavior: str | None = None
    organization_discovery_methods: list[str] | None = None
    default_organization: dict[str, Any] | None = None
    cross_origin_authentication: bool | None = None
    cross_origin_loc: str | None = None
    sso: bool | None = None
    sso_disabled: bool | None = None
    custom_login_page: str | None = None
    custom_login_page_on: bool | None = None
    custom_login_page_preview: str | None = None
    form_template: str | None = None
    initiate_login_uri: str | None = None
    logo_uri: str | None = None
    oidc_conformant: bool | None = None
    oidc_logout: dict[str, Any] | None = None
    require_proof_of_possession: bool | None = None
    require_pushed_authorization_requests: bool | None = None
    signed_request_object: dict[str, Any] | None = None
    compliance_level: str | None = None
    token_exchange: dict[str, Any] | None = None
    token_quota: dict[str, Any] | None = None
    skip_non_verifiable_callback_uri_confirmation_prompt: bool | None = None
    resource_server_identifier: str | None = None
    async_approval_notification_channels: list[str] | None = None


class NewClient(Changes):
    name: Annotated[str, Field(min_length=1, max_length=200, pattern="^[^<>]+$")]


OURS = (
    "name app_type is_first_party grant_types token_endpoint_auth_method client_authentication_methods "
    "jwt_configuration refresh_token is_token_endpoint_ip_header_trusted enabled client_metadata"
).split()


def get_client(conn: Connection, client_id: str) -> Client:
    """Raises Missing."""
    client = clients.find_client(conn, client_id)
    if client is None:
        raise Missing(UNKNOWN, reason="inexistent_client")
    return client


def get_own_client(conn: Connection, client_id: str) -> Client:
    """One that may be changed: not that which stands for all. Raises Missing, NotPossible."""
    client = get_client(conn, client_id)
    if client.is_global:
        raise NotPossible("The global client cannot be changed.", reason="operation_not_supported")
    return client


def view(call: Call, conn: Connection, client: Client, secret: str | None = None) -> dict[str, Any]:
    """As Auth0 shows a client. Its secret is told at creation and rotation only (we keep a digest)."""
    keys = clients.list_client_keys(conn, client.id) if client.auth_method == "private_key_jwt" else []
    method = client.auth_method
    found: dict[str, Any] = {
        "tenant": "belay",
        "client_id": client.id,
        "name": client.name,
        "global": client.is_global,
        "app_type": client.app_type or None,
        "is_first_party": client.is_first_party,
        "grant_types": list(client.grant_types),
        "token_endpoint_auth_method": method if method != "private_key_jwt" else None,
        "is_token_endpoint_ip_header_trusted": client.trusts_forwarded_ip,
        "jwt_configuration": _jwt_view(client),
        "refresh_token": _refresh_view(client),
        "callback_url_template": False,
        "signing_keys": [],
        "enabled": None if client.is_enabled else False,
        "client_secret": secret,
        **{name: value for name, value in client.settings.items() if name not in OURS},
        "client_metadata": client.settings.get("client_metadata"),
    }
    if keys:
        found["client_authentication_methods"] = {
            "private_key_jwt": {"credentials": [{"id": key.id} for key in keys]}
        }
    if not call.caller.scopes & {"read:clients", "read:client_keys", "read:client_credentials"} and (
        call.caller.scopes & {"read:client_summary"}
    ):
        found = {name: found[name] for name in SUMMARY if name in found}
    return found


def _jwt_view(client: Client) -> dict[str, Any]:
    """Terraform takes an algorithm that nobody wrote for a change from outside, so the default is not shown."""
    shown: dict[str, Any] = {"secret_encoded": False} | client.settings.get("jwt_configuration", {})
    shown["lifetime_in_seconds"] = client.id_token_seconds
    if client.id_token_alg != DEFAULT_ALGORITHM:
        shown["alg"] = client.id_token_alg
    return shown


def _refresh_view(client: Client) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "rotation_type": "rotating" if client.refresh_rotates else "non-rotating",
        "expiration_type": "expiring" if client.refresh_seconds else "non-expiring",
        "leeway": client.refresh_leeway_seconds,
        "infinite_token_lifetime": client.refresh_seconds is None,
        "infinite_idle_token_lifetime": client.refresh_idle_seconds is None,
        "token_lifetime": client.refresh_seconds or 2592000,
        "idle_token_lifetime": client.refresh_idle_seconds or 1296000,
    }
    return {**client.settings.get("refresh_token", {}), **shown}


class ListQuery(Anywhere, Fields):
    is_global: Flag | None = None
    is_first_party: Flag | None = None
    app_type: list[str] | None = None
    q: str | None = None


@operation("GET", "/clients", scopes=READ, query=ListQuery)
def list_clients(call: Call) -> object:
    """Applications"""
    query: ListQuery = call.query
    with call.ctx.db.read() as conn:
        found = [
            client
            for client in clients.list_clients(conn)
            if query.is_global in (None, client.is_global)
            and query.is_first_party in (None, client.is_first_party)
            and (not query.app_type or client.app_type in query.app_type)
        ]

        def shown(client: Client) -> dict[str, Any]:
            return choose(view(call, conn, client), query, MEMBERS)

        if query.take is None:
            return whole_page(query, "clients", found, shown)
        found.sort(key=lambda client: client.id)

        def behind(limit: int, after: str) -> list[Client]:
            return [client for client in found if client.id > after][:limit]

        return checkpoint_page(query, "clients", behind, lambda client: client.id, shown)


@operation("GET", "/clients/{id}", scopes=READ, query=Fields)
def show_client(call: Call) -> object:
    """An application"""
    with call.ctx.db.read() as conn:
        return choose(view(call, conn, get_client(conn, call.id)), call.query, MEMBERS)


def _changed(client: Client, given: Changes) -> dict[str, Any]:
    """What the sent members make of a client's columns. Raises NotPossible."""
    sent = given.model_fields_set
    changed: dict[str, Any] = {}
    for name, column in (
        ("name", "name"),
        ("app_type", "app_type"),
        ("is_first_party", "is_first_party"),
        ("is_token_endpoint_ip_header_trusted", "trusts_forwarded_ip"),
        ("token_endpoint_auth_method", "auth_method"),
        ("enabled", "is_enabled"),
    ):
        if getattr(given, name) is not None:
            changed[column] = getattr(given, name)
    if given.grant_types is not None:
        changed["grant_types"] = tuple(dict.fromkeys(given.grant_types))
    if given.client_authentication_methods is not None:
        if given.token_endpoint_auth_method is not None:
            text = "token_endpoint_auth_method and client_authentication_methods exclude each other"
            raise NotPossible(f"Payload validation error: '{text}'.")
        if given.client_authentication_methods.private_key_jwt is not None:
            changed["auth_method"] = "private_key_jwt"
    settings = {name: value for name, value in client.settings.items()}
    settings |= given.model_dump(mode="json", include=sent - set(OURS))
    if given.client_metadata is not None:
        old = settings.get("client_metadata", {})
        settings["client_metadata"] = merged_labels(old, given.client_metadata, "client_metadata")
    if given.jwt_configuration is not None:
        if given.jwt_configuration.alg == "HS256":
            raise NotPossible("HS256 needs the client's secret, of which only a digest is kept. Use RS256.")
        changed["id_token_alg"] = given.jwt_configuration.alg or client.id_token_alg
        changed["id_token_seconds"] = given.jwt_configuration.lifetime_in_seconds or client.id_token_seconds
        settings["jwt_configuration"] = given.jwt_configuration.model_dump(exclude_none=True)
    if given.refresh_token is not None:
        changed |= _refresh_changes(client, given.refresh_token)
        settings["refresh_token"] = given.refresh_token.model_dump(mode="json", exclude_unset=True)
    changed["settings"] = {name: value for name, value in settings.items() if value is not None}
    return changed


def _refresh_changes(client: Client, given: RefreshToken) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    if given.rotation_type is not None:
        changed["refresh_rotates"] = given.rotation_type == "rotating"
    if given.leeway is not None:
        changed["refresh_leeway_seconds"] = given.leeway
    is_endless = given.infinite_token_lifetime or given.expiration_type == "non-expiring"
    if is_endless:
        changed["refresh_seconds"] = None
    elif given.token_lifetime is not None or given.expiration_type == "expiring":
        changed["refresh_seconds"] = given.token_lifetime or client.refresh_seconds or 2592000
    if given.infinite_idle_token_lifetime:
        changed["refresh_idle_seconds"] = None
    elif given.idle_token_lifetime is not None:
        changed["refresh_idle_seconds"] = given.idle_token_lifetime
    return changed


def _origins(client: Client) -> list[str]:
    """Whose pages may read answers across origins."""
    return [*client.settings.get("web_origins", []), *client.settings.get("allowed_origins", [])]


@operation("POST", "/clients", scopes="create:clients", ok=201, body=NewClient)
def create_client(call: Call) -> object:
    """Create an application; its secret is shown this once"""
    ctx, given = call.ctx, call.body
    is_public = given.app_type in ("native", "spa")
    grants = DEFAULT_GRANTS if is_public else (*DEFAULT_GRANTS, "client_credentials")
    client = Client(
        accounts.new_client_id(),
        given.name,
        given.app_type or "",
        "none" if is_public else "client_secret_post",
        ctx.now,
        grant_types=grants,
        settings=DEFAULTS,
    )
    client = replace(client, **_changed(client, given))
    with ctx.db.write() as conn:
        secret = accounts.create_client(conn, ctx, client, _origins(client))
        _put_keys(call, conn, client, given)
        created = get_client(conn, client.id)
        return view(call, conn, created, secret) | {"encrypted": True}


def _put_keys(call: Call, conn: Connection, client: Client, given: Changes) -> None:
    methods = given.client_authentication_methods
    if methods is None or methods.private_key_jwt is None:
        return
    named = {c.id for c in methods.private_key_jwt.credentials if isinstance(c, KnownCredential)}
    for key in clients.list_client_keys(conn, client.id):
        if key.id not in named:
            accounts.remove_key(conn, call.ctx, client, key.id)
    for new in methods.private_key_jwt.credentials:
        if isinstance(new, NewCredential):
            accounts.add_key(conn, call.ctx, client, name=new.name or client.name, pem=new.pem, alg=new.alg)


def _check_scopes(call: Call) -> None:
    """What a client proves itself with is more than what it is called: each needs the scope of its own."""
    sent, scopes = call.body.model_fields_set, call.caller.scopes
    proofs = {"token_endpoint_auth_method", "client_authentication_methods"}
    if sent & proofs and not scopes & {"update:client_keys", "update:client_credentials"}:
        wanted = "update:client_keys,update:client_credentials"
        raise Forbidden(f"Insufficient scope, expected any of: {wanted}", reason="insufficient_scope")
    if sent - proofs and "update:clients" not in scopes:
        raise Forbidden("Insufficient scope, expected any of: update:clients", reason="insufficient_scope")


@operation(
    "PATCH",
    "/clients/{id}",
    scopes="update:clients update:client_keys update:client_credentials update:client_token_vault_privileged_access",
    body=Changes,
)
def update_client(call: Call) -> object:
    """Change an application"""
    with call.ctx.db.write() as conn:
        lock_tenant(conn)
        client = get_own_client(conn, call.id)
        _check_scopes(call)
        changed = _changed(client, call.body)
        after = replace(client, **changed)
        after, secret = accounts.update_client(conn, call.ctx, client, origins=_origins(after), **changed)
        _put_keys(call, conn, client, call.body)
        return view(call, conn, after, secret)


@operation("DELETE", "/clients/{id}", scopes="delete:clients", ok=204)
def delete_client(call: Call) -> object:
    """Delete an application; no error when there is none"""
    with call.ctx.db.write() as conn:
        client = clients.find_client(conn, call.id)
        if client is not None and client.is_global:
            raise NotPossible("The global client cannot be deleted.")
        if client is not None:
            accounts.remove_client(conn, call.ctx, client)
    return None


@operation("POST", "/clients/{id}/rotate-secret", scopes="update:client_keys")
def rotate_secret(call: Call) -> object:
    """A new secret, shown this once; the one before it ends at once"""
    with call.ctx.db.write() as conn:
        client = get_own_client(conn, call.id)
        if not client.auth_method.startswith("client_secret"):
            raise NotPossible("The client has no secret.", reason="operation_not_supported")
        secret = accounts.rotate_secret(conn, call.ctx, client)
        return view(call, conn, get_client(conn, call.id), secret)


# --- keys that an application signs its assertions with ------------------------------------------------------------


def _key_view(key: clients.ClientKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "credential_type": "public_key",
        "alg": key.alg,
        "kid": key.id,
        "created_at": timestamp(key.created_at),
        "updated_at": timestamp(key.created_at),
    }


def _get_key(conn: Connection, call: Call) -> clients.ClientKey:
    client = get_client(conn, call.path["client_id"])
    for key in clients.list_client_keys(conn, client.id):
        if key.id == call.path["credential_id"]:
            return key
    raise Missing("The credential does not exist", reason="inexistent_credential")


@operation("GET", "/clients/{client_id}/credentials", scopes="read:client_credentials")
def list_credentials(call: Call) -> object:
    """Public keys of an application"""
    with call.ctx.db.read() as conn:
        client = get_client(conn, call.path["client_id"])
        return [_key_view(key) for key in clients.list_client_keys(conn, client.id)]


@operation(
    "POST", "/clients/{client_id}/credentials", scopes="create:client_credentials", ok=201, body=NewCredential
)
def create_credential(call: Call) -> object:
    """Add a public key to an application"""
    with call.ctx.db.write() as conn:
        client = get_own_client(conn, call.path["client_id"])
        given = call.body
        return _key_view(
            accounts.add_key(
                conn, call.ctx, client, name=given.name or client.name, pem=given.pem, alg=given.alg
            )
        )


@operation("GET", "/clients/{client_id}/credentials/{credential_id}", scopes="read:client_credentials")
def show_credential(call: Call) -> object:
    """A public key of an application"""
    with call.ctx.db.read() as conn:
        return _key_view(_get_key(conn, call))


@operation(
    "DELETE", "/clients/{client_id}/credentials/{credential_id}", scopes="delete:client_credentials", ok=204
)
def delete_credential(call: Call) -> object:
    """Remove a public key from an application"""
    with call.ctx.db.write() as conn:
        client = get_client(conn, call.path["client_id"])
        accounts.remove_key(conn, call.ctx, client, call.path["credential_id"])
    return None


OPERATIONS = (
    list_clients,
    show_client,
    create_client,
    update_client,
    delete_client,
    rotate_secret,
    list_credentials,
    create_credential,
    show_credential,
    delete_credential,
)
