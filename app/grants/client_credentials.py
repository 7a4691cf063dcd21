"""RFC 6749 4.4: a client for itself, with the scopes that its client grant on the API has."""

from app import audit
from app.context import Context
from app.errors import AccessDenied
from app.grants.grant import Grant, Param, TokenRequest
from app.store import client_grants, signing_keys, tenant
from app.tokens import access, audience, scope, signing
from app.tokens.issue import TokenSet

NO_AUDIENCE = "Non-global clients are not allowed access to APIv1"
NO_CLIENT_GRANT = (
    'Client is not authorized to access "{audience}". You need to create a "client-grant" associated to this API. '
    "See: https://auth0.com/docs/api/v2#!/Client_Grants/post_client_grants"
)
SCOPE_NOT_GRANTED = "Client has not been granted scopes: {scopes}"


def handle(ctx: Context, request: TokenRequest) -> TokenSet:
    client = request.client
    requested = scope.parse(request.params.get("scope", ""))
    with ctx.db.read() as conn:
        wanted = request.params.get("audience") or ctx.look_up(conn, tenant.get_tenant).default_audience
        if not wanted:
            raise AccessDenied(NO_AUDIENCE, reason="no_audience")
        target = audience.resolve(ctx, conn, wanted)
        granted = ctx.look_up(conn, client_grants.find_granted, client.id, target.api_id)
        signers = ctx.look_up(conn, signing_keys.list_signers)
    if target.client_policy == "deny_all":
        raise AccessDenied(audience.NOT_AUTHORIZED.format(audience=wanted), reason="clients_denied")
    if granted is None:
        raise AccessDenied(NO_CLIENT_GRANT.format(audience=wanted), reason="no_client_grant")
    missing = [word for word in requested if word not in granted]
    if missing:
        raise AccessDenied(SCOPE_NOT_GRANTED.format(scopes=" ".join(missing)), reason="scope_not_granted")
    given = requested or granted
    token = access.sign_access_token(
        ctx,
        signing.signer_of(signers, target.alg),
        subject=f"{client.id}@clients",
        client_id=client.id,
        audience=target,
        scope=given,
        gty=("client-credentials",),
        permissions=given,
    )
    with ctx.db.write() as conn:
        audit.record(conn, ctx, ctx.facts.success_event)
    return TokenSet(token, target.token_seconds, scope=" ".join(given) or None)


GRANT = Grant(
    "client_credentials",
    (Param("audience"), Param("scope", is_list=True)),
    handle,
    "seccft",
    "feccft",
    is_for_public_clients=False,
)
