"""A first factor that may be enrolled only after a code reached a verified address or telephone of the person's."""

from datetime import timedelta
from typing import Any

import jwt
import pytest
from freezegun.api import FrozenDateTimeFactory
from sqlalchemy import Connection, func, select

from app import accounts
from app.context import Context
from app.policy.enrollment import CLOSED, CONTACT_NEEDED
from app.store import users
from app.store.authenticators import FAILURE_CAP
from app.store.buckets import buckets
from tests import making
from tests.making import Cast
from tests.wire import FULL, Wire, bearer, code_of, refused

BOB = "bob@example.com"
NUMBER = "+491701112233"
PROOF: dict[str, Any] = {"mode": "always", "enrollment": {"proof": "verified_contact"}}


@pytest.fixture(autouse=True)
def policy(wire: Wire, cast: Cast) -> None:
    making.set_policy(wire.server, cast.staff, PROOF)


def owed(answer: Any) -> dict[str, Any]:
    """The `mfa_required` that a step ended in."""
    assert answer.status_code == 403 and answer.json["error"] == "mfa_required", answer.text
    return dict(answer.json)


def proven(wire: Wire, name: str = BOB) -> str:
    """An mfa_token of a login in which the address was proven."""
    token = wire.mfa_token(name, **FULL)
    asked = wire.ok(wire.challenge(token, challenge_type="oob"))
    return str(owed(wire.oob(token, asked["oob_code"], binding_code=wire.newest_code()))["mfa_token"])


def closed(wire: Wire, token: str) -> None:
    refused(wire.associate(token), 403, "access_denied")
    assert wire.events()[-1].reason == "verified_contact_needed"


def test_the_contact_is_proven_first_and_then_a_factor_is_enrolled(wire: Wire, cast: Cast) -> None:
    first = owed(wire.password(BOB, **FULL))
    assert first["mfa_requirements"] == {"challenge": [{"type": "email"}, {"type": "oob"}]}
    token = first["mfa_token"]
    (listed,) = wire.ok_list(wire.get("/mfa/authenticators", token))
    assert listed == {
        "id": "contact-email", "authenticator_type": "oob", "active": True, "oob_channel": "email",
        "name": "b**@exam*******", "type": "email",
    }  # fmt: skip
    closed(wire, token)

    asked = wire.ok(wire.challenge(token, challenge_type="oob", authenticator_id=listed["id"]))
    assert asked["challenge_type"] == "oob" and asked["binding_method"] == "prompt"
    (mail,) = wire.messages()
    assert mail.destination == BOB and mail.code is not None
    second = owed(wire.oob(token, asked["oob_code"], binding_code=mail.code))
    assert "enroll" in second["mfa_requirements"]
    assert wire.ok_list(wire.get("/mfa/authenticators", second["mfa_token"])) == []

    secret = wire.ok(wire.associate(second["mfa_token"]))["secret"]
    tokens = wire.ok(wire.otp(second["mfa_token"], code_of(secret)))
    amr = jwt.decode(tokens["id_token"], options={"verify_signature": False})["amr"]
    assert amr == ["pwd", "otp", "mfa"]
    assert [e.reason for e in wire.events() if e.type == "mfar"] == ["contact_owed", "enrollment_owed"]
    assert "mfa_requirements" not in owed(wire.password(BOB)), "from now on the factor is asked for"


def test_a_contact_is_no_factor(wire: Wire, cast: Cast) -> None:
    token = proven(wire)
    refused(wire.challenge(token, challenge_type="oob"), 401, "unsupported_challenge_type")
    making.enroll_totp(wire.server, cast.bob)
    refused(wire.associate(token), 403, "access_denied")
    assert wire.events()[-1].reason == "factor_exists", "a proven contact must put nothing beside a factor"


def test_it_is_not_taken_for_a_factor_that_appeared_meanwhile(wire: Wire, cast: Cast) -> None:
    token = wire.mfa_token(BOB)
    asked, code = wire.ok(wire.challenge(token)), wire.newest_code()
    making.enroll_totp(wire.server, cast.bob)
    making.set_policy(wire.server, cast.staff, PROOF | {"factors": {"allowed": ["email"]}})
    answer = owed(wire.oob(token, asked["oob_code"], binding_code=code))
    assert "mfa_requirements" not in answer and wire.events()[-1].reason == "factor_owed"
    refused(wire.associate(answer["mfa_token"]), 403, "access_denied")


def test_it_gives_no_tokens_that_tell_of_a_second_factor(wire: Wire, cast: Cast) -> None:
    token = wire.mfa_token(BOB, **FULL)
    asked = wire.ok(wire.challenge(token))
    making.set_policy(wire.server, cast.staff, {"mode": "never"})
    tokens = wire.ok(wire.oob(token, asked["oob_code"], binding_code=wire.newest_code()))
    claims = jwt.decode(tokens["id_token"], options={"verify_signature": False})
    assert claims["amr"] == ["pwd"] and "acr" not in claims
    making.set_policy(wire.server, cast.staff, PROOF)
    again = owed(wire.refresh(tokens["refresh_token"]))
    assert "challenge" in again["mfa_requirements"], "and of a login long ago it opens nothing"
    closed(wire, again["mfa_token"])


def test_whoever_has_no_verified_contact_is_refused(wire: Wire, cast: Cast) -> None:
    making.make_user(wire.server, cast.staff, "dan@example.com", email_verified=False, phone_number=NUMBER)
    refused(wire.password("dan@example.com"), 403, "access_denied", CLOSED[CONTACT_NEEDED])
    assert wire.events()[-1].reason == "verified_contact_needed"


def test_whoever_has_both_chooses(wire: Wire, cast: Cast) -> None:
    making.make_user(wire.server, cast.staff, "eve@example.com", phone_number=NUMBER, phone_verified=True)
    first = owed(wire.password("eve@example.com"))
    types = {found["type"] for found in first["mfa_requirements"]["challenge"]}
    assert types == {"phone", "email", "oob"}
    token = first["mfa_token"]
    for choice, destination in (
        ({}, "eve@example.com"),
        ({"oob_channel": "sms"}, NUMBER),
        ({"authenticator_id": "contact-email"}, "eve@example.com"),
        ({"authenticator_id": "contact-sms"}, NUMBER),
    ):
        wire.ok(wire.challenge(token, challenge_type="oob", **choice))
        assert wire.messages()[-1].destination == destination
    refused(wire.challenge(token, authenticator_id="contact-voice"), 403, "invalid_grant")
    refused(wire.challenge(token, challenge_type="otp"), 401, "unsupported_challenge_type")


def test_a_code_counts_once_in_its_own_login_and_for_five_minutes(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    token, other = wire.mfa_token(BOB), wire.mfa_token(BOB)
    asked, code = wire.ok(wire.challenge(token)), wire.newest_code()
    refused(wire.oob(other, asked["oob_code"], binding_code=code), 403, "invalid_grant")
    refused(wire.oob(token, asked["oob_code"]), 400, "invalid_request")
    clock.tick(timedelta(minutes=5))
    refused(wire.oob(token, asked["oob_code"], binding_code=code), 403, "expired_token")
    asked, code = wire.ok(wire.challenge(token)), wire.newest_code()
    owed(wire.oob(token, asked["oob_code"], binding_code=code))
    refused(wire.oob(token, asked["oob_code"], binding_code=code), 403, "invalid_grant")


def test_a_newer_code_takes_the_place_of_the_older(wire: Wire, cast: Cast) -> None:
    token = wire.mfa_token(BOB)
    older, code = wire.ok(wire.challenge(token)), wire.newest_code()
    wire.ok(wire.challenge(token))
    refused(wire.oob(token, older["oob_code"], binding_code=code), 403, "invalid_grant")


def test_wrong_codes_are_counted_like_those_of_a_factor(wire: Wire, cast: Cast) -> None:
    token = wire.mfa_token(BOB)
    asked, code = wire.ok(wire.challenge(token)), wire.newest_code()
    wrong = f"{(int(code) + 1) % 10**6:06}"
    for _ in range(10):
        refused(wire.oob(token, asked["oob_code"], binding_code=wrong), 403, "invalid_grant")
    assert wire.oob(token, asked["oob_code"], binding_code=code).status_code == 429


def test_fifty_wrong_codes_in_a_row_leave_one_a_month_until_an_administrator_helps(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    def answered(code: str | None = None) -> Any:
        """The answer to a wrong code, or to the right one, in a login of its own, once there is room for a guess."""
        clock.tick(timedelta(minutes=60))  # messages are counted as well
        token = wire.mfa_token(BOB)
        handle = wire.ok(wire.challenge(token))["oob_code"]
        right = wire.newest_code()
        return wire.oob(
            token, handle, binding_code=right if code is None else f"{(int(right) + 1) % 10**6:06}"
        )

    def guess(times: int) -> None:
        for _ in range(times):
            refused(answered("wrong"), 403, "invalid_grant")

    guess(3)
    owed(answered())  # a right one forgives
    guess(FAILURE_CAP)
    over = answered()
    refused(over, 429, "invalid_request")
    assert int(over.headers["Retry-After"]) > 20 * 86400
    assert wire.events()[-1].details["limit"]["max"] == FAILURE_CAP  # type: ignore[index]
    ctx = Context(wire.server, making.now(), ip="")
    with wire.server.db.write() as conn:
        accounts.unblock(conn, ctx, cast.staff, BOB)
    guess(1)
    with wire.server.db.write() as conn:
        assert kept_guesses(conn) == 1
        accounts.reset_mfa(conn, ctx, cast.bob, reason="", by="")
        assert kept_guesses(conn) == 0


def kept_guesses(conn: Connection) -> int:
    counted = select(func.count()).where(buckets.c.key.startswith("guess/contact/"))
    return int(conn.execute(counted).scalar_one())


def test_messages_are_limited_like_those_of_a_factor(wire: Wire, cast: Cast) -> None:
    token = wire.mfa_token(BOB)
    answers = [wire.challenge(token).status_code for _ in range(11)]
    assert answers == [200] * 10 + [429]
    limit: Any = wire.events()[-1].details["limit"]
    assert (limit["source"], limit["max"], round(limit["count"])) == ("person", 10, 10)


@pytest.mark.parametrize("change", [{"email": "robert@example.com"}, {"email_verified": False}])
def test_a_contact_that_is_not_the_person_s_any_more_proves_nothing(
    wire: Wire, cast: Cast, change: dict[str, Any]
) -> None:
    token = wire.mfa_token(BOB)
    asked, code = wire.ok(wire.challenge(token)), wire.newest_code()
    with wire.server.db.write() as conn:
        users.update_user(conn, cast.bob.id, **change)
    refused(wire.oob(token, asked["oob_code"], binding_code=code), 403, "invalid_grant")
    assert wire.events()[-1].reason == "contact_changed"


def test_what_was_begun_before_the_policy_cannot_be_finished_without(wire: Wire, cast: Cast) -> None:
    making.set_policy(wire.server, cast.staff, {"mode": "always"})
    token = wire.mfa_token(BOB)
    secret = wire.ok(wire.associate(token))["secret"]
    making.set_policy(wire.server, cast.staff, PROOF)
    refused(wire.otp(token, code_of(secret)), 403, "access_denied", CLOSED[CONTACT_NEEDED])


def test_an_old_factor_is_proven_before_another_is_enrolled(wire: Wire, cast: Cast) -> None:
    making.set_policy(wire.server, cast.staff, PROOF | {"factors": {"allowed": ["email"]}})
    first = owed(wire.password())
    assert "mfa_requirements" not in first, "the factor that is there is asked for, the contact is not"
    listed = wire.ok_list(wire.get("/mfa/authenticators", first["mfa_token"]))
    assert [a["type"] for a in listed] == ["otp", "recovery-code"]
    refused(wire.challenge(first["mfa_token"], challenge_type="oob"), 401, "unsupported_challenge_type")
    second = owed(wire.otp(first["mfa_token"], code_of(cast.alice_totp)))
    assert "enroll" in second["mfa_requirements"], "who has proven a factor needs no other proof"


def test_an_address_that_was_proven_may_become_the_factor(wire: Wire, cast: Cast) -> None:
    making.switch_on(wire.server, "email")
    token = proven(wire)
    body = {"authenticator_types": ["oob"], "oob_channels": ["email"]}
    shown = wire.ok(wire.client.post("/mfa/associate", json=body, headers=bearer(token)))
    wire.ok(wire.oob(token, shown["oob_code"], binding_code=wire.newest_code()))
    asked = wire.ok(wire.challenge(wire.mfa_token(BOB), challenge_type="oob"))
    assert asked["challenge_type"] == "oob"
