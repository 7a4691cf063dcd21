"""RFC 6749 4.3, in the realm that is the tenant's default directory, or the one that `realm` names."""

from app import login
from app.asking import Asking
from app.context import Context
from app.errors import AccessDenied, InvalidRequest, UnauthorizedClient
from app.grants.grant import Grant, Param, TokenRequest
from app.store import realms
from app.tokens import audience, scope
from app.tokens.issue import TokenSet

GTY = "password"  # also for the realm grant

PARAMS = (
    Param("username", is_required=True),
    Param("password", is_required=True, is_secret=True),
    Param("scope", is_list=True),
    Param("audience"),
)

NO_DEFAULT_DIRECTORY = "Authorization server not configured with default connection."
UNKNOWN_REALM = "Unknown realm {name}."
REALM_DISABLED = "the connection was disabled"


def handle(ctx: Context, request: TokenRequest) -> TokenSet:
    client, params = request.client, request.params
    if not client.is_first_party:
        raise UnauthorizedClient(request.grant_type, reason="third_party_client")
    requested = scope.parse(params.get("scope", ""))
    with ctx.db.read() as conn:
        place = ctx.look_up(conn, realms.get_place, params.get("realm"), client.id)
        wanted = params.get("audience") or place.tenant.default_audience or ""
        target = audience.resolve_for_user(ctx, conn, wanted, client)
    if target.is_system:
        raise AccessDenied(f"Service not found: {wanted}", reason="system_api")
    name = params.get("realm") or place.tenant.default_directory
    if name is None:
        raise InvalidRequest(NO_DEFAULT_DIRECTORY, reason="no_default_directory")
    if place.realm is None:
        raise InvalidRequest(UNKNOWN_REALM.format(name=name), reason="unknown_realm", event="f")
    ctx.facts.realm = place.realm.name
    if not place.realm.is_enabled or not place.realm.takes_passwords or not place.is_for_client:
        raise InvalidRequest(REALM_DISABLED, reason="realm_disabled", event="f")
    asking = Asking(
        client=client,
        realm=place.realm,
        is_realm_for_client=place.is_for_client,
        tenant=place.tenant,
        audience=target,
        scope=scope.grant(requested, target, client),
        requested_scope=params.get("scope"),
        gty=(GTY,),
    )
    return login.authenticate(ctx, asking, params["username"], params["password"])


GRANT = Grant("password", (*PARAMS, Param("realm")), handle, "sepft", "fepft")
