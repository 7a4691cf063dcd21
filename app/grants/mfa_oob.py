"""Something outside of this request completes a login: a code that was sent, or a tap on a device."""

from app import login
from app.context import Context
from app.crypto import digest
from app.errors import SlowDown
from app.factors import push
from app.grants.grant import Grant, Param, TokenRequest
from app.mfa import Given
from app.store import challenges
from app.tokens.issue import TokenSet


def handle(ctx: Context, request: TokenRequest) -> TokenSet:
    """A poll that comes too early is told so after one look: floods of them must not hold up logins."""
    if "binding_code" not in request.params:
        with ctx.db.read() as conn:
            asked = challenges.find_challenge(conn, digest(request.params["oob_code"]))
        if asked is not None and push.is_too_soon(asked, ctx.now):
            raise SlowDown(reason="polled_too_fast")
    given = Given(request.params, handle=request.params["oob_code"])
    return login.resume(ctx, request.client, request.params["mfa_token"], given)


GRANT = Grant(
    "http://auth0.com/oauth/grant-type/mfa-oob",
    (
        Param("mfa_token", is_required=True, is_secret=True),
        Param("oob_code", is_required=True, is_secret=True),
        Param("binding_code", is_secret=True),
    ),
    handle,
    "seoobft",
    "feoobft",
)
