"""The recovery code completes a login; the answer brings the next one."""

from app import login
from app.context import Context
from app.grants.grant import Grant, Param, TokenRequest
from app.mfa import Given
from app.tokens.issue import TokenSet


def handle(ctx: Context, request: TokenRequest) -> TokenSet:
    given = Given(request.params, "recovery_code")
    return login.resume(ctx, request.client, request.params["mfa_token"], given)


GRANT = Grant(
    "http://auth0.com/oauth/grant-type/mfa-recovery-code",
    (
        Param("mfa_token", is_required=True, is_secret=True),
        Param("recovery_code", is_required=True, is_secret=True),
    ),
    handle,
    "sercft",
    "fercft",
)
