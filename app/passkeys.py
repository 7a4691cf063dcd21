"""Passkeys as the first factor: what a stranger is asked, and the login or the new account that the answer opens.

Nobody has said who they are when a challenge is made, so it tells nothing of anybody: the same options for everyone,
no credentials in them. Who it is stands in the answer, and every wrong answer is refused in the same words.
"""

import hmac
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError
from webauthn.helpers import bytes_to_base64url

from app import accounts, login, ruling, settling
from app.asking import Asking, Person, permitted
from app.channels import notices
from app.context import Context
from app.crypto import digest, random_id, random_token
from app.errors import Conflict, InvalidGrant, NotPossible, TemporarilyUnavailable, printable
from app.factors import ceremony, webauthn
from app.factors.ceremony import Asserted, Expected, Registered, Wrong
from app.factors.factor import demands_of
from app.factors.relying_party import origins_of, terms_of, user_handle
from app.factors.webauthn import ROAMING, WRONG
from app.guards import password_attempt
from app.guards.password_attempt import Attempt
from app.guards.protection import get_protection
from app.store import authenticators, passkeys, signing_keys, users
from app.store.clients import Client
from app.store.passkeys import Passkey, PasskeyChallenge
from app.store.realms import Realm
from app.store.users import User
from app.tokens.issue import TokenSet
from app.tokens.methods import PASSKEY, VERIFIED_PASSKEY, Methods

LIFETIME = timedelta(minutes=5)
PROFILE = (
    *("email", "username", "phone_number", "name", "given_name", "family_name", "nickname", "picture"),
    "user_metadata",
)


def begin_login(ctx: Context, client: Client, realm: Realm) -> dict[str, object]:
    """Ask for any passkey of this server."""
    made, session = _new_challenge(ctx, client, realm, ceremony.GET)
    options = ceremony.request_options(
        rp_id=made.rp_id, challenge=made.challenge, user_verification=made.verification, allowed=()
    )
    options.pop("allowCredentials", None)
    return _asked(ctx, made, session, options)


def begin_registration(ctx: Context, client: Client, realm: Realm, user: User) -> dict[str, object]:
    """Ask for a new passkey of somebody who is not there yet. Whether they can be, is looked at with the answer."""
    names = PROFILE
    person = {"id": user.id} | {name: getattr(user, name) for name in names}
    made, session = _new_challenge(ctx, client, realm, ceremony.CREATE, person)
    account = user.email or user.username or user.phone_number or user.id
    options = ceremony.creation_options(
        rp_id=made.rp_id,
        rp_name=realm.display_name or realm.name,
        challenge=made.challenge,
        user_handle=user_handle(user.id),
        user_name=account,
        display_name=user.name or account,
        attachment=None,
        resident_key="required",
        user_verification=made.verification,
        excluded=(),
    )
    return _asked(ctx, made, session, options)


def _new_challenge(
    ctx: Context, client: Client, realm: Realm, kind: str, person: dict[str, Any] | None = None
) -> tuple[PasskeyChallenge, str]:
    session = random_token()
    with ctx.db.read() as conn:
        rp_id, verification = terms_of(ctx, conn, ROAMING.kind, demands_of(realm))
    made = PasskeyChallenge(
        handle_digest=digest(session),
        client_id=client.id,
        realm_id=realm.id,
        ceremony=kind,
        challenge=random_token(),
        rp_id=rp_id,
        verification=verification,
        expires_at=ctx.now + LIFETIME,
        person=person or {},
    )
    return made, session


def _asked(ctx: Context, made: PasskeyChallenge, session: str, options: dict[str, Any]) -> dict[str, object]:
    with ctx.db.write() as conn:
        passkeys.add_passkey_challenge(conn, made)
    return {"auth_session": session, "authn_params_public_key": options}


def find_challenge(ctx: Context, client: Client, session: str) -> PasskeyChallenge:
    """What this application's user was asked. Raises InvalidGrant."""
    with ctx.db.read() as conn:
        found = passkeys.find_passkey_challenge(conn, digest(session))
    if found is None or found.client_id != client.id:
        raise InvalidGrant(WRONG, reason="no_challenge")
    if found.used_at is not None or found.expires_at <= ctx.now:
        raise InvalidGrant(WRONG, reason="challenge_used" if found.used_at else "challenge_expired")
    return found


def authenticate(ctx: Context, asking: Asking, challenge: PasskeyChallenge, response: str) -> TokenSet:
    """The answer opens a login, which then owes what every login owes. Raises the refusals of its story."""
    credential = webauthn.read_response(response) or {}
    user: User | None = None
    known: Passkey | None = None
    found: Registered | Asserted
    opened: settling.Opened | None = None
    with ctx.db.read() as conn:
        if challenge.ceremony == ceremony.GET:
            known = passkeys.find_passkey(conn, str(credential.get("id")))
            user = users.find_user(conn, known.user_id) if known else None
        protection = ctx.look_up(conn, get_protection)
    if user is not None and user.realm_id == asking.realm.id:
        ctx.facts.user_id, ctx.facts.user_name = user.id, user.email or user.username
    ctx.facts.factor = PASSKEY
    ctx.facts.details["passkey"] = _told_of(challenge, credential, known)
    attempt = password_attempt.attempt_of(ctx, protection, asking.client, asking.realm, user, "")
    # Nobody guesses a signature: who sends wrong ones shall not lock the owner out, who sends many is slowed down.
    attempt = replace(attempt, failures=None, login=attempt.login if user else None)
    password_attempt.before(ctx, attempt)
    try:
        expected = Expected(
            challenge.rp_id, challenge.challenge, origins_of(ctx, asking.client), challenge.verification
        )
        try:
            if not credential:
                raise Wrong("malformed_response")
            if challenge.ceremony == ceremony.CREATE:
                user, found = _register(ctx, asking, challenge, credential, expected)
            else:
                user, known, found = _assert(asking, known, user, credential, expected)
                opened = settling.Opened(partial(_use, challenge, known, found), WRONG)
        except Wrong as wrong:
            ctx.facts.details |= wrong.details
            settling.refuse(ctx, InvalidGrant(WRONG, reason=wrong.reason), wrong=attempt)
        return _finish(ctx, asking, user, found, opened, attempt)
    except TemporarilyUnavailable as refusal:
        settling.take_back(ctx, attempt, refusal)


def _told_of(
    challenge: PasskeyChallenge, credential: dict[str, Any], known: Passkey | None
) -> dict[str, object]:
    """For the events of a login: which passkey, for whom it was asked, and where it says that it was used."""
    response = credential.get("response") or {}
    told: dict[str, object] = {
        "id": known.id if known is not None else None,
        "key_id": printable(str(credential.get("id", "")))[:200] if known is None else None,
        "rp_id": challenge.rp_id,
        "origin": ceremony.origin_of(response.get("clientDataJSON")),
    }
    return {name: value for name, value in told.items() if value}


def _finish(
    ctx: Context,
    asking: Asking,
    user: User,
    found: Registered | Asserted,
    opened: "settling.Opened | None",
    attempt: Attempt,
) -> TokenSet:
    with ctx.db.read() as conn:
        owned = tuple(authenticators.list_authenticators(conn, user.id))
        signers = ctx.look_up(conn, signing_keys.list_signers)
        rules = ruling.in_force(ctx, conn)
        asking = permitted(conn, asking, user)
    person = Person(user, owned, _methods(ctx, found))
    return login.finish(ctx, asking, person, signers, rules, attempt=attempt, opened=opened)


def _methods(ctx: Context, found: Registered | Asserted) -> Methods:
    first = VERIFIED_PASSKEY if found.is_user_verified else PASSKEY
    return tuple((name, int(ctx.now.timestamp())) for name in (first, *webauthn.traits_of(found)))


def _check_synced(realm: Realm, found: Registered | Asserted) -> None:
    if found.is_synced and demands_of(realm).synced == "refuse":
        raise Wrong("synced_key")


def _assert(
    asking: Asking, known: Passkey | None, user: User | None, credential: dict[str, Any], expected: Expected
) -> tuple[User, Passkey, Asserted]:
    """Raises Wrong."""
    if known is None or user is None:
        raise Wrong("unknown_passkey")
    if user.realm_id != asking.realm.id:
        raise Wrong("other_realm")
    owner = str(credential["response"].get("userHandle"))
    own = bytes_to_base64url(user_handle(user.id))
    if not hmac.compare_digest(owner.encode(), own.encode()):
        raise Wrong("other_user_handle")
    if known.rp_id != expected.rp_id:
        raise Wrong("other_relying_party")
    found = ceremony.read_assertion(credential, known.public_key, expected)
    if known.details["is_synced"] != found.is_synced:
        raise Wrong("sync_changed")
    if found.counter <= known.counter and (found.counter, known.counter) != (0, 0):
        raise Wrong("counter_went_back")
    _check_synced(asking.realm, found)
    return user, known, found


def _use(
    challenge: PasskeyChallenge, known: Passkey, found: Asserted, conn: Connection, now: datetime
) -> bool:
    if not passkeys.consume_passkey_challenge(conn, challenge.handle_digest, now):
        return False
    details = known.details | {"is_backed_up": found.is_backed_up}
    return passkeys.note_passkey_use(conn, known, found.counter, details, now)


def _register(
    ctx: Context,
    asking: Asking,
    challenge: PasskeyChallenge,
    credential: dict[str, Any],
    expected: Expected,
) -> tuple[User, Registered]:
    """The account and its passkey, both or neither. Raises Wrong, for a name that is taken as for a bad answer."""
    if not asking.realm.takes_signups:
        raise Wrong("signup_disabled")
    new = ceremony.read_registration(credential, expected)
    _check_synced(asking.realm, new)
    try:
        user = accounts.new_user(asking.realm, ctx.now, **challenge.person)
        made = _passkey_of(ctx, user, new, challenge.rp_id)
        with ctx.db.write() as conn:
            if not passkeys.consume_passkey_challenge(conn, challenge.handle_digest, ctx.now):
                raise Wrong("challenge_used")
            if authenticators.find_by_credential(conn, new.id) is not None:
                raise Wrong("credential_known")
            ctx.facts.details["passkey"] = _told_of(challenge, credential, made)
            accounts.sign_up(conn, ctx, user, None)
            passkeys.add_passkey(conn, made)
            notices.put(conn, ctx, user, "factor_added", factor=PASSKEY)
    except (Conflict, NotPossible):
        raise Wrong("identifier_taken") from None
    except IntegrityError:
        raise Wrong("credential_known") from None
    with ctx.db.read() as conn:
        return users.find_user(conn, user.id) or user, new


def _passkey_of(ctx: Context, user: User, new: Registered, rp_id: str) -> Passkey:
    details: dict[str, object] = {
        "aaguid": new.aaguid,
        "is_synced": new.is_synced,
        "is_backed_up": new.is_backed_up,
        "user_agent": ctx.user_agent[:300],
    }
    return Passkey(
        id=f"passkey|dev_{random_id()}",
        user_id=user.id,
        credential_id=new.id,
        public_key=new.public_key,
        rp_id=rp_id,
        counter=new.counter,
        created_at=ctx.now,
        details=details,
        last_used_at=ctx.now,
    )
