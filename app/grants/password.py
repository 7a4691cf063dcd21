"""RFC 6749 4.3, in the realm that is the tenant's default directory, or the one that `realm` names."""

from app import login
from app.context import Context
from app.errors import InvalidRequest, UnauthorizedClient
from app.grants.grant import Grant, Param, TokenRequest
from app.login import Asking
from app.store import realms, tenant
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
        raise UnauthorizedClient(GRANT.grant_type, reason="third_party_client")
    requested = scope.parse(params.get("scope", ""))
    with ctx.db.read() as conn:
        settings = tenant.get_tenant(conn)
        wanted = params.get("audience") or settings.default_audience or ""
        target = audience.resolve(conn, ctx.issuer, wanted)
        name = params.get("realm") or settings.default_directory
        if name is None:
            raise InvalidRequest(NO_DEFAULT_DIRECTORY, reason="no_default_directory")
        found = realms.find_realm_for_login(conn, name, client.id)
    if found is None:
        raise InvalidRequest(UNKNOWN_REALM.format(name=name), reason="unknown_realm")
    realm, is_for_client = found
    ctx.facts.realm = realm.name
    if not realm.is_enabled or not is_for_client:
        raise InvalidRequest(REALM_DISABLED, reason="realm_disabled")
    asking = Asking(
        client=client,
        realm=realm,
        is_realm_for_client=is_for_client,
        tenant=settings,
        audience=target,
        scope=scope.grant(requested, target, client),
        requested_scope=params.get("scope"),
        gty=(GTY,),
    )
    return login.authenticate(ctx, asking, params["username"], params["password"])


GRANT = Grant("password", (*PARAMS, Param("realm")), handle, "sepft", "fepft")
