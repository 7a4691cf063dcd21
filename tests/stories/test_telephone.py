"""A telephone that gets text messages can be called as well: one device, two ways to it, two names."""

import pytest
from freezegun.api import FrozenDateTimeFactory

from app.factors.vocabulary import MESSAGE_TYPES
from app.store.documents import Document, put_document
from tests import making
from tests.making import CAROLS_PASSWORD, Cast
from tests.wire import Wire, bearer, refused

NUMBER = "+491701234567"
BOB = "bob@example.com"


@pytest.fixture(autouse=True)
def switched_on(wire: Wire, cast: Cast) -> None:
    making.switch_on(wire.server, "sms")
    for realm in (cast.staff, cast.guests):
        making.set_policy(
            wire.server, realm, {"mode": "always", "factors": {"message_types": ["sms", "voice"]}}
        )


def twins(device: str) -> tuple[str, str]:
    name = device.partition("|")[2]
    return f"sms|{name}", f"voice|{name}"


def listed(wire: Wire, token: str) -> list[tuple[str, str, str]]:
    found = wire.ok_list(wire.get("/mfa/authenticators", token))
    return sorted((a["id"], a["oob_channel"], a["name"]) for a in found if a["type"] == "phone")


def newest_channel(wire: Wire) -> str | None:
    return wire.events()[-1].factor


@pytest.mark.parametrize("kind", ["sms", "voice"])
def test_it_is_listed_by_both_its_names_and_asked_by_either(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory, kind: str
) -> None:
    text, call = twins(making.enroll_phone(wire.server, cast.bob, kind))
    for name, channel in ((text, "sms"), (call, "voice")):
        token = wire.mfa_token(BOB)
        assert listed(wire, token) == [(text, "sms", "XXXXXXXXX4567"), (call, "voice", "XXXXXXXXX4567")]
        asked = wire.ok(wire.challenge(token, challenge_type="oob", authenticator_id=name))
        assert newest_channel(wire) == channel
        wire.ok(wire.oob(token, asked["oob_code"], binding_code=wire.newest_code()))
        assert wire.events()[-1].factor == channel
        clock.tick(31)


def test_where_nobody_chooses_it_is_asked_as_it_was_enrolled(wire: Wire, cast: Cast) -> None:
    making.enroll_phone(wire.server, cast.bob, "voice")
    wire.ok(wire.challenge(wire.mfa_token(BOB), challenge_type="oob"))
    assert newest_channel(wire) == "voice"


def test_whoever_enrols_by_text_is_called_when_the_text_does_not_come(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    token = wire.mfa_token(password=CAROLS_PASSWORD, realm="guests")
    body = {"authenticator_types": ["oob"], "oob_channels": ["sms"], "phone_number": NUMBER}
    text, call = twins(wire.ok(wire.client.post("/mfa/associate", json=body, headers=bearer(token)))["id"])
    refused(wire.challenge(token, challenge_type="oob", authenticator_id=call), 429, "invalid_request")
    clock.tick(31)
    asked = wire.ok(wire.challenge(token, challenge_type="oob", authenticator_id=call))
    assert newest_channel(wire) == "voice"
    wire.ok(wire.oob(token, asked["oob_code"], binding_code=wire.newest_code()))
    again = wire.mfa_token(password=CAROLS_PASSWORD, realm="guests")
    assert [name for name, _, _ in listed(wire, again)] == [text, call]


def test_a_code_that_was_called_through_ends_the_one_that_was_written(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    text, call = twins(making.enroll_phone(wire.server, cast.bob))
    token = wire.mfa_token(BOB)
    first = wire.ok(wire.challenge(token, challenge_type="oob", authenticator_id=text))["oob_code"]
    written = wire.newest_code()
    clock.tick(31)
    wire.ok(wire.challenge(token, challenge_type="oob", authenticator_id=call))
    refused(wire.oob(token, first, binding_code=written), 403, "invalid_grant")


def test_guesses_at_one_name_are_guesses_at_the_other(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    statuses = []
    for name in twins(making.enroll_phone(wire.server, cast.bob)):
        token = wire.mfa_token(BOB)
        asked = wire.ok(wire.challenge(token, challenge_type="oob", authenticator_id=name))["oob_code"]
        wrong = f"{(int(wire.newest_code()) + 1) % 10**6:06}"
        statuses += [wire.oob(token, asked, binding_code=wrong).status_code for _ in range(6)]
        clock.tick(31)
    assert statuses == [403] * 10 + [429] * 2


@pytest.mark.parametrize("which", [0, 1])
def test_both_go_by_either_name(wire: Wire, cast: Cast, which: int) -> None:
    making.enroll_totp(wire.server, cast.bob)
    names = twins(making.enroll_phone(wire.server, cast.bob))
    token = wire.mfa_token(BOB, audience="http://127.0.0.1:8000/mfa/", scope="remove:authenticators")
    asked = wire.ok(wire.challenge(token, challenge_type="oob", authenticator_id=names[0]))
    tokens = wire.ok(wire.oob(token, asked["oob_code"], binding_code=wire.newest_code()))
    assert wire.delete(names[which], tokens["access_token"]).status_code == 204
    assert listed(wire, wire.mfa_token(BOB)) == []


@pytest.mark.parametrize("who", ["the tenant", "the realm"])
def test_without_calls_there_is_one_name(wire: Wire, cast: Cast, who: str) -> None:
    text, call = twins(making.enroll_phone(wire.server, cast.bob))
    if who == "the realm":
        making.set_policy(wire.server, cast.staff, {"mode": "always", "factors": {"message_types": ["sms"]}})
    else:
        with wire.server.db.write() as conn:
            put_document(conn, Document(MESSAGE_TYPES, {"message_types": ["sms"]}))
    token = wire.mfa_token(BOB)
    assert [name for name, _, _ in listed(wire, token)] == [text]
    refused(wire.challenge(token, challenge_type="oob", authenticator_id=call), 403, "invalid_grant")
