"""`/ticket/enrollment`: the page on which somebody adds a second factor, kind by kind.

It works without script, but for security keys, which only a script can talk to.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import segno
from flask import Blueprint, Response, request
from markupsafe import Markup

from app.accounts import enrollment
from app.accounts.enrollment import Opened
from app.channels import CHANNELS
from app.channels.channel import Channel
from app.errors import AuthorizationPending, InvalidGrant, InvalidRequest, Refusal, SlowDown
from app.factors import FACTORS, webauthn
from app.grants.dispatch import record_refusal
from app.web.lifecycle import context
from app.web.ticket import MAX_TOKEN, members_of_form, page, refusal_page

blueprint = Blueprint("enrollment_page", __name__, url_prefix="/ticket")

ACTION = "/ticket/enrollment"
TITLE = "Second factor"
KEY_REFUSED = "This key was not accepted. Please try again, or use another one."

NOT_YET = "The phone has not answered yet. Scan the picture with the app, and try again in some seconds."

Member = Callable[[str], str]


@dataclass(frozen=True)
class Choice:
    """How a kind is offered, shown and answered on the page."""

    about: str
    button: str
    template: str
    show: Callable[[dict[str, Any]], dict[str, Any]]
    """From what the factor shows to what the page shows."""
    read: Callable[[Member], tuple[dict[str, str], str]]
    """The members of the answer, and the handle of the challenge that it answers."""
    asks: str = ""
    label: str = ""
    type: str = ""
    value: str | None = None


def _picture(uri: object) -> Markup:
    drawn = segno.make(str(uri), error="m", micro=False).svg_inline(scale=5, border=2)
    return Markup(drawn)  # noqa: S704 - drawn here; it holds lines and no text


def _app(shown: dict[str, Any]) -> dict[str, Any]:
    uri = shown["barcode_uri"]
    return {"secret": shown["secret"], "barcode_uri": uri, "picture": _picture(uri)}


def _phone(shown: dict[str, Any]) -> dict[str, Any]:
    uri = shown["barcode_uri"]
    return {"oob_code": shown["oob_code"], "barcode_uri": uri, "picture": _picture(uri)}


def _key(shown: dict[str, Any]) -> dict[str, Any]:
    return {"options": json.dumps(shown["authn_params_public_key"])}


def _read_key(member: Member) -> tuple[dict[str, str], str]:
    members = {"authn_response": member("response")}
    return members, webauthn.handle_of(members)


WAYS = {"sms": "A code by text message.", "voice": "A code in a call.", "email": "A code by e-mail."}
ASKED = {
    "phone_number": ("Your number, beginning with + and the country", "tel"),
    "email": ("Your address", "email"),
}


def _code_over(channel: Channel) -> Choice:
    return Choice(
        WAYS.get(channel.name, f"A code over {channel.name}."),
        "Send a code",
        "ticket/enrollment_code.html",
        lambda shown: {"oob_code": shown["oob_code"]},
        lambda member: (
            {"oob_code": member("oob_code"), "binding_code": member("code")},
            member("oob_code"),
        ),
        channel.reaches,
        *ASKED[channel.reaches],
    )


def _registered(about: str) -> Choice:
    return Choice(about, "Begin", "ticket/enrollment_key.html", _key, _read_key)


CHOICES = {
    "totp": Choice(
        "An app on your phone that shows a new code every half minute.",
        "Use an app",
        "ticket/enrollment_app.html",
        _app,
        lambda member: ({"otp": member("code")}, ""),
    ),
    "webauthn-roaming": _registered("A security key that you carry with you."),
    "webauthn-platform": _registered("What is built into this device: a fingerprint, your face, or its PIN."),
    "push": Choice(
        "An app on your phone that asks you for a yes or no.",
        "Use the app",
        "ticket/enrollment_phone.html",
        _phone,
        lambda member: ({"oob_code": member("oob_code")}, member("oob_code")),
    ),
    **{name: _code_over(channel) for name, channel in CHANNELS.items() if channel.reaches},
}


def _choices(token: str, opened: Opened, status: int = 200, problem: str | None = None) -> Response:
    user = opened.user
    offered = [(f.kind, CHOICES[f.kind]) for f in opened.factors if f.kind in CHOICES]
    known = {"email": user.email, "phone_number": user.phone_number}
    return page(
        "ticket/enrollment.html",
        status,
        title=TITLE,
        who=user.email or user.username or user.phone_number,
        action=ACTION,
        ticket=token,
        problem=problem,
        choices=[(kind, replace(choice, value=known.get(choice.asks))) for kind, choice in offered],
    )


def _open(token: str) -> Opened:
    ctx = context()
    with ctx.db.read() as conn:
        return enrollment.open_for_enrollment(ctx, conn, token[:MAX_TOKEN])


@blueprint.get("/enrollment")
def show_enrollment() -> Response:
    token = request.args.get("ticket", "")
    try:
        return _choices(token, _open(token))
    except Refusal as refusal:
        return refusal_page(TITLE, refusal)


@blueprint.post("/enrollment")
def enroll() -> Response:
    """Without an answer a new authenticator is begun, with one it is confirmed."""
    context().facts.failure_event = "gd_start_enroll_failed"
    try:
        member = members_of_form()
        token = member("ticket")
        opened = _open(token)
        only = opened.factors[0].kind if len(opened.factors) == 1 else ""
        kind = member("kind") or only
        if kind not in CHOICES:
            return _choices(token, opened)
        if member("code") or member("response"):
            return _finish(token, opened, kind, member)
        return _begin(token, opened, kind, member)
    except Refusal as refusal:
        record_refusal(context(), refusal)
        return refusal_page(TITLE, refusal)


def _step(token: str, kind: str, status: int = 200, **values: Any) -> Response:
    choice = CHOICES[kind]
    return page(
        choice.template,
        status,
        has_script=FACTORS[kind].family == "webauthn",
        title=TITLE,
        action=ACTION,
        ticket=token,
        kind=kind,
        about=choice.about,
        **values,
    )


def _begin(token: str, opened: Opened, kind: str, member: Member) -> Response:
    asks = CHOICES[kind].asks
    ctx = context()
    try:
        shown = enrollment.begin(ctx, token, kind, {asks: member(asks)} if asks else {})
    except InvalidRequest as refusal:
        record_refusal(ctx, refusal)
        return _choices(token, opened, refusal.status, refusal.description)
    return _step(token, kind, **CHOICES[kind].show(shown))


def _finish(token: str, opened: Opened, kind: str, member: Member) -> Response:
    members, handle = CHOICES[kind].read(member)
    ctx = context()
    ctx.facts.failure_event = "gd_auth_failed"
    try:
        recovery_code = enrollment.finish(ctx, token, kind, members, handle)
    except (AuthorizationPending, SlowDown):
        return _step(token, kind, 400, problem=NOT_YET, oob_code=member("oob_code"))
    except InvalidGrant as refusal:
        record_refusal(ctx, refusal)
        if refusal.description == enrollment.RUN_OUT:
            return _choices(token, opened, 400, refusal.description)
        if refusal.description != FACTORS[kind].wrong_answer:
            raise
        if FACTORS[kind].family == "webauthn":
            return _choices(token, opened, 400, KEY_REFUSED)
        return _step(token, kind, 400, problem=refusal.description, oob_code=member("oob_code"))
    return page("ticket/enrolled.html", title=TITLE, recovery_code=recovery_code)
