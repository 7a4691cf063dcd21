"""`/oauth/token`, `/oauth/revoke`, `/userinfo`."""

from dataclasses import fields

from flask import Blueprint, Response, request

from app.errors import AccessDenied, InsufficientScope, InvalidClient, InvalidRequest, InvalidToken
from app.grants import GRANTS, end_user, revocation
from app.grants.dispatch import Asked, exchange, identify, record_refusal, text_member
from app.tokens import access, identity
from app.tokens.issue import TokenSet
from app.web.answers import JSON_BARE, answer
from app.web.bearer import bearer_token, unauthorized
from app.web.body import read_members, read_raw
from app.web.lifecycle import context

blueprint = Blueprint("oauth", __name__)

SECRETS = {param.name for grant in GRANTS.values() for param in grant.params if param.is_secret} | {
    "client_secret",
    "client_assertion",
    "token",
}


def asked() -> Asked:
    """Raises InvalidRequest, also for a secret in the address: proxies and browsers keep those (RFC 6749 2.3.1)."""
    if not SECRETS.isdisjoint(request.args):
        raise InvalidRequest(
            "Credentials belong in the body, not in the address.", reason="secret_in_address"
        )
    body = read_raw()
    return Asked(
        members=read_members(body),
        authorization=request.headers.get("Authorization"),
        forwarded_for=request.headers.get("auth0-forwarded-for"),
        end_user=request.headers.get(end_user.HEADER),
        body=body,
    )


@blueprint.post("/oauth/token")
def token() -> Response:
    issued = exchange(context(), asked())
    members = {f.name: getattr(issued, f.name) for f in fields(TokenSet)}
    return answer({name: value for name, value in members.items() if value is not None}, media_type=JSON_BARE)


@blueprint.post("/oauth/revoke")
def revoke() -> Response:
    ctx = context()
    request_ = asked()
    try:
        client = identify(ctx, request_).client
    except (AccessDenied, InvalidClient) as refusal:
        refused = InvalidClient(reason=refusal.reason, headers=refusal.headers, event="f")
        record_refusal(ctx, refused)
        raise refused from None
    found = text_member(request_.members, "token")
    if found is None:
        raise InvalidRequest("Missing required parameter: token", reason="no_token")
    revocation.revoke(ctx, client, found)
    return Response(status=200)


@blueprint.route("/userinfo", methods=["GET", "POST"])
def userinfo() -> Response:
    ctx = context()
    presented = bearer_token()
    if presented is None:
        raise unauthorized("no_token")
    try:
        with ctx.db.read() as conn:
            bearer = access.verify_for_userinfo(ctx, conn, presented)
    except InvalidToken as refusal:
        raise unauthorized(refusal.reason) from None
    ctx.facts.client_id, ctx.facts.user_id = bearer.client_id, bearer.user.id
    if "openid" not in bearer.scope:
        headers = {"WWW-Authenticate": 'Bearer error="insufficient_scope", scope="openid"'}
        raise InsufficientScope("The token lacks the scope openid.", reason="no_openid", headers=headers)
    return answer(identity.profile(bearer.user, bearer.scope))
