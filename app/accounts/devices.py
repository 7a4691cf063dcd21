"""What the app on a phone does by itself: hand in its key, answer a push, keep its entry up to date, or remove it.

A phone never logs anybody in. It settles a challenge, and the client that holds the `oob_code` and the `mfa_token`
completes the login with it.
"""

import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection

from app import audit
from app.accounts import factors
from app.channels import notices
from app.context import Context
from app.crypto import digest, owner_of, random_token
from app.errors import Forbidden, InvalidToken, Missing, Unauthorized
from app.factors import FACTORS
from app.factors.push import BASE_PATH, KIND, device_id, number_digest
from app.guards import pushes
from app.store import authenticators, challenges, realms, tenant, users
from app.store.authenticators import Authenticator
from app.store.challenges import Challenge
from app.store.users import User
from app.tokens import phone

NO_TICKET = "The enrollment transaction is not found or is expired."
NO_TRANSACTION = "The transaction is not found or is expired."
NO_DEVICE = "The device account is not found."
BAD_TOKEN = "Invalid token."  # noqa: S105 - a text
REJECTED, WRONG_NUMBER = "rejected_by_person", "wrong_number"
BAD_NUMBER = "The number is not the one that the login shows."


@dataclass(frozen=True)
class Said:
    """What a phone says of itself; None for what it did not mention."""

    identifier: str | None = None
    """By which it signs its answers: its own name for itself, and not the enrolment's id."""
    name: str | None = None
    push_credentials: Mapping[str, str] | None = field(default=None, repr=False)
    """`service` and `token`."""
    public_key: Mapping[str, str] = field(default_factory=dict)
    matches_numbers: bool = False


def enroll(ctx: Context, ticket: str, said: Said) -> dict[str, object]:
    """Take a phone's key for the place that a login made. Raises Missing."""
    with ctx.db.read() as conn:
        asked = challenge_of(conn, ticket)
        if asked is None or not asked.details.get("is_enrollment") or not is_waiting(ctx, asked):
            raise Missing(NO_TICKET, reason="enrollment_transaction_not_found")
        device, user = asked_and_owner(ctx, conn, asked)
        issuer_name = ctx.look_up(conn, tenant.get_tenant).name
    token = random_token()
    kept = _written(ctx, device, said)
    details = kept.details | {"public_key": dict(said.public_key), "matches_numbers": said.matches_numbers}
    with ctx.db.write() as conn:
        users.lock_user(conn, user.id)
        if not challenges.answer_challenge(conn, asked.id, "approved", ctx.now):
            raise Missing(NO_TICKET, reason="enrollment_transaction_not_found")
        authenticators.save_device(conn, replace(kept, details=details, code_digest=digest(token)))
        audit.record(conn, ctx, "gd_enrollment_complete", "", {"id": device.id, "name": said.name})
    return {
        "id": device_id(device),
        "url": ctx.issuer + BASE_PATH,
        "issuer": issuer_name,
        "user_id": user.id,
        "token": token,
    }


def answer(ctx: Context, phones: str, response: str) -> None:
    """Settle a challenge by what a phone says. Raises Unauthorized, Missing, Forbidden."""
    with ctx.db.read() as conn:
        asked = challenge_of(conn, phones)
        if asked is None or asked.details.get("is_enrollment"):
            raise Unauthorized(BAD_TOKEN, reason="invalid_token")
        device, user = asked_and_owner(ctx, conn, asked)
    if not is_waiting(ctx, asked):
        raise Missing(NO_TRANSACTION, reason="login_transaction_not_found")
    try:
        claims = _claims(ctx, device, asked, response)
    except InvalidToken as invalid:
        refused = Unauthorized(BAD_TOKEN, reason="invalid_token")
        with ctx.db.write() as conn:
            audit.record(conn, ctx, "gd_auth_failed", invalid.reason)
        raise refused from None
    reason = _objection(asked, phones, claims)
    details: dict[str, object] = {"id": device.id}
    given = claims.get("auth0_guardian_reason")
    if isinstance(given, str):
        details["reason"] = "".join(c for c in given if c.isprintable())[:200]
    with ctx.db.write() as conn:
        users.lock_user(
            conn, user.id
        )  # first, as everywhere: whoever asks again at this moment holds it, too
        state = "rejected" if reason else "approved"
        if not challenges.answer_challenge(conn, asked.id, state, ctx.now):
            raise Missing(NO_TRANSACTION, reason="login_transaction_not_found")
        if reason:
            pushes.rejected(conn, ctx, device)
        else:
            pushes.approved(conn, device.user_id)
        if reason == REJECTED:
            notices.put(conn, ctx, user, "push_rejected")
        audit.record(conn, ctx, "gd_auth_rejected" if reason else "gd_auth_succeed", reason, details)
    if reason == WRONG_NUMBER:
        raise Forbidden(BAD_NUMBER, reason="invalid_binding_code")


def _objection(asked: Challenge, phones: str, claims: Mapping[str, Any]) -> str:
    """Why it is a no; empty for a yes. Whoever types a wrong number does not see the login: no second guess."""
    if not claims["auth0_guardian_accepted"]:
        return REJECTED
    wanted, given = asked.details.get("number_digest"), claims.get("binding_code")
    if wanted is None:
        return ""
    if not isinstance(given, str) or not given.isascii():
        return WRONG_NUMBER
    is_right = hmac.compare_digest(number_digest(phones, given), wanted)
    return "" if is_right else WRONG_NUMBER


def _claims(ctx: Context, device: Authenticator, asked: Challenge, response: str) -> dict[str, Any]:
    """Raises InvalidToken."""
    claims = _verified(
        ctx, device, response, "resolve-transaction", str(device.details.get("identifier", ""))
    )
    nonce = claims["sub"]
    if not nonce.isascii() or digest(nonce) != asked.details.get("nonce_digest"):
        raise InvalidToken(reason="other_challenge")
    if claims.get("auth0_guardian_method") != "push":
        raise InvalidToken(reason="wrong_kind")
    if not isinstance(claims.get("auth0_guardian_accepted"), bool):
        raise InvalidToken(reason="bad_claims")
    return claims


def _verified(ctx: Context, device: Authenticator, token: str, endpoint: str, issuer: str) -> dict[str, Any]:
    """Raises InvalidToken."""
    key = device.details.get("public_key")
    if not isinstance(key, dict):
        raise InvalidToken(reason="no_key")
    audience = f"{ctx.issuer}{BASE_PATH}/api/{endpoint}"
    return phone.verify(token, key, audience=audience, issuer=issuer, now=ctx.now)


def update(ctx: Context, enrollment_id: str, token: str, said: Said) -> None:
    """Raises Missing, Unauthorized."""
    device, user = _own(ctx, enrollment_id, token)
    changed = [name for name in ("identifier", "name", "push_credentials") if getattr(said, name) is not None]
    with ctx.db.write() as conn:
        users.lock_user(conn, user.id)
        newest = authenticators.find_by_device(conn, device.id, ())  # as the one before left it
        if newest is None:
            raise Missing(NO_DEVICE, reason="device_account_not_found")
        authenticators.save_device(conn, _written(ctx, newest, said))
        audit.record(conn, ctx, "gd_update_device_account", "", {"id": device.id, "changed": changed})


def remove(ctx: Context, enrollment_id: str, token: str) -> None:
    """Raises Missing, Unauthorized.

    The last factor is only shut. Deleted, it would leave the account to the password alone, and what a phone shows
    here is no second factor: the token may have been copied from it.
    """
    device, user = _own(ctx, enrollment_id, token)
    with ctx.db.write() as conn:
        users.lock_user(conn, user.id)
        owned = authenticators.list_authenticators(conn, user.id)
        others = [a for a in owned if a.is_active and a.id != device.id and FACTORS[a.kind].is_challengeable]
        if device.confirmed_at is not None and len(others) < _least(conn, user):
            authenticators.disable_authenticator(conn, device.id, ctx.now)
            notices.put(conn, ctx, user, "factor_removed")
            audit.record(conn, ctx, "gd_unenroll", "shut_by_device", {"id": device.id})
            return
        factors.remove(conn, ctx, user, device.id, reason="removed_by_device")


def _least(conn: Connection, user: User) -> int:
    """How many factors somebody keeps who lets one go."""
    realm = realms.find_realm(conn, user.realm_id)
    written = realm.mfa_policy if realm is not None else None
    return max(1, written.terms.enrollment.min_factors_before_unenroll if written is not None else 1)


def _written(ctx: Context, device: Authenticator, said: Said) -> Authenticator:
    """The device with what was said of it."""
    sealed = device.sealed_secret
    if said.push_credentials is not None:
        text = json.dumps(dict(said.push_credentials)).encode()
        sealed = ctx.server.keyring.seal(text, owner_of("authenticators", device.id))
    details = device.details if said.identifier is None else device.details | {"identifier": said.identifier}
    name = device.name if said.name is None else said.name
    return replace(device, name=name, details=details, sealed_secret=sealed)


def _own(ctx: Context, enrollment_id: str, token: str) -> tuple[Authenticator, User]:
    """A phone's own entry: by the token that it was given, or by one that it signed. Raises Missing, Unauthorized."""
    with ctx.db.read() as conn:
        device = authenticators.find_by_device(conn, enrollment_id, (KIND,))
        user = users.find_user(conn, device.user_id) if device is not None else None
        if (
            device is None
            or device.kind != KIND
            or device.code_digest is None
            or device.disabled_at is not None
            or user is None
            or user.is_blocked
        ):
            raise Missing(NO_DEVICE, reason="device_account_not_found")
        _note(ctx, conn, user)
    if token.count(".") == 2:
        try:
            claims = _verified(ctx, device, token, "device-accounts", device_id(device))
        except InvalidToken:
            raise Unauthorized(BAD_TOKEN, reason="invalid_token") from None
        is_right = claims["sub"] == device.user_id
    else:
        is_right = hmac.compare_digest(digest(token), device.code_digest)
    if not is_right:
        raise Unauthorized(BAD_TOKEN, reason="invalid_token")
    return device, user


def challenge_of(conn: Connection, phones: str) -> Challenge | None:
    """The challenge that a phone's secret stands for."""
    if not re.fullmatch(r"cha_\w{22}\.[\w-]{43}", phones, re.ASCII):
        return None
    asked = challenges.find_challenge_by_id(conn, phones.partition(".")[0])
    if asked is None or asked.kind != KIND:
        return None
    return asked if hmac.compare_digest(digest(phones), asked.secret_digest or "") else None


def is_waiting(ctx: Context, asked: Challenge) -> bool:
    return asked.state == "open" and asked.expires_at > ctx.now


def asked_and_owner(ctx: Context, conn: Connection, asked: Challenge) -> tuple[Authenticator, User]:
    """The phone that is asked, and its owner. Raises Missing."""
    device = next(
        (
            a
            for a in authenticators.list_authenticators(conn, asked.user_id)
            if a.id == asked.authenticator_id
        ),
        None,
    )
    user = users.find_user(conn, asked.user_id)
    if device is None or user is None or user.is_blocked:
        raise Missing(NO_TRANSACTION, reason="login_transaction_not_found")
    _note(ctx, conn, user)
    ctx.facts.client_id = asked.details.get("client_id")
    return device, user


def _note(ctx: Context, conn: Connection, user: User) -> None:
    realm = ctx.look_up(conn, realms.find_realm, user.realm_id)
    ctx.facts.user_id, ctx.facts.factor = user.id, KIND
    ctx.facts.realm = realm.name if realm else None
