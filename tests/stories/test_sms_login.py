"""A login whose second factor is a code by SMS, call or mail, and what such a code is not good for."""

from datetime import timedelta

import pytest
from freezegun.api import FrozenDateTimeFactory

from tests import making
from tests.making import CAROLS_PASSWORD, MALLORY_SECRET, Cast
from tests.wire import Wire, bearer, code_of, refused

NUMBER = "+491701234567"
GUEST = {"realm": "guests", "password": CAROLS_PASSWORD}


@pytest.fixture(autouse=True)
def switched_on(wire: Wire, cast: Cast) -> None:
    making.switch_on(wire.server, "sms", "email")


def enrol(wire: Wire, token: str, **members: object) -> dict[str, object]:
    body = {"authenticator_types": ["oob"], "oob_channels": ["sms"], "phone_number": NUMBER} | members
    return wire.ok(wire.client.post("/mfa/associate", json=body, headers=bearer(token)))


def asked(wire: Wire, cast: Cast, kind: str = "sms") -> tuple[str, str]:
    """Bob, who has a telephone, has been asked for a code: his mfa_token and oob_code."""
    making.enroll_phone(wire.server, cast.bob, kind)
    token = wire.mfa_token("bob@example.com", scope="openid")
    answer = wire.ok(wire.challenge(token, challenge_type="oob"))
    assert answer == {
        "challenge_type": "oob",
        "oob_code": answer["oob_code"],
        "binding_method": "prompt",
    }
    return token, answer["oob_code"]


def test_a_telephone_is_enrolled_in_the_first_login(wire: Wire, cast: Cast) -> None:
    refusal = wire.password(**GUEST)
    assert refusal.json is not None
    assert {"type": "phone"} in refusal.json["mfa_requirements"]["enroll"]
    token = refusal.json["mfa_token"]
    shown = enrol(wire, token)
    assert shown == {
        "authenticator_type": "oob",
        "id": shown["id"],
        "oob_channel": "sms",
        "oob_code": shown["oob_code"],
        "binding_method": "prompt",
        "recovery_codes": shown["recovery_codes"],
    }
    (message,) = wire.messages()
    assert message.destination == NUMBER and str(message.code) in message.text and "Belay" in message.text
    (listed,) = [a for a in wire.ok_list(wire.get("/mfa/authenticators", token)) if a["id"] == shown["id"]]
    assert listed == {
        "id": shown["id"],
        "authenticator_type": "oob",
        "active": False,
        "oob_channel": "sms",
        "name": "XXXXXXXXX4567",
        "type": "phone",
    }
    wire.ok(wire.oob(token, str(shown["oob_code"]), binding_code=wire.newest_code()))
    assert wire.events()[-1].factor == "sms" and wire.events()[-1].details["enrolled"] == shown["id"]
    again = wire.password(**GUEST)
    assert again.json is not None and "mfa_requirements" not in again.json, "now it is owed"


@pytest.mark.parametrize("kind", ["sms", "voice", "email"])
def test_the_code_completes_the_login_once(wire: Wire, cast: Cast, kind: str) -> None:
    token, oob_code = asked(wire, cast, kind)
    code = wire.newest_code()
    tokens = wire.ok(wire.oob(token, oob_code, binding_code=f"{code[:3]} {code[3:]}"))
    assert "id_token" in tokens
    refused(wire.oob(token, oob_code, binding_code=code), 403, "invalid_grant", "Malformed mfa_token")
    assert wire.events()[-2].type == "seoobft"


def test_a_wrong_or_missing_code_burns_nothing(wire: Wire, cast: Cast) -> None:
    token, oob_code = asked(wire, cast)
    code = wire.newest_code()
    wrong = f"{(int(code) + 1) % 10**6:06}"
    for text in (wrong, "12345", "1234567", "abcdef", code[::-1] + "0"):
        refused(wire.oob(token, oob_code, binding_code=text), 403, "invalid_grant", "Invalid binding_code.")
    refused(wire.oob(token, oob_code), 400, "invalid_request", "Missing required parameter: binding_code")
    wire.ok(wire.oob(token, oob_code, binding_code=code))


def test_guesses_are_limited_whatever_is_asked_anew(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    token, oob_code = asked(wire, cast)
    wrong = f"{(int(wire.newest_code()) + 1) % 10**6:06}"
    statuses = [wire.oob(token, oob_code, binding_code=wrong).status_code for _ in range(8)]
    clock.tick(timedelta(seconds=31))
    token = wire.mfa_token("bob@example.com")
    oob_code = wire.ok(wire.challenge(token))["oob_code"]
    statuses += [wire.oob(token, oob_code, binding_code=wrong).status_code for _ in range(4)]
    assert statuses == [403] * 10 + [429] * 2
    refused(
        wire.oob(token, oob_code, binding_code=wire.newest_code()),
        429,
        "invalid_request",
        "Too many failed codes. Wait for some minutes before retrying.",
    )


def test_a_code_is_good_for_five_minutes(wire: Wire, cast: Cast, clock: FrozenDateTimeFactory) -> None:
    token, oob_code = asked(wire, cast)
    code = wire.newest_code()
    clock.tick(timedelta(minutes=5))
    refused(wire.oob(token, oob_code, binding_code=code), 403, "expired_token", "oob_code is expired")


def test_only_the_newest_code_of_a_login_counts(wire: Wire, cast: Cast, clock: FrozenDateTimeFactory) -> None:
    """Old and new code, old and new oob_code: one of the four works."""
    token, old = asked(wire, cast)
    old_code = wire.newest_code()
    clock.tick(timedelta(seconds=31))
    new = wire.ok(wire.challenge(token))["oob_code"]
    new_code = wire.newest_code()
    assert old != new
    for oob_code, code in ((old, old_code), (old, new_code)):
        refused(wire.oob(token, oob_code, binding_code=code), 403, "invalid_grant", "Malformed oob_code")
    refused(wire.oob(token, new, binding_code=old_code), 403, "invalid_grant", "Invalid binding_code.")
    wire.ok(wire.oob(token, new, binding_code=new_code))


def test_a_code_belongs_to_its_login_and_client(wire: Wire, cast: Cast) -> None:
    token, oob_code = asked(wire, cast)
    code = wire.newest_code()
    text = "The oob_code doesn't match the mfa_token"
    others = [wire.mfa_token("bob@example.com"), wire.mfa_token()]
    for other in others:
        refused(wire.oob(other, oob_code, binding_code=code), 403, "invalid_grant", text)
    mallory = {"client_id": "mallory", "client_secret": MALLORY_SECRET}
    answer = wire.oob(token, oob_code, binding_code=code, **mallory)
    refused(answer, 400, "invalid_request", "mfa_token not issued to this client")
    wire.ok(wire.oob(token, oob_code, binding_code=code))


def test_another_code_waits_longer_each_time(wire: Wire, cast: Cast, clock: FrozenDateTimeFactory) -> None:
    token, _ = asked(wire, cast)
    too_many = "Too many SMS sent by the user. Wait for some minutes before retrying."
    for seconds in (30, 60, 120):
        clock.tick(timedelta(seconds=seconds - 1))
        answer = wire.challenge(token)
        refused(answer, 429, "invalid_request", too_many)
        assert answer.headers["Retry-After"] == "2"
        clock.tick(timedelta(seconds=1))
        wire.ok(wire.challenge(token))
    assert len(wire.messages()) == 4


def test_a_code_that_was_used_makes_nobody_wait(wire: Wire, cast: Cast) -> None:
    token, oob_code = asked(wire, cast)
    wire.ok(wire.oob(token, oob_code, binding_code=wire.newest_code()))
    wire.ok(wire.challenge(wire.mfa_token("bob@example.com")))


def test_a_new_mfa_token_resets_no_limit_and_the_app_still_works(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    """Ten messages, and one back an hour; the authenticator app beside it costs nothing and is never blocked by it."""
    making.enroll_phone(wire.server, cast.alice)
    answers = []
    for _ in range(14):
        token = wire.mfa_token()
        answers.append(wire.challenge(token, challenge_type="oob").status_code)
        clock.tick(timedelta(minutes=11))
        if answers[-1] == 429:
            break
    assert answers.count(200) in (12, 13), "ten, and what came back in two hours"
    assert answers[-1] == 429
    wire.ok(wire.challenge(wire.mfa_token(), challenge_type="otp"))
    wire.ok(wire.otp(wire.mfa_token(), code_of(cast.alice_totp)))


@pytest.mark.parametrize(
    "number",
    [
        "",
        "12345",
        "+49170",
        "0170 1234567",
        "+4917012345678901234",
        "+49 170 1234567;ext=5",
        "a" * 5000,
        "+1\0",
    ],
)
def test_a_number_that_is_none_is_refused(wire: Wire, cast: Cast, number: str) -> None:
    token = wire.mfa_token(**GUEST)
    body = {"authenticator_types": ["oob"], "oob_channels": ["sms"], "phone_number": number}
    answer = wire.client.post("/mfa/associate", json=body, headers=bearer(token))
    assert answer.status_code == 400 and answer.json is not None
    assert answer.json["error"] == "invalid_request"
    assert wire.messages() == []


def test_mail_goes_to_the_account_s_address_unless_another_is_named(wire: Wire, cast: Cast) -> None:
    token = wire.mfa_token(**GUEST)
    shown = enrol(wire, token, oob_channels="email", phone_number=None)
    assert wire.messages()[-1].destination == "alice@example.com"
    listed = wire.ok_list(wire.get("/mfa/authenticators", token))[0]
    assert (listed["type"], listed["name"]) == ("email", "a****@exam*******")
    wire.ok(wire.oob(token, str(shown["oob_code"]), binding_code=wire.newest_code()))


def test_the_message_is_in_the_language_of_the_request(wire: Wire, cast: Cast) -> None:
    making.enroll_phone(wire.server, cast.bob)
    token = wire.mfa_token("bob@example.com")
    answer = wire.client.post(
        "/mfa/challenge",
        json={"mfa_token": token, "client_id": "app", "client_secret": making.APP_SECRET},
        headers={"Accept-Language": "en", "X-Request-Language": "de-AT"},
    )
    wire.ok(answer)
    assert "Anmeldung" in wire.messages()[-1].text


def test_a_factor_is_switched_within_one_login(wire: Wire, cast: Cast) -> None:
    making.enroll_phone(wire.server, cast.alice)
    token = wire.mfa_token()
    oob_code = wire.ok(wire.challenge(token, challenge_type="oob"))["oob_code"]
    refused(wire.oob(token, oob_code, binding_code="000000"), 403, "invalid_grant")
    assert wire.ok(wire.challenge(token, challenge_type="otp")) == {"challenge_type": "otp"}
    wire.ok(wire.otp(token, code_of(cast.alice_totp)))
    refused(wire.oob(token, oob_code, binding_code=wire.newest_code()), 403, "invalid_grant")


def test_a_factor_that_is_off_is_not_enrolled_and_what_is_enrolled_keeps_working(
    wire: Wire, cast: Cast
) -> None:
    token = wire.mfa_token(**GUEST)
    body = {"authenticator_types": ["oob"], "oob_channels": ["auth0"]}
    answer = wire.client.post("/mfa/associate", json=body, headers=bearer(token))
    refused(answer, 400, "invalid_request", "authenticator_types not available: oob auth0")
