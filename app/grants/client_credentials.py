"""RFC 6749 4.4: a client for itself, with the scopes that its client grant on the API has."""

from app import audit, hooks
from app.context import Context
from app.errors import AccessDenied, Refusal, Unauthorized
from app.grants.grant import Grant, Param, TokenRequest
from app.rules.rule import Denied, Exchanged, Failed, exchanged
from app.store import client_grants, signing_keys, tenant
from app.store.hooks import Hook
from app.tokens import access, audience, scope, signing
from app.tokens.audience import Audience
from app.tokens.issue import TokenSet

NO_AUDIENCE = "Non-global clients are not allowed access to APIv1"
NO_CLIENT_GRANT = (
    'Client is not authorized to access "{audience}". You need to create a "client-grant" associated to this API. '
    "See: https://auth0.com/docs/api/v2#!/Client_Grants/post_client_grants"
)
SCOPE_NOT_GRANTED = "Client has not been granted scopes: {scopes}"
CANNOT_RUN = "A hook of this server could not be run."
NO_REASON = "The client is not allowed."


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
        hook = hooks.in_force(ctx, conn, hooks.CREDENTIALS_EXCHANGE)
        tenant_name = ctx.look_up(conn, tenant.get_tenant).name
    if target.client_policy == "deny_all":
        raise AccessDenied(audience.NOT_AUTHORIZED.format(audience=wanted), reason="clients_denied")
    if granted is None:
        raise AccessDenied(NO_CLIENT_GRANT.format(audience=wanted), reason="no_client_grant")
    missing = [word for word in requested if word not in granted]
    if missing:
        raise AccessDenied(SCOPE_NOT_GRANTED.format(scopes=" ".join(missing)), reason="scope_not_granted")
    given, claims = tuple(requested or granted), {}
    if hook is not None:
        found = _exchange(ctx, request, hook, tenant_name, target, given)
        given, claims = _allowed_scope(ctx, target, tuple(granted), given, found.scope), found.claims
    token = access.sign_access_token(
        ctx,
        signing.signer_of(signers, target.alg),
        subject=f"{client.id}@clients",
        client_id=client.id,
        audience=target,
        scope=given,
        gty=("client-credentials",),
        permissions=given,
        further=claims,
    )
    with ctx.db.write() as conn:
        audit.record(conn, ctx, ctx.facts.success_event)
    return TokenSet(token, target.token_seconds, scope=" ".join(given) or None)


def _exchange(
    ctx: Context,
    request: TokenRequest,
    hook: Hook,
    tenant_name: str,
    target: Audience,
    given: tuple[str, ...],
) -> Exchanged:
    """What the hook makes of the token. Raises AccessDenied, Unauthorized, TemporarilyUnavailable."""
    told: dict[str, object] = {"name": hook.name}
    ctx.facts.details["hook"] = told
    client = request.client
    found = hooks.call(
        ctx,
        hook,
        {
            "tenant": tenant_name,
            "id": client.id,
            "name": client.name,
            "metadata": client.settings.get("client_metadata") or {},
        },
        list(given),
        target.identifier,
        {"body": {"grant_type": "client_credentials", "client_id": client.id} | _asked(request)},
    )
    outcome = found if isinstance(found, Denied | Failed) else exchanged(found)
    if isinstance(outcome, Exchanged):
        if outcome.ignored_claims:
            told["ignored_claims"] = list(outcome.ignored_claims)
        return outcome
    told |= {"why": outcome.why, "message": outcome.message[:300]}
    raise _refusal(outcome)


def _asked(request: TokenRequest) -> dict[str, str]:
    """What a hook may read of the request: no credential is among it."""
    return {name: request.params[name] for name in ("audience", "scope") if request.params.get(name)}


def _allowed_scope(
    ctx: Context,
    target: Audience,
    granted: tuple[str, ...],
    given: tuple[str, ...],
    wanted: tuple[str, ...] | None,
) -> tuple[str, ...]:
    """A hook gives any scope of an API, but of this server's own management only what the client grant has."""
    if wanted is None:
        return given
    if target.identifier == audience.management_of(ctx.issuer):
        return tuple(word for word in wanted if word in granted)
    return wanted


def _refusal(outcome: Denied | Failed) -> Refusal:
    if isinstance(outcome, Failed):
        return AccessDenied(CANNOT_RUN, reason=f"hook_{outcome.why}")
    reason = "denied_by_hook" if outcome.why == "denied" else "hook_threw"
    kind = Unauthorized if outcome.is_unauthorized else AccessDenied
    return kind(outcome.message or NO_REASON, reason=reason)


GRANT = Grant(
    "client_credentials",
    (Param("audience"), Param("scope", is_list=True)),
    handle,
    "seccft",
    "feccft",
    is_for_public_clients=False,
)
