"""A passkey instead of a password: it logs somebody in, or makes the account that `/passkey/register` asked about."""

from app import passkeys
from app.asking import Asking
from app.context import Context
from app.errors import AccessDenied, InvalidGrant, InvalidRequest, UnauthorizedClient
from app.factors.webauthn import WRONG
from app.grants.grant import Grant, Param, TokenRequest
from app.grants.password import REALM_DISABLED, UNKNOWN_REALM
from app.store import realms
from app.tokens import audience, scope
from app.tokens.issue import TokenSet

GTY = "passkey"


def handle(ctx: Context, request: TokenRequest) -> TokenSet:
    client, params = request.client, request.params
    if not client.is_first_party:
        raise UnauthorizedClient(request.grant_type, reason="third_party_client")
    requested = scope.parse(params.get("scope", ""))
    challenge = passkeys.find_challenge(ctx, client, params["auth_session"])
    with ctx.db.read() as conn:
        place = ctx.look_up(conn, realms.get_place_by_id, challenge.realm_id, client.id)
        named = (
            ctx.look_up(conn, realms.get_place, params["realm"], client.id) if "realm" in params else place
        )
        wanted = params.get("audience") or place.tenant.default_audience or ""
        target = audience.resolve_for_user(ctx, conn, wanted, client)
    if target.is_system:
        raise AccessDenied(f"Service not found: {wanted}", reason="system_api")
    if place.realm is None or named.realm is None:
        name = params.get("realm", "")
        raise InvalidRequest(UNKNOWN_REALM.format(name=name), reason="unknown_realm", event="f")
    ctx.facts.realm = place.realm.name
    if named.realm.id != place.realm.id:
        raise InvalidGrant(WRONG, reason="other_realm")
    if not place.realm.is_enabled or not place.realm.takes_passkeys or not place.is_for_client:
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
    return passkeys.authenticate(ctx, asking, challenge, params["authn_response"])


GRANT = Grant(
    "urn:okta:params:oauth:grant-type:webauthn",
    (
        Param("auth_session", is_required=True, is_secret=True),
        Param("authn_response", is_required=True, is_secret=True, is_object=True),
        Param("realm"),
        Param("scope", is_list=True),
        Param("audience"),
    ),
    handle,
    "s",
    "f",
)
