"""What people hold in their hands: how each kind of authenticator is enrolled, and how it answers.

A new kind of factor is a line in `MEMBERS` where it wants to know something, in `CONFIRM` where it is not there before
it has answered once, and in `ANSWERS`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pyotp

from app.context import Context
from app.factors.factor import Answer, Begun, Challenging, Enrolling, Enrollment, Factor, Proof
from app.store import authenticators, challenges
from app.store.authenticators import Authenticator
from app.store.users import User
from app.tokens import phone
from tests import device
from tests.security_key import SecurityKey

TRANSACTION = "t"

MEMBERS: dict[str, dict[str, str]] = {
    "sms": {"phone_number": "+491701234567"},
    "voice": {"phone_number": "+491701234567"},
    "email": {"email": "somebody@example.com"},
}

# What it has said of itself by the time that it is confirmed.
DETAILS: dict[str, dict[str, object]] = {
    "push": {"identifier": "a phone", "public_key": phone.read_key(device.public_key(device.key()))},
}


@dataclass(frozen=True)
class Held:
    """An authenticator in somebody's hand."""

    factor: Factor
    user: User
    authenticator: Authenticator
    shown: dict[str, object]
    key: SecurityKey | None = None


def enroll(ctx: Context, factor: Factor, user: User) -> Enrollment:
    return factor.enroll(ctx, Enrolling(user, TRANSACTION, "Belay", MEMBERS.get(factor.kind, {})))


def hold(ctx: Context, factor: Factor, user: User) -> Held:
    """A confirmed authenticator."""
    enrollment = enroll(ctx, factor, user)
    details = enrollment.authenticator.details | DETAILS.get(factor.kind, {})
    confirm = CONFIRM.get(factor.kind)
    confirmed_at = None if confirm else ctx.now
    with ctx.db.write() as conn:
        new = replace(enrollment.authenticator, confirmed_at=confirmed_at, details=details)
        authenticators.add_authenticator(conn, new)
    held = Held(factor, user, enrollment.authenticator, enrollment.shown)
    if confirm:
        held = confirm(ctx, held)
    return replace(held, authenticator=reload(ctx, enrollment.authenticator))


def reload(ctx: Context, authenticator: Authenticator) -> Authenticator:
    with ctx.db.read() as conn:
        owned = authenticators.list_authenticators(conn, authenticator.user_id)
    return next(a for a in owned if a.id == authenticator.id)


def begin(ctx: Context, held: Held) -> Begun:
    """Ask for it, as a login would."""
    assert held.factor.challenge is not None
    challenging = Challenging(held.user, (held.authenticator,), TRANSACTION, None, "Belay")
    with ctx.db.write() as conn:
        begun = held.factor.challenge(ctx, conn, challenging)
        challenges.add_challenge(conn, begun.challenge)
    return begun


def answer(ctx: Context, held: Held) -> Answer:
    """What its owner would answer, rightly."""
    return ANSWERS[held.factor.kind](ctx, held)


def _otp(ctx: Context, held: Held) -> Answer:
    return Answer({"otp": str(pyotp.TOTP(str(held.shown["secret"])).at(ctx.now))})


def _recovery_code(ctx: Context, held: Held) -> Answer:
    codes = held.shown["recovery_codes"]
    assert isinstance(codes, list)
    return Answer({"recovery_code": codes[0]})


def _sent_code(ctx: Context, held: Held) -> Answer:
    begun = begin(ctx, held)
    assert begun.message is not None
    members = {"oob_code": str(begun.shown["oob_code"]), "binding_code": begun.message[1].code or ""}
    return Answer(members, begun.challenge)


def _yes(ctx: Context, held: Held) -> Answer:
    begun = begin(ctx, held)
    with ctx.db.write() as conn:
        challenges.answer_challenge(conn, begun.challenge.id, "approved", ctx.now)
    return Answer({"oob_code": str(begun.shown["oob_code"])}, replace(begun.challenge, state="approved"))


def _register(ctx: Context, held: Held) -> Held:
    attachment = "platform" if held.factor.kind == "webauthn-platform" else "cross-platform"
    key = SecurityKey(attachment=attachment)
    begun = begin(ctx, held)
    response = key.create(_options(begun))
    answered = Answer({"authn_response": json.dumps(response)}, begun.challenge)
    proof = held.factor.verify(ctx, held.authenticator, answered)
    assert isinstance(proof, Proof), proof
    with ctx.db.write() as conn:
        assert proof.consume(conn, ctx.now)
    return replace(held, key=key)


def _options(begun: Begun) -> dict[str, Any]:
    found = begun.shown["authn_params_public_key"]
    assert isinstance(found, dict)
    return found


def _signed(ctx: Context, held: Held) -> Answer:
    assert held.key is not None
    begun = begin(ctx, held)
    return Answer({"authn_response": json.dumps(held.key.get(_options(begun)))}, begun.challenge)


CONFIRM: dict[str, Callable[[Context, Held], Held]] = {
    "webauthn-roaming": _register,
    "webauthn-platform": _register,
}
ANSWERS: dict[str, Callable[[Context, Held], Answer]] = {
    "totp": _otp,
    "recovery_code": _recovery_code,
    "sms": _sent_code,
    "voice": _sent_code,
    "email": _sent_code,
    "push": _yes,
    "webauthn-roaming": _signed,
    "webauthn-platform": _signed,
}
