"""A login whose second factor is a tap on a phone, and what neither the phone nor its rival can make of it."""

from datetime import timedelta
from typing import Any

import jwt
import pytest
from freezegun.api import FrozenDateTimeFactory

from app.channels.channel import Message
from tests import device, making
from tests.conftest import NOON
from tests.device import Phone
from tests.making import CAROLS_PASSWORD, Cast
from tests.wire import Wire, bearer, code_of, refused

GUEST = {"realm": "guests", "password": CAROLS_PASSWORD}
PENDING = (
    400,
    "authorization_pending",
    "Authorization pending: please repeat the request in a few seconds.",
)
REJECTED = (400, "access_denied", "MFA Authorization rejected.")
TOO_MANY = "Too many push notifications sent to the user. Wait for some minutes before retrying."
ISSUER = "http://127.0.0.1:8000/"


@pytest.fixture(autouse=True)
def switched_on(wire: Wire, cast: Cast, clock: FrozenDateTimeFactory) -> None:
    making.switch_on(wire.server, "push-notification")


def problem(answer: Any, status: int, code: str) -> None:
    """A refusal in the envelope that Guardian's SDKs read."""
    assert answer.json is not None, answer.text
    assert (answer.status_code, answer.json.get("errorCode")) == (status, code), answer.text
    assert set(answer.json) == {"statusCode", "error", "message", "errorCode", "error_id"}
    assert answer.json["statusCode"] == status


def enrolled(wire: Wire, cast: Cast, **quirks: Any) -> Phone:
    """Bob with a phone."""
    phone = Phone(**quirks)
    token = wire.mfa_token(audience=ISSUER + "mfa/", **GUEST)
    shown = device.enroll(wire, phone, token)
    wire.ok(wire.oob(token, shown["oob_code"]))
    return phone


def pushes(wire: Wire) -> list[Message]:
    """What is on its way to phones, oldest first; notices of mail stand beside."""
    return [message for message in wire.messages() if message.payload]


def asked(wire: Wire, **members: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """A login that rings the phone: its mfa_token, the answer of the challenge, what the phone is sent."""
    token = wire.mfa_token(**(GUEST | members))
    shown = wire.ok(wire.challenge(token, challenge_type="oob"))
    return token, shown, dict(pushes(wire)[-1].payload)


def yes(wire: Wire, phone: Phone, payload: dict[str, Any], **claims: Any) -> Any:
    return device.resolve(wire, payload, phone.answer_to(payload, at=NOON.timestamp(), **claims))


def test_a_phone_is_enrolled_in_the_first_login_by_a_qr_code(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    refusal = wire.password(scope="openid", **GUEST)
    assert refusal.json is not None
    assert {"type": "push-notification"} in refusal.json["mfa_requirements"]["enroll"]
    token, phone = refusal.json["mfa_token"], Phone()
    shown = wire.ok(device.associate(wire, token))
    assert shown == {
        "authenticator_type": "oob",
        "id": shown["id"],
        "oob_channel": "auth0",
        "oob_code": shown["oob_code"],
        "barcode_uri": shown["barcode_uri"],
        "recovery_codes": shown["recovery_codes"],
    }
    refused(wire.oob(token, shown["oob_code"]), *PENDING)
    assert pushes(wire) == [], "nobody is rung"
    (listed,) = [a for a in wire.ok_list(wire.get("/mfa/authenticators", token)) if a["id"] == shown["id"]]
    expected = {"id": shown["id"], "authenticator_type": "oob", "active": False, "oob_channel": "auth0"}
    assert listed == expected | {"type": "push-notification"}
    device.scanned(wire, phone, shown["barcode_uri"])
    assert (phone.id, phone.user_id) == (shown["id"].partition("|")[2], cast.carol.id)
    assert "id_token" in wire.ok(wire.oob(token, shown["oob_code"])), "the scan is the yes"
    again = wire.mfa_token(**GUEST)
    listed = wire.ok_list(wire.get("/mfa/authenticators", again))[0]
    assert listed == expected | {"type": "push-notification", "active": True, "name": phone.name}
    assert [e.type for e in wire.events()][-3:] == ["gd_enrollment_complete", "seoobft", "mfar"]


def test_an_enrolment_ticket_is_good_once_for_five_minutes_and_for_its_login(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    token, phone, code = wire.mfa_token(**GUEST), Phone(), "enrollment_transaction_not_found"
    uri = wire.ok(device.associate(wire, token))["barcode_uri"]
    ticket, body = phone.scan(uri)
    problem(device.post(wire, "enroll", ticket[:-2] + '"', body), 404, code)
    problem(device.post(wire, "enroll", "Bearer x", body), 401, "invalid_token")
    wire.ok(device.post(wire, "enroll", ticket, body))
    problem(device.post(wire, "enroll", ticket, body), 404, code)
    late = wire.ok(device.associate(wire, token))
    clock.tick(timedelta(minutes=5))
    problem(device.post(wire, "enroll", *phone.scan(late["barcode_uri"])), 404, code)
    refused(wire.oob(token, late["oob_code"]), 403, "expired_token", "oob_code is expired")


def test_another_login_is_not_completed_by_an_enrolment(wire: Wire, cast: Cast) -> None:
    mine, other, phone = wire.mfa_token(**GUEST), wire.mfa_token(**GUEST), Phone()
    shown = device.enroll(wire, phone, other)
    refused(
        wire.oob(mine, shown["oob_code"]), 403, "invalid_grant", "The oob_code doesn't match the mfa_token"
    )
    refused(wire.challenge(mine), 401, "unsupported_challenge_type")


NO_PHONES: list[dict[str, Any]] = [
    {"identifier": None},
    {"identifier": 5},
    {"identifier": ""},
    {"identifier": "x" * 201},
    {"name": ["x"]},
    {"push_credentials": "x"},
    {"push_credentials": {"service": "GCM"}},
    {"push_credentials": {"service": "a:b", "token": "x"}},
    {"public_key": None},
    {"public_key": {"kty": "EC"}},
    {"public_key": {"kty": "RSA", "n": "!", "e": "AQAB"}},
    {"public_key": {"kty": "RSA", "n": device.encoded(3 << 1000), "e": "AQAB"}},
    {"public_key": {"kty": "RSA", "n": device.encoded((3 << 2046) + 2), "e": "AQAB"}},
    {"public_key": {"kty": "RSA", "n": device.encoded((3 << 2046) + 1), "e": "AQ"}},
    {"public_key": {"kty": "RSA", "alg": "PS256", "n": device.encoded((3 << 2046) + 1), "e": "AQAB"}},
]


def test_what_a_phone_cannot_be_is_refused_and_burns_no_ticket(wire: Wire, cast: Cast) -> None:
    phone = Phone()
    ticket, body = phone.scan(wire.ok(device.associate(wire, wire.mfa_token(**GUEST)))["barcode_uri"])
    for change in NO_PHONES:
        problem(device.post(wire, "enroll", ticket, body | change), 400, "invalid_body")
    wire.ok(device.post(wire, "enroll", ticket, body))


def test_a_yes_completes_the_login_once(wire: Wire, cast: Cast, clock: FrozenDateTimeFactory) -> None:
    phone = enrolled(wire, cast)
    token, shown, payload = asked(wire, scope="openid")
    assert shown == {"challenge_type": "oob", "oob_code": shown["oob_code"]}
    assert payload == {
        "dai": phone.id,
        "txtkn": payload["txtkn"],
        "txlnkid": payload["txtkn"].partition(".")[0],
        "c": payload["c"],
        "d": f"{NOON:%Y-%m-%dT%H:%M:%S}.000Z",
        "sh": "http://127.0.0.1:8000",
        "s": payload["s"],
        "l": {"n": "127.0.0.1"},
    }
    assert pushes(wire)[-1].destination == "GCM:fcm:token-1"
    refused(wire.oob(token, shown["oob_code"]), *PENDING)
    answer = yes(wire, phone, payload)
    assert (answer.status_code, answer.data) == (204, b"")
    tokens = wire.ok(wire.oob(token, shown["oob_code"]))
    claims = jwt.decode(tokens["id_token"], options={"verify_signature": False})
    assert claims["amr"] == ["pwd", "swk", "mfa"]
    refused(wire.oob(token, shown["oob_code"]), 403, "invalid_grant", "Malformed mfa_token")
    problem(yes(wire, phone, payload), 404, "login_transaction_not_found")
    assert [e.type for e in wire.events()][-4:] == ["gd_start_auth", "gd_auth_succeed", "seoobft", "feoobft"]


def test_a_no_ends_it_and_leaves_its_reason(wire: Wire, cast: Cast) -> None:
    phone = enrolled(wire, cast)
    token, shown, payload = asked(wire)
    said = {"auth0_guardian_accepted": False, "auth0_guardian_reason": "Hack\u00fcr\0\ud800attempt"}
    assert yes(wire, phone, payload, **said).status_code == 204
    assert "A login was rejected on your phone" in [message.subject for message in wire.messages()]
    event = wire.events()[-1]
    assert (event.type, event.reason, event.user_id) == (
        "gd_auth_rejected",
        "rejected_by_person",
        cast.carol.id,
    )
    assert (
        event.details["reason"] == "Hack\u00fcrattempt"
        and event.realm == "guests"
        and event.client_id == "app"
    )
    refused(wire.oob(token, shown["oob_code"]), *REJECTED)
    problem(yes(wire, phone, payload), 404, "login_transaction_not_found")
    refused(wire.oob(token, shown["oob_code"]), *REJECTED)


def test_polls_in_a_row_are_slowed_down_and_a_yes_is_told_at_once(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    phone = enrolled(wire, cast)
    token, shown, payload = asked(wire)
    before = len(wire.events())
    refused(wire.oob(token, shown["oob_code"]), *PENDING)
    text = "You are polling faster than the specified interval of 5 seconds."
    clock.tick(timedelta(seconds=4.9))
    refused(wire.oob(token, shown["oob_code"]), 400, "slow_down", text)
    clock.tick(timedelta(seconds=0.1))
    refused(wire.oob(token, shown["oob_code"]), *PENDING)
    assert len(wire.events()) == before, "nothing was decided"
    yes(wire, phone, payload)
    wire.ok(wire.oob(token, shown["oob_code"]))


@pytest.mark.parametrize(
    "quirks",
    [
        {"is_android": True, "leads_with_zero": True, "credentials": None},
        {"is_android": True, "leads_with_zero": False},
        {
            "is_android": False,
            "leads_with_zero": False,
            "credentials": {"service": "APNS", "token": "ab" * 32},
        },
    ],
    ids=["silent android", "android", "ios"],
)
def test_phones_have_quirks(wire: Wire, cast: Cast, quirks: dict[str, Any]) -> None:
    phone = enrolled(wire, cast, **quirks)
    assert phone.identifier != phone.id
    token, shown, payload = asked(wire)
    late = NOON.timestamp() - 88.75  # its clock is late, and the answer was signed half a minute ago
    assert device.resolve(wire, payload, phone.answer_to(payload, at=late)).status_code == 204
    wire.ok(wire.oob(token, shown["oob_code"]))


REFUSED: dict[str, dict[str, Any]] = {
    "it ran out": {"iat": NOON.timestamp() - 91, "exp": NOON.timestamp() - 60},
    "from the future": {"iat": NOON.timestamp() + 61, "exp": NOON.timestamp() + 91},
    "for ever": {"exp": NOON.timestamp() + 86400},
    "without an end": {"exp": None},
    "an end that is no number": {"exp": "1e9"},
    "an end beyond numbers": {"exp": 10**400},
    "an end that is none": {"exp": float("nan")},
    "for somebody else": {"aud": "https://elsewhere.example/appliance-mfa/api/resolve-transaction"},
    "for another endpoint": {"aud": f"{ISSUER}appliance-mfa/api/device-accounts"},
    "for nobody": {"aud": None},
    "of another phone": {"iss": "somebody else"},
    "by nobody": {"iss": None},
    "to another challenge": {"sub": "x"},
    "to a challenge that is no text": {"sub": "\ud800"},
    "to no challenge": {"sub": None},
    "another method": {"auth0_guardian_method": "sms"},
    "no method": {"auth0_guardian_method": None},
    "a yes in words": {"auth0_guardian_accepted": "true"},
    "a yes in numbers": {"auth0_guardian_accepted": 1},
    "neither yes nor no": {"auth0_guardian_accepted": None},
}


def test_an_answer_that_is_not_quite_right_decides_nothing(wire: Wire, cast: Cast) -> None:
    phone = enrolled(wire, cast)
    token, shown, payload = asked(wire)
    for what, claims in REFUSED.items():
        answer = yes(wire, phone, payload, **claims)
        assert answer.status_code == 401, what
        problem(answer, 401, "invalid_token")
        assert wire.events()[-1].type == "gd_auth_failed"
    refused(wire.oob(token, shown["oob_code"]), *PENDING)
    assert yes(wire, phone, payload).status_code == 204


def test_an_answer_that_another_key_signed_decides_nothing(wire: Wire, cast: Cast) -> None:
    phone = enrolled(wire, cast)
    _, _, payload = asked(wire)
    forger = Phone(device.key(1), base=phone.base)
    problem(yes(wire, forger, payload), 401, "invalid_token")
    right = phone.answer_to(payload, at=NOON.timestamp())
    claims = jwt.decode(right, options={"verify_signature": False})
    public = device.public_key(phone.private)
    forged = [
        jwt.encode(claims, "", algorithm="none"),
        jwt.encode(claims, public["n"], algorithm="HS256"),
        jwt.encode(claims, phone.private, algorithm="PS256"),
        jwt.encode(claims, phone.private, algorithm="RS256", headers={"typ": "at+jwt"}),
        right[:-4] + "AAAA",
        right + ".x",
        "",
        "x" * 9000,
        "\u00e9.\u00e9.\u00e9",
    ]
    for text in forged:
        problem(device.resolve(wire, payload, text), 401, "invalid_token")
    problem(device.post(wire, "resolve-transaction", f"Bearer {payload['txtkn']}", {}), 400, "invalid_body")
    assert device.resolve(wire, payload, right).status_code == 204


def test_the_phone_s_token_is_for_one_challenge(wire: Wire, cast: Cast) -> None:
    phone = enrolled(wire, cast)
    _, shown, payload = asked(wire)
    right = phone.answer_to(payload, at=NOON.timestamp())
    for token in ("", "x", payload["txtkn"][:-1], shown["oob_code"], phone.token, "cha_" + "x" * 66):
        problem(device.resolve(wire, {"txtkn": token}, right), 401, "invalid_token")
    ticket = f'Ticket id="{payload["txtkn"]}"'
    _, body = Phone(device.key(1)).scan("otpauth://totp/x?base_url=x&enrollment_tx_id=" + payload["txtkn"])
    problem(device.post(wire, "enroll", ticket, body), 404, "enrollment_transaction_not_found")


def test_an_answer_after_five_minutes_is_too_late(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    phone = enrolled(wire, cast)
    token, shown, payload = asked(wire)
    clock.tick(timedelta(minutes=5))
    late = phone.answer_to(payload, at=NOON.timestamp() + 300)
    problem(device.resolve(wire, payload, late), 404, "login_transaction_not_found")
    refused(wire.oob(token, shown["oob_code"]), 403, "expired_token", "oob_code is expired")


def test_a_yes_to_an_old_push_does_nothing_for_the_newest(wire: Wire, cast: Cast) -> None:
    phone = enrolled(wire, cast)
    token, old, first = asked(wire)
    new = wire.ok(wire.challenge(token, challenge_type="oob"))
    second = dict(pushes(wire)[-1].payload)
    problem(yes(wire, phone, first), 404, "login_transaction_not_found")
    problem(device.resolve(wire, second, phone.answer_to(first, at=NOON.timestamp())), 401, "invalid_token")
    refused(wire.oob(token, old["oob_code"]), 403, "invalid_grant", "Malformed oob_code")
    refused(wire.oob(token, new["oob_code"]), *PENDING)


# --- matching numbers ---------------------------------------------------------------------------------------------


def test_a_phone_that_can_match_numbers_must(wire: Wire, cast: Cast) -> None:
    phone = enrolled(wire, cast, matches_numbers=True)
    token, shown, payload = asked(wire)
    number = shown["binding_code"]
    assert shown["binding_method"] == "transfer" and len(number) == 2 and number.isdigit()
    assert number not in (payload["c"], payload["txtkn"]) and "binding_code" not in payload
    assert yes(wire, phone, payload, binding_code=number).status_code == 204
    wire.ok(wire.oob(token, shown["oob_code"], binding_code=number))


def test_a_wrong_number_is_a_no_without_a_second_guess(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    phone = enrolled(wire, cast, matches_numbers=True)
    wrong: list[object] = [None, "", "1", "123", "xx", 42, "\ud800", "\u0661\u0661", "next"]
    for turn, typed in enumerate(wrong):
        clock.move_to(NOON + timedelta(seconds=13 * turn))
        token, shown, payload = asked(wire)
        number = shown["binding_code"]
        typed = f"{(int(number) + 1) % 100:02}" if typed == "next" else typed
        problem(later(wire, phone, payload, turn, binding_code=typed), 403, "invalid_binding_code")
        assert (wire.events()[-1].type, wire.events()[-1].reason) == ("gd_auth_rejected", "wrong_number")
        problem(later(wire, phone, payload, turn, binding_code=number), 404, "login_transaction_not_found")
        refused(wire.oob(token, shown["oob_code"]), *REJECTED)


def later(wire: Wire, phone: Phone, payload: dict[str, Any], turn: int, **claims: Any) -> Any:
    return device.resolve(wire, payload, phone.answer_to(payload, at=NOON.timestamp() + 13 * turn, **claims))


# --- the phone's own entry ----------------------------------------------------------------------------------------


def test_a_phone_keeps_its_entry_up_to_date(wire: Wire, cast: Cast) -> None:
    phone = enrolled(wire, cast)
    path = f"/appliance-mfa/api/device-accounts/{phone.id}"
    changes = {
        "identifier": "restored phone",
        "name": "New name",
        "push_credentials": {"service": "APNS", "token": "cd" * 32},
    }
    for token in (phone.token, phone.own_token(at=NOON.timestamp())):
        answer = wire.client.patch(path, json=changes, headers=bearer(token))
        assert wire.ok(answer) == changes
    only = wire.client.patch(path, json={"name": "Newer"}, headers=bearer(phone.token))
    assert wire.ok(only) == {"name": "Newer"}
    event = wire.events()[-1]
    assert (event.type, event.details["changed"]) == ("gd_update_device_account", ["name"])
    _, _, payload = asked(wire)
    assert pushes(wire)[-1].destination == "APNS:" + "cd" * 32
    problem(yes(wire, phone, payload), 401, "invalid_token")
    assert yes(wire, phone, payload, iss="restored phone").status_code == 204


def test_the_last_factor_is_only_shut_by_its_phone(wire: Wire, cast: Cast) -> None:
    """Else a copied token and the password were enough to begin anew."""
    phone = enrolled(wire, cast)
    path = f"/appliance-mfa/api/device-accounts/{phone.id}"
    assert wire.client.delete(path, headers=bearer(phone.token)).status_code == 204
    assert wire.events()[-1].reason == "shut_by_device"
    problem(wire.client.delete(path, headers=bearer(phone.token)), 404, "device_account_not_found")
    token = wire.mfa_token(**GUEST)
    (listed,) = [
        a for a in wire.ok_list(wire.get("/mfa/authenticators", token)) if a["type"] != "recovery-code"
    ]
    assert not listed["active"]
    refused(wire.associate(token), 403, "access_denied", "User is already enrolled.")


def test_a_phone_removes_its_entry(wire: Wire, cast: Cast) -> None:
    phone = enrolled(wire, cast)
    making.enroll_totp(wire.server, cast.carol)
    path = f"/appliance-mfa/api/device-accounts/{phone.id}"
    gone = wire.client.delete(path, headers=bearer(phone.own_token(at=NOON.timestamp())))
    assert (gone.status_code, gone.data) == (204, b"")
    assert (wire.events()[-1].type, wire.events()[-1].reason) == ("gd_unenroll", "removed_by_device")
    problem(wire.client.delete(path, headers=bearer(phone.token)), 404, "device_account_not_found")
    left = wire.ok_list(wire.get("/mfa/authenticators", wire.mfa_token(**GUEST)))
    assert "push-notification" not in {listed["type"] for listed in left}


def test_nobody_else_touches_a_phone_s_entry(wire: Wire, cast: Cast) -> None:
    phone = enrolled(wire, cast)
    path = f"/appliance-mfa/api/device-accounts/{phone.id}"
    now = NOON.timestamp()
    rival = Phone(device.key(1), base=phone.base, id=phone.id, user_id=phone.user_id)
    tokens = [
        "",
        "x",
        phone.token[:-1],
        rival.own_token(at=now),
        phone.own_token(at=now, sub=cast.bob.id),
        phone.own_token(at=now, iss=phone.identifier),
        phone.own_token(at=now, aud=f"{ISSUER}appliance-mfa/api/resolve-transaction"),
        phone.own_token(at=now, exp=now - 61),
        phone.own_token(at=now, exp=now + 86400),
    ]
    for token in tokens:
        for method in ("PATCH", "DELETE"):
            answer = wire.client.open(path, method=method, json={"name": "x"}, headers=bearer(token))
            problem(answer, 401, "invalid_token")
    other = wire.client.delete(path + "x", headers=bearer(phone.token))
    problem(other, 404, "device_account_not_found")
    assert wire.client.get(path).status_code == 405 and wire.client.get(path).json["statusCode"] == 405  # type: ignore[index]


# --- how often a phone rings --------------------------------------------------------------------------------------


def test_two_hundred_challenges_ring_a_phone_ten_times(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    enrolled(wire, cast)
    statuses = []
    for number in range(200):
        if number % 20 == 0:
            token = wire.mfa_token(**GUEST)
        statuses.append(wire.challenge(token, challenge_type="oob").status_code)
        clock.tick(timedelta(seconds=6))
    assert set(statuses) == {200, 429} and statuses.count(200) == len(pushes(wire)) == 10
    moments = sorted(str(m.payload["d"]) for m in pushes(wire))
    assert all(later[:16] != moment[:16] for moment, later in zip(moments, moments[5:], strict=False))
    clock.tick(timedelta(minutes=45))
    wire.ok(wire.challenge(wire.mfa_token(**GUEST), challenge_type="oob"))


def test_five_within_a_minute(wire: Wire, cast: Cast, clock: FrozenDateTimeFactory) -> None:
    phone = enrolled(wire, cast)
    token = wire.mfa_token(**GUEST)
    for _ in range(5):
        wire.ok(wire.challenge(token))
        yes(wire, phone, dict(pushes(wire)[-1].payload))
        clock.tick(timedelta(seconds=1))
    answer = wire.challenge(token)
    refused(answer, 429, "too_many_attempts", TOO_MANY)
    assert answer.headers["Retry-After"] == "56"
    clock.tick(timedelta(seconds=56))
    wire.ok(wire.challenge(token))


def test_another_login_s_push_is_left_alone_for_a_minute_and_then_replaced(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    phone = enrolled(wire, cast)
    _, _, first = asked(wire)
    rival = wire.mfa_token(**GUEST)
    refused(wire.challenge(rival), 429, "too_many_attempts", TOO_MANY)
    clock.tick(timedelta(minutes=1))
    wire.ok(wire.challenge(rival))
    late = phone.answer_to(first, at=NOON.timestamp() + 60)
    problem(device.resolve(wire, first, late), 404, "login_transaction_not_found")


def test_a_yes_forgets_what_was_counted_and_a_no_does_not(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    phone = enrolled(wire, cast)
    for number in range(9):
        _, _, payload = asked(wire)
        said = phone.answer_to(payload, at=NOON.timestamp() + number * 31, auth0_guardian_accepted=False)
        assert device.resolve(wire, payload, said).status_code == 204
        clock.tick(timedelta(seconds=31))
    token, shown, payload = asked(wire)
    said = phone.answer_to(payload, at=NOON.timestamp() + 9 * 31)
    assert device.resolve(wire, payload, said).status_code == 204
    wire.ok(wire.oob(token, shown["oob_code"]))
    asked(wire)


def test_the_authenticator_app_is_never_blocked_by_pushes(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    making.enroll_push(wire.server, cast.alice)
    token = wire.mfa_token()
    for _ in range(12):
        wire.challenge(token, challenge_type="oob")
        clock.tick(timedelta(seconds=15))
    refused(wire.challenge(token, challenge_type="oob"), 429, "too_many_attempts")
    assert wire.ok(wire.challenge(token, challenge_type="otp")) == {"challenge_type": "otp"}
    wire.ok(wire.otp(token, code_of(cast.alice_totp)))
