"""`/mfa/challenge`, `/mfa/associate`, `/mfa/authenticators`."""

from flask import Blueprint, Response

from app import mfa, own_factors
from app.context import Context
from app.errors import InvalidGrant, InvalidRequest, Refusal
from app.grants.client_auth import PARAMS
from app.grants.dispatch import Asked, identify, record_refusal, text_member
from app.tokens.mfa_token import OTHER_CLIENT
from app.web.answers import answer
from app.web.bearer import bearer_token
from app.web.lifecycle import context
from app.web.oauth import asked

blueprint = Blueprint("mfa", __name__, url_prefix="/mfa")

DEVICE = ("phone_number", "email", "name")  # what a client may say of the authenticator to enrol
CHALLENGE_TYPES = "otp oob"  # what a client that names none is taken to support
ENROLLED_AS = {"webauthn": "webauthn-roaming"}  # a family is asked for as one, and enrolled kind by kind


def _recorded(ctx: Context, refusal: Refusal) -> Refusal:
    record_refusal(ctx, refusal)
    return refusal


@blueprint.post("/challenge")
def challenge() -> Response:
    ctx, request = context(), asked()
    ctx.facts.failure_event = "gd_auth_failed"
    try:
        client = identify(ctx, request).client
        token = text_member(request.members, "mfa_token")
        if token is None:
            raise InvalidRequest("Missing required parameter: mfa_token", reason="no_mfa_token")
        types = text_member(request.members, "challenge_type", takes_list=True) or CHALLENGE_TYPES
        authenticator_id = text_member(request.members, "authenticator_id")
        channel = text_member(request.members, "oob_channel")
        wanted = mfa.Wanted(tuple(types.split()), authenticator_id, channel)
        return answer(mfa.challenge(ctx, client, token, wanted))
    except Refusal as refusal:
        raise _recorded(ctx, refusal) from None


@blueprint.post("/associate")
def associate() -> Response:
    ctx, request = context(), asked()
    ctx.facts.failure_event = "gd_start_enroll_failed"
    try:
        bearer = _bearer(ctx, "enroll")
        _check_client(ctx, request, bearer.opened.client_id)
        types = text_member(request.members, "authenticator_types", takes_list=True)
        if types is None:
            raise InvalidRequest("Missing required parameter: authenticator_types", reason="no_types")
        channels = text_member(request.members, "oob_channels", takes_list=True) or ""
        members = {name: text_member(request.members, name) for name in DEVICE}
        named = {name: value for name, value in members.items() if value is not None}
        kinds = tuple(ENROLLED_AS.get(word, word) for word in types.split())
        access_pass = text_member(request.members, "access_pass")
        return answer(own_factors.associate(ctx, bearer, kinds, tuple(channels.split()), named, access_pass))
    except Refusal as refusal:
        raise _recorded(ctx, refusal) from None


@blueprint.get("/authenticators")
def list_authenticators() -> Response:
    ctx = context()
    return answer(own_factors.listed(ctx, _bearer(ctx, "read:authenticators")))


@blueprint.delete("/authenticators/<path:authenticator_id>")
def remove_authenticator(authenticator_id: str) -> Response:
    ctx = context()
    ctx.facts.failure_event = "gd_unenroll_failed"
    try:
        own_factors.remove(ctx, _bearer(ctx, "remove:authenticators", accepts_stored=False), authenticator_id)
    except Refusal as refusal:
        raise _recorded(ctx, refusal) from None
    return Response(status=204)


def _bearer(ctx: Context, scope: str, *, accepts_stored: bool = True) -> own_factors.Bearer:
    token = bearer_token()
    if token is None:
        raise InvalidGrant(own_factors.BAD_BEARER, reason="no_token", status=401)
    with ctx.db.read() as conn:
        return own_factors.open_bearer(ctx, conn, token, scope, accepts_stored=accepts_stored)


def _check_client(ctx: Context, request: Asked, client_id: str) -> None:
    """SDKs differ in whether they name the client here; one that is named must be the token's, and proven."""
    named = {name: text_member(request.members, name) for name in PARAMS}
    if named["client_secret"] or named["client_assertion"]:
        unsigned = Asked({name: value for name, value in named.items() if value}, None)
        named["client_id"] = identify(ctx, unsigned).client.id
    if named["client_id"] not in (None, client_id):
        raise InvalidRequest(OTHER_CLIENT, reason="foreign_mfa_token", event=ctx.facts.failure_event)
