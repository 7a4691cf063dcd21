"""What a phone can learn of the login that it is asked for, and who cannot."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from tests import device, making
from tests.conftest import NOON
from tests.device import Phone
from tests.making import API, Cast
from tests.wire import Wire

AT = NOON.timestamp()


@pytest.fixture(autouse=True)
def rung(wire: Wire, cast: Cast, clock: FrozenDateTimeFactory) -> Iterator[None]:
    making.switch_on(wire.server, "push-notification")
    yield


def asked(wire: Wire, cast: Cast, **quirks: Any) -> tuple[Phone, dict[str, Any]]:
    """Somebody's phone, and the push of a login that waits for it."""
    user = making.make_user(wire.server, cast.staff, "dora@example.com")
    phone = making.enroll_push(wire.server, user, Phone(**quirks))
    token = wire.mfa_token("dora@example.com", audience=API, scope="openid read:things")
    wire.ok(wire.challenge(token, challenge_type="oob"))
    return phone, dict(wire.messages()[-1].payload)


def look(wire: Wire, payload: dict[str, Any], headers: dict[str, str], **more: str) -> Any:
    return wire.client.get(f"/rich-consents/{payload['txlnkid']}", headers=headers | more)


def refused(answer: Any, status: int, code: str) -> None:
    assert answer.json is not None, answer.text
    assert (answer.status_code, answer.json["errorCode"]) == (status, code), answer.text
    assert "requested_details" not in answer.json


@pytest.mark.parametrize("quirks", [{}, {"is_android": False, "leads_with_zero": False}])
def test_an_app_learns_what_the_login_is_about(wire: Wire, cast: Cast, quirks: dict[str, Any]) -> None:
    phone, payload = asked(wire, cast, **quirks)
    found = wire.ok(look(wire, payload, phone.proof(payload, at=AT + 0.25)))
    assert device.read_consent(found) == {
        "audience": API,
        "scope": ["openid", "read:things"],
        "binding_message": "Do you log in at Belay (app)?",
        "authorization_details": [],
    }
    assert (found["created_at"], found["expires_at"]) == (
        "2026-11-23T12:00:00.000Z",
        "2026-11-23T12:05:00.000Z",
    )
    german = look(wire, payload, phone.proof(payload, at=AT), **{"Accept-Language": "de"})
    assert "Melden Sie sich" in wire.ok(german)["requested_details"]["binding_message"]
    answer = device.resolve(wire, payload, phone.answer_to(payload, at=AT))
    assert answer.status_code == 204, "to look is no answer"


def test_a_number_is_not_told_to_the_phone_that_must_know_it(wire: Wire, cast: Cast) -> None:
    phone, payload = asked(wire, cast, matches_numbers=True)
    found = wire.ok(look(wire, payload, phone.proof(payload, at=AT)))
    assert set(found["requested_details"]) == {
        "audience",
        "scope",
        "binding_message",
        "authorization_details",
    }


WRONG: list[dict[str, Any]] = [
    {"htu": "http://127.0.0.1:8000/rich-consents/cha_other"},
    {"htu": None},
    {"htm": "POST"},
    {"ath": "x" * 43},
    {"ath": None},
    {"jti": None},
    {"iat": None},
    {"iat": "now"},
    {"iat": int(AT) - 61},
    {"iat": int(AT) + 61},
    {"header": {"typ": "JWT"}},
    {"header": {"jwk": None}},
    {"header": {"jwk": {"kty": "oct", "k": "x"}}},
    {"header": {"jwk": device.public_key(device.key(1))}},
]


def test_a_proof_of_something_else_shows_nothing(wire: Wire, cast: Cast) -> None:
    phone, payload = asked(wire, cast)
    for changes in WRONG:
        refused(look(wire, payload, phone.proof(payload, at=AT, **changes)), 401, "invalid_token")
    wire.ok(look(wire, payload, phone.proof(payload, at=AT)))


def test_only_the_phone_that_was_rung_may_look(wire: Wire, cast: Cast) -> None:
    phone, payload = asked(wire, cast)
    right = phone.proof(payload, at=AT)
    stranger = Phone(device.key(1), base=phone.base)
    refused(look(wire, payload, stranger.proof(payload, at=AT)), 401, "invalid_token")
    disguised = stranger.proof(payload, at=AT, header={"jwk": device.public_key(phone.private)})
    refused(look(wire, payload, disguised), 401, "invalid_token")
    for authorization in ("", f"Bearer {payload['txtkn']}", "MFA-DPoP", right["Authorization"] + "x"):
        refused(look(wire, payload, right, Authorization=authorization), 401, "invalid_token")
    for proof in ("", "x", "a.b.c", right["MFA-DPoP"][:-4] + "AAAA", "\u00e9" * 9, "x" * 9000):
        refused(look(wire, payload, right, **{"MFA-DPoP": proof}), 401, "invalid_token")
    other = payload | {"txlnkid": "cha_" + "0" * 22}
    refused(look(wire, other, phone.proof(other, at=AT)), 404, "login_transaction_not_found")


def test_nothing_is_shown_of_a_login_that_is_answered_or_too_old(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    phone, payload = asked(wire, cast)
    no = phone.answer_to(payload, at=AT, auth0_guardian_accepted=False)
    assert device.resolve(wire, payload, no).status_code == 204
    refused(look(wire, payload, phone.proof(payload, at=AT)), 404, "login_transaction_not_found")
    token = wire.mfa_token("dora@example.com")
    wire.ok(wire.challenge(token, challenge_type="oob"))
    payload = dict(next(m for m in reversed(wire.messages()) if m.payload).payload)
    clock.tick(timedelta(minutes=5))
    late = phone.proof(payload, at=AT + 300)
    refused(look(wire, payload, late), 404, "login_transaction_not_found")


def test_an_enrolment_is_no_login(wire: Wire, cast: Cast) -> None:
    phone, token = Phone(), wire.mfa_token(realm="guests", password=making.CAROLS_PASSWORD)
    ticket, _ = phone.scan(wire.ok(device.associate(wire, token))["barcode_uri"])
    secret = ticket.removeprefix('Ticket id="').rstrip('"')
    payload = {"txtkn": secret, "txlnkid": secret.partition(".")[0]}
    refused(look(wire, payload, phone.proof(payload, at=AT)), 401, "invalid_token")
