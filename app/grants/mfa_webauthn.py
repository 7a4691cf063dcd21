"""A security key completes a login, or is confirmed by the login that just enrolled it.

Okta's grant. The response comes as the browser's JSON (`authn_response`), or in the flat members of Okta's SDKs.
"""

from app import login
from app.context import Context
from app.errors import InvalidRequest
from app.factors import webauthn
from app.grants.grant import Grant, Param, TokenRequest
from app.mfa import Given
from app.tokens.issue import TokenSet


def handle(ctx: Context, request: TokenRequest) -> TokenSet:
    params = request.params
    if not webauthn.is_answer(params):
        raise InvalidRequest("Missing required parameter: authn_response", reason="no_authn_response")
    given = Given(params, handle=webauthn.handle_of(params), name="authn_response")
    return login.resume(ctx, request.client, params["mfa_token"], given)


GRANT = Grant(
    "urn:okta:params:oauth:grant-type:mfa-webauthn",
    (
        Param("mfa_token", is_required=True, is_secret=True),
        Param("authn_response", is_secret=True, is_object=True),
        Param("auth_session", is_secret=True),
        *(Param(name, is_secret=True) for name in webauthn.FLAT),
    ),
    handle,
    "sewebauthnft",
    "fewebauthnft",
)
