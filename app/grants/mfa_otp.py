"""A one-time password completes a login, or confirms the authenticator app that was just enrolled."""

from app import login
from app.context import Context
from app.grants.grant import Grant, Param, TokenRequest
from app.mfa import Given
from app.tokens.issue import TokenSet


def handle(ctx: Context, request: TokenRequest) -> TokenSet:
    return login.resume(ctx, request.client, request.params["mfa_token"], Given(request.params, "totp"))


GRANT = Grant(
    "http://auth0.com/oauth/grant-type/mfa-otp",
    (Param("mfa_token", is_required=True, is_secret=True), Param("otp", is_required=True, is_secret=True)),
    handle,
    "seotpft",
    "feotpft",
)
