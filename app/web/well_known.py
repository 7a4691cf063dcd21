"""Discovery, and the keys that tokens are verified with. Only what is really served is listed (RFC 8414 2)."""

from flask import Blueprint, Response

from app.grants import GRANTS
from app.grants.client_auth import ASSERTION_ALGORITHMS
from app.store.clients import list_related_origins
from app.tokens import signing
from app.tokens.scope import OIDC_SCOPES
from app.web.answers import answer
from app.web.lifecycle import context

blueprint = Blueprint("well_known", __name__, url_prefix="/.well-known")

JWKS_SECONDS = 300  # a key is published as `next` for longer than this before it signs


def _metadata(issuer: str) -> dict[str, object]:
    return {
        "issuer": issuer,
        "token_endpoint": issuer + "oauth/token",
        "userinfo_endpoint": issuer + "userinfo",
        "mfa_challenge_endpoint": issuer + "mfa/challenge",
        "revocation_endpoint": issuer + "oauth/revoke",
        "jwks_uri": issuer + ".well-known/jwks.json",
        "grant_types_supported": list(GRANTS),
        "response_types_supported": [],
        "scopes_supported": [*OIDC_SCOPES, "offline_access"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "RS512", "PS256"],
        "token_endpoint_auth_methods_supported": [
            "client_secret_basic",
            "client_secret_post",
            "private_key_jwt",
            "none",
        ],
        "token_endpoint_auth_signing_alg_values_supported": list(ASSERTION_ALGORITHMS),
        "claims_supported": [
            "acr",
            "amr",
            "aud",
            "auth_time",
            "email",
            "email_verified",
            "exp",
            "family_name",
            "given_name",
            "iat",
            "iss",
            "name",
            "nickname",
            "phone_number",
            "phone_number_verified",
            "picture",
            "sub",
            "updated_at",
        ],
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }


@blueprint.get("/openid-configuration")
@blueprint.get("/oauth-authorization-server", endpoint="oauth_authorization_server")
def metadata() -> Response:
    return _cacheable(answer(_metadata(context().issuer)))


@blueprint.get("/jwks.json")
def jwks() -> Response:
    ctx = context()
    with ctx.db.read() as conn:
        published = signing.jwks(ctx, conn)
    return _cacheable(answer(published))


@blueprint.get("/webauthn")
def related_origins() -> Response:
    """Which other sites may use the keys of this relying party (WebAuthn 5.11)."""
    ctx = context()
    with ctx.db.read() as conn:
        return _cacheable(answer({"origins": ctx.look_up(conn, list_related_origins)}))


def _cacheable(response: Response) -> Response:
    response.headers["Cache-Control"] = f"public, max-age={JWKS_SECONDS}"
    return response
