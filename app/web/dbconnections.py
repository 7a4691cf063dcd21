"""`/dbconnections/signup` and `/dbconnections/change_password`: what people may do for themselves by an application."""

from flask import Blueprint, Response

from app import accounts, audit
from app.accounts import passwords, tickets
from app.accounts.passwords import PasswordRefused
from app.addresses import network_of
from app.context import Context
from app.errors import Conflict, InvalidRequest, NotPossible, TooManyAttempts
from app.grants.dispatch import record_refusal, text_member
from app.guards import brute_force, ip_throttle, sends
from app.store import clients, realms, users
from app.store.clients import Client
from app.store.realms import Realm
from app.web.answers import answer, error_id
from app.web.body import read_members
from app.web.lifecycle import context

blueprint = Blueprint("dbconnections", __name__, url_prefix="/dbconnections")

SENT = "We've just sent you an email to reset your password."
PROFILE = "email username phone_number given_name family_name name nickname picture".split()
LONGEST = {"name": 300, "given_name": 150, "family_name": 150, "nickname": 300, "picture": 2000}
MAX_METADATA = 10
MAX_NAME, MAX_VALUE = 100, 500


def _legacy(name: str, code: str, description: object, **more: object) -> Response:
    """The shape of these two endpoints' refusals, older than all others."""
    body = {"name": name, "code": code, "description": description, "statusCode": 400} | more | error_id()
    return answer({key: value for key, value in body.items() if value is not None}, status=400)


def _place(ctx: Context, members: dict[str, object]) -> tuple[Client, Realm]:
    """The application and the connection that it may use. Raises InvalidRequest."""
    client_id, connection = text_member(members, "client_id"), text_member(members, "connection")
    if client_id is None:
        raise InvalidRequest("client_id parameter is mandatory", reason="no_client_id")
    if connection is None:
        raise InvalidRequest("connection parameter is mandatory", reason="no_connection")
    with ctx.db.read() as conn:
        client = ctx.look_up(conn, clients.find_client, client_id)
        place = ctx.look_up(conn, realms.get_place, connection, client_id)
    if client is None or not client.is_enabled:
        raise InvalidRequest("Unknown client", reason="unknown_client")
    ctx.facts.client_id = client.id
    if place.realm is None or not place.is_for_client or not place.realm.is_enabled:
        raise InvalidRequest("The connection does not exist or is not enabled", reason="unknown_connection")
    ctx.facts.realm = place.realm.name
    return client, place.realm


def read_metadata(members: dict[str, object]) -> dict[str, object]:
    found = members.get("user_metadata") or {}
    if not isinstance(found, dict) or len(found) > MAX_METADATA:
        raise InvalidRequest("user_metadata must be an object of at most 10 members", reason="user_metadata")
    for name, value in found.items():
        if not isinstance(value, str) or len(name) > MAX_NAME or len(value) > MAX_VALUE:
            text = "user_metadata members are texts of at most 500 characters"
            raise InvalidRequest(text, reason="user_metadata")
    return found


def read_profile(members: dict[str, object], realm: Realm) -> dict[str, str | None]:
    """What somebody says of themselves. Raises InvalidRequest."""
    options = realm.options
    profile = {name: text_member(members, name) for name in PROFILE}
    if profile["email"] is not None:
        profile["email"] = profile["email"].lower()
    if options.get("requires_username") and profile["username"] is None:
        raise InvalidRequest("username is required", reason="no_username")
    if (
        profile["username"]
        and not options.get("requires_username")
        and not realm.takes_identifier("username")
    ):
        raise InvalidRequest("username is not allowed", reason="username_not_allowed")
    if profile["phone_number"] and not realm.takes_identifier("phone_number"):
        raise InvalidRequest("phone_number is not allowed", reason="phone_number_not_allowed")
    for word, most in LONGEST.items():
        if len(profile[word] or "") > most:
            raise InvalidRequest(f"{word} is too long", reason="too_long")
    if profile["picture"] and not profile["picture"].startswith(("https://", "http://")):
        raise InvalidRequest("picture must be an address", reason="bad_picture")
    return profile


@blueprint.post("/signup")
def signup() -> Response:
    ctx = context()
    try:
        return _sign_up(ctx, read_members())
    except PasswordRefused as refusal:
        _record(ctx, "fs", refusal.failure.code)
        failure = refusal.failure
        return _legacy(
            failure.name, failure.code, failure.description, message=failure.message, policy=failure.policy
        )
    except Conflict:
        _record(ctx, "fs", "identifier_taken")
        return _legacy("BadRequestError", "invalid_signup", "Invalid sign up")
    except NotPossible as refusal:
        _record(ctx, "fs", "cannot_be")
        return _legacy("BadRequestError", "invalid_signup", refusal.description)
    except TooManyAttempts as refusal:
        record_refusal(ctx, refusal)
        raise


def _sign_up(ctx: Context, members: dict[str, object]) -> Response:
    client, realm = _place(ctx, members)
    ctx.server.gate.is_asked_by(client.id, network_of(ctx.ip))
    options = realm.options
    if options.get("disable_signup") or realm.kind != "database" or not realm.takes_passwords:
        raise InvalidRequest("public signup is disabled", reason="signup_disabled")
    password = text_member(members, "password")
    if password is None:
        raise InvalidRequest("password is required", reason="no_password")
    profile = read_profile(members, realm)
    ctx.facts.user_name = profile["email"] or profile["username"] or profile["phone_number"]
    metadata = read_metadata(members)
    user = accounts.with_defaults(accounts.new_user(realm, ctx.now, user_metadata=metadata, **profile))
    ip_throttle.before_signup(ctx)
    # Hashed whether or not the name is taken: the time must not tell.
    password_hash = passwords.hash_checked(ctx, realm, user, password)
    with ctx.db.write() as conn:
        accounts.sign_up(conn, ctx, user, password_hash)
    found = {
        "_id": user.id.partition("|")[2],
        "email": user.email,
        "email_verified": False,
        "username": user.username,
        "phone_number": user.phone_number,
        "phone_verified": False if user.phone_number else None,
        "user_metadata": user.user_metadata or None,
    }
    return answer({name: value for name, value in found.items() if value is not None})


@blueprint.post("/change_password")
def change_password() -> Response:
    """The same answer in the same time, whoever asks for whomever and how often; only people get a ticket."""
    ctx, members = context(), read_members()
    _, realm = _place(ctx, members)
    name = next((found for word in PROFILE[:3] if (found := text_member(members, word))), None)
    if name is None:
        raise InvalidRequest("email parameter is mandatory", reason="no_email")
    ctx.facts.user_name = name[:255]
    with ctx.db.write() as conn:
        user = users.find_user_by_key(conn, realm.id, users.key_of(name))
        is_open = (
            passwords.are_kept(realm, user)
            and realm.takes_passwords
            and not realm.options.get("disable_self_service_change_password")
        )
        ctx.facts.user_id = user.id if user is not None else None
        has_room = sends.may_ask_for_reset(conn, ctx, brute_force.identity_of(realm, user, name))
        if not has_room or user is None or not user.email or user.is_blocked or not is_open:
            user = None
        tickets.send_reset(conn, ctx, realm, user)
        if user is not None:
            audit.record(conn, ctx, "scpr")
        else:
            audit.record(conn, ctx, "fcpr", "nobody_to_write_to" if has_room else "reset_limit")
    return Response(SENT, content_type="text/html; charset=utf-8")


def _record(ctx: Context, type: str, reason: str) -> None:
    with ctx.db.write() as conn:
        audit.record(conn, ctx, type, reason)
