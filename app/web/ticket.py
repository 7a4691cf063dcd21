"""`/ticket/password` and `/ticket/verification`: the pages behind tickets. Plain HTML that needs no script.

A page that is only looked at uses nothing up: mail programs fetch every link before their reader does.
"""

import secrets
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, render_template, request

from app.accounts import tickets
from app.accounts.passwords import PasswordRefused
from app.context import Context
from app.errors import InvalidGrant, NotPossible, Refusal
from app.store.tenant import get_tenant
from app.store.tickets import Ticket
from app.store.users import User
from app.web.body import read_members
from app.web.lifecycle import context

blueprint = Blueprint("ticket", __name__, url_prefix="/ticket")

MAX_TOKEN = 200
TITLES = {
    "password": "New password",
    "verification": "Confirm your address",
    "unblock": "Log in again",
}
DONE = {
    "password": "Your password is set. You can log in with it now.",
    "verification": "Thank you, your address is confirmed.",
    "unblock": "You can log in again.",
}
DIFFERENT = "The two passwords are not the same."


def page(template: str, status: int = 200, *, has_script: bool = False, **values: Any) -> Response:
    """Nothing but this page's own style is allowed on it, and no other page may frame it."""
    ctx = context()
    nonce = secrets.token_urlsafe(16)
    with ctx.db.read() as conn:
        tenant = ctx.look_up(conn, get_tenant).name
    html = render_template(template, nonce=nonce, tenant=tenant, **values)
    response = Response(html, status, content_type="text/html; charset=utf-8")
    script = f"script-src 'nonce-{nonce}'; " if has_script else ""
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; {script}style-src 'nonce-{nonce}'; form-action 'self'; frame-ancestors 'none'; "
        "base-uri 'none'"
    )
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Frame-Options"] = "DENY"
    return response


def _form(kind: str, token: str, user: User, status: int = 200, **values: Any) -> Response:
    who = user.email or user.username or user.phone_number
    action = f"/ticket/{kind}"
    return page(
        f"ticket/{kind}.html", status, title=TITLES[kind], who=who, action=action, ticket=token, **values
    )


def refusal_page(title: str, refusal: Refusal) -> Response:
    return page("ticket/message.html", refusal.status, title=title, message=refusal.description)


def _refusal(kind: str, refusal: Refusal) -> Response:
    return refusal_page(TITLES[kind], refusal)


def _owner(ctx: Context, kind: str, token: str) -> User:
    with ctx.db.read() as conn:
        return tickets.open_ticket(ctx, conn, kind, token[:MAX_TOKEN])[1]


def _shown(kind: str) -> Response:
    token = request.args.get("ticket", "")
    try:
        return _form(kind, token, _owner(context(), kind, token))
    except InvalidGrant as refusal:
        return _refusal(kind, refusal)


def _finished(kind: str, ticket: Ticket) -> Response:
    return page(
        "ticket/message.html",
        title=TITLES[kind],
        message=DONE[kind],
        next_url=ticket.details.get("result_url"),
    )


def members_of_form() -> Callable[[str], str]:
    members = read_members()
    return lambda name: str(members.get(name) or "")


@blueprint.get("/password")
def show_password() -> Response:
    return _shown("password")


@blueprint.post("/password")
def set_password() -> Response:
    ctx = context()
    try:
        member = members_of_form()
        token, password = member("ticket"), member("password")
        user = _owner(ctx, "password", token)
        if password != member("again"):
            return _form("password", token, user, 400, problem=DIFFERENT)
        try:
            return _finished("password", tickets.change_password(ctx, token, password))
        except PasswordRefused as refusal:
            problem, policy = refusal.failure.message, refusal.failure.policy
            return _form("password", token, user, 400, problem=problem, policy=policy)
        except NotPossible as refusal:
            return _form("password", token, user, 400, problem=refusal.description)
    except Refusal as refusal:
        return _refusal("password", refusal)


@blueprint.get("/verification")
def show_verification() -> Response:
    return _shown("verification")


@blueprint.post("/verification")
def verify() -> Response:
    try:
        return _finished("verification", tickets.verify_email(context(), members_of_form()("ticket")))
    except Refusal as refusal:
        return _refusal("verification", refusal)


@blueprint.get("/unblock")
def show_unblock() -> Response:
    return _shown("unblock")


@blueprint.post("/unblock")
def unblock() -> Response:
    try:
        return _finished("unblock", tickets.unblock(context(), members_of_form()("ticket")))
    except Refusal as refusal:
        return _refusal("unblock", refusal)
