"""An application's members on the wire: what is taken, what is kept, and what is shown."""

from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import Connection

from app.errors import NotPossible
from app.store import clients, refresh_families
from app.store.clients import Client
from app.tokens.signing import DEFAULT_ALGORITHM
from app.web.management.credentials import PrivateKeyJwt
from app.web.management.metadata import merged_labels
from app.web.management.operation import Call
from app.web.management.schema import Body, Labels, Lenient

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


def changed_by(client: Client, given: Changes) -> dict[str, Any]:
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


def origins_of(client: Client) -> list[str]:
    """Whose pages may read answers across origins."""
    return [*client.settings.get("web_origins", []), *client.settings.get("allowed_origins", [])]
