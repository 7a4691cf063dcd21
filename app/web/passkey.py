"""`/passkey/register`, `/passkey/challenge`: what an application asks before the passkey grant."""

from flask import Blueprint, Response

from app import accounts, passkeys
from app.context import Context
from app.errors import InvalidRequest, NotPossible, TooManyAttempts, UnauthorizedClient
from app.grants import passkey
from app.grants.dispatch import record_refusal, text_member
from app.grants.password import NO_DEFAULT_DIRECTORY, REALM_DISABLED, UNKNOWN_REALM
from app.guards import ip_throttle, passkey_asks
from app.store import clients, realms
from app.store.clients import Client
from app.store.realms import Realm
from app.web.answers import answer
from app.web.body import read_members
from app.web.dbconnections import read_metadata, read_profile
from app.web.lifecycle import context

blueprint = Blueprint("passkey", __name__, url_prefix="/passkey")


def _place(ctx: Context, members: dict[str, object]) -> tuple[Client, Realm]:
    """The application and the realm that takes its passkeys. Raises InvalidRequest, UnauthorizedClient."""
    client_id, name = text_member(members, "client_id"), text_member(members, "realm")
    if client_id is None:
        raise InvalidRequest("Missing required parameter: client_id", reason="no_client_id")
    with ctx.db.read() as conn:
        client = ctx.look_up(conn, clients.find_client, client_id)
        place = ctx.look_up(conn, realms.get_place, name, client_id)
    if client is None or not client.is_enabled:
        raise InvalidRequest("Unknown client", reason="unknown_client")
    ctx.facts.client_id = client.id
    grant_type = passkey.GRANT.grant_type
    if grant_type not in client.grant_types or not client.is_first_party:
        raise UnauthorizedClient(grant_type, reason="grant_not_allowed")
    name = name or place.tenant.default_directory
    if name is None:
        raise InvalidRequest(NO_DEFAULT_DIRECTORY, reason="no_default_directory")
    if place.realm is None:
        raise InvalidRequest(UNKNOWN_REALM.format(name=name), reason="unknown_realm")
    if not place.realm.is_enabled or not place.realm.takes_passkeys or not place.is_for_client:
        raise InvalidRequest(REALM_DISABLED, reason="realm_disabled")
    return client, place.realm


@blueprint.post("/challenge")
def challenge() -> Response:
    ctx, members = context(), read_members()
    client, realm = _place(ctx, members)
    passkey_asks.before(ctx, client)
    return answer(passkeys.begin_login(ctx, client, realm))


@blueprint.post("/register")
def register() -> Response:
    """The same answer whether or not there is somebody of that name."""
    ctx, members = context(), read_members()
    client, realm = _place(ctx, members)
    if not realm.takes_signups:
        raise InvalidRequest("public signup is disabled", reason="signup_disabled")
    given = members.get("user_profile") or {}
    if not isinstance(given, dict):
        raise InvalidRequest("user_profile must be an object", reason="user_profile")
    profile, metadata = read_profile(given, realm), read_metadata(members)
    try:
        new = accounts.new_user(realm, ctx.now, user_metadata=metadata, **profile)
    except NotPossible as refusal:
        raise InvalidRequest(refusal.description, reason="cannot_be") from None
    passkey_asks.before(ctx, client)
    try:
        ip_throttle.before_signup(ctx)
    except TooManyAttempts as refusal:
        record_refusal(ctx, refusal)
        raise
    return answer(passkeys.begin_registration(ctx, client, realm, accounts.with_defaults(new)))
