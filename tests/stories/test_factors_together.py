"""Every pair of factors on one account: either of them completes any login, whatever the other is."""

import time
from collections.abc import Callable
from itertools import combinations

import pytest

from app.factors import FACTORS
from app.store.users import User
from tests import device, making
from tests.evidence import report
from tests.making import Cast
from tests.wire import Wire, code_of

Login = Callable[[str], None]
"""Completes the login that an mfa_token stands for."""


def totp(wire: Wire, user: User, number: int) -> Login:
    secret = making.enroll_totp(wire.server, user)
    return lambda token: _ok(wire, wire.otp(token, code_of(secret)))


def recovery_code(wire: Wire, user: User, number: int) -> Login:
    code = making.give_recovery_code(wire.server, user, f"{number:0>24}")
    return lambda token: _ok(wire, wire.recovery(token, code))


def sent_over(kind: str) -> Callable[[Wire, User, int], Login]:
    def give(wire: Wire, user: User, number: int) -> Login:
        destination = user.email if kind == "email" else f"+4917012{number:05}"
        device = making.enroll_phone(wire.server, user, kind, str(destination))

        def login(token: str) -> None:
            asked = wire.ok(wire.challenge(token, challenge_type="oob", authenticator_id=device))
            _ok(wire, wire.oob(token, asked["oob_code"], binding_code=wire.newest_code()))

        return login

    return give


def key(attachment: str) -> Callable[[Wire, User, int], Login]:
    def give(wire: Wire, user: User, number: int) -> Login:
        held = making.enroll_security_key(wire.server, user, attachment=attachment)

        def login(token: str) -> None:
            asked = wire.ok(wire.challenge(token, challenge_type="webauthn"))
            _ok(wire, wire.webauthn(token, held.get(asked["public_key"])))

        return login

    return give


def push(wire: Wire, user: User, number: int) -> Login:
    phone = making.enroll_push(wire.server, user)

    def login(token: str) -> None:
        members = {"challenge_type": "oob", "authenticator_id": f"push|{phone.id}"}
        asked = wire.ok(wire.challenge(token, **members))
        payload = next(message.payload for message in reversed(wire.messages()) if message.payload)
        yes = phone.answer_to(payload, at=time.time())
        assert device.resolve(wire, payload, yes).status_code == 204
        _ok(wire, wire.oob(token, asked["oob_code"]))

    return login


def _ok(wire: Wire, answer: object) -> None:
    wire.ok(answer)  # type: ignore[arg-type]


GIVE: dict[str, Callable[[Wire, User, int], Login]] = {
    "totp": totp,
    "recovery_code": recovery_code,
    "push": push,
    "webauthn-roaming": key("cross-platform"),
    "webauthn-platform": key("platform"),
    **{kind: sent_over(kind) for kind in ("sms", "voice", "email")},
}


def test_no_kind_is_forgotten() -> None:
    assert set(GIVE) == set(FACTORS)


@pytest.mark.parametrize("realm", ["staff", "guests"])
def test_either_of_two_factors_completes_a_login(wire: Wire, cast: Cast, realm: str) -> None:
    """Where those are asked who have a factor, and where everybody is; the first login leaves the other as it was."""
    pairs = list(combinations(GIVE, 2))
    for number, pair in enumerate(pairs):
        email = f"{'-and-'.join(pair)}@example.com"
        user = making.make_user(wire.server, getattr(cast, realm), email)
        logins = [GIVE[kind](wire, user, 2 * number + place) for place, kind in enumerate(pair)]
        for login in logins:
            login(wire.mfa_token(email, realm=realm))
    report(
        "every pair of factors on one account",
        tried=f"{len(pairs)} pairs, realm {realm}",
        held="either completes a login",
    )
