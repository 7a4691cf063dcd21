"""What a realm's policy does to logins: whom it lets in, whom it asks, whom it has enrol, and what it counts."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import jwt
import pytest
from freezegun.api import FrozenDateTimeFactory
from sqlalchemy import select
from werkzeug.test import TestResponse

from app import accounts
from app.accounts import enrollment, factors, tickets
from app.context import Context
from app.errors import AccessDenied
from app.explaining import Question, explain, standing_in, word_of
from app.policy import decide
from app.store import authenticators, realms
from app.store.authenticators import Authenticator
from app.store.events import Event
from app.store.users import User, users
from app.tokens.methods import ACR_MFA
from tests import making
from tests.making import Cast
from tests.wire import APP, FULL, Wire, code_of, refused

BOB = "bob@example.com"


def word(answer: TestResponse) -> str:
    """What the server decided, in the words of `evaluate`."""
    assert answer.json is not None, answer.text
    if answer.status_code == 200:
        return "allow"
    if answer.json["error"] != "mfa_required":
        assert answer.json["error"] == "access_denied", answer.text
        return "deny"
    return "enroll" if "enroll" in answer.json.get("mfa_requirements", {}) else "challenge"


def told(wire: Wire) -> dict[str, Any]:
    """What the newest event says of the policy."""
    found = wire.events()[-1].details["mfa_policy"]
    assert isinstance(found, dict)
    return found


def of_type(wire: Wire, kind: str) -> list[Event]:
    return [event for event in wire.events() if event.type == kind]


def has_factor(wire: Wire, user_id: str) -> bool:
    with wire.server.db.read() as conn:
        return any(a.confirmed_at for a in authenticators.list_authenticators(conn, user_id))


# --- the matrix ----------------------------------------------------------------------------------------------------


def test_decision_evaluation_and_server_say_the_same(wire: Wire, cast: Cast, ctx: Context) -> None:
    """5 modes x enrolled or not x grace x exempt x report-only x locked, and the tenant's policy under `inherit`.

    A lock is only felt where something would weaken the policy: the connection's own switch, in a part of the rows.
    """
    making.loosen_limits(wire.server)
    now = datetime.now(UTC)
    ctx = Context(wire.server, now, ip="127.0.0.1")
    seen = set()
    for mode, grace, (is_exempt, is_off), enforcement, locked in product(
        ("inherit", "never", "when_enrolled", "always", "adaptive"),
        ("none", "days"),
        ((False, False), (True, False), (False, True)),
        ("enforce", "report_only"),
        (False, True),
    ):
        with wire.server.db.write() as conn:
            realms.update_realm(conn, cast.staff.id, options={"mfa": {"active": not is_off}})
        for user in (cast.alice, cast.bob):
            exemption = {"type": "user", "value": user.id, "reason": "a test"}
            terms: dict[str, Any] = {
                "mode": mode,
                "enforcement": enforcement,
                "adaptive": {"assessors": ["ImpossibleTravel"]},  # which has no source here: a factor is owed
                "locked": locked,
                "enrollment": {"grace": {"type": grace}},
                "exemptions": [exemption] if is_exempt else [],
            }
            making.set_policy(wire.server, cast.staff, terms)
            with wire.server.db.read() as conn:
                realm = realms.find_realm(conn, cast.staff.id)
                assert realm is not None
                question = Question(cast.app, ip="127.0.0.1")
                decided = word_of(decide(standing_in(ctx, conn, realm, user, question)))
                evaluated = explain(ctx, conn, realm, user, question)["decision"]
            served = word(wire.password(str(user.email)))
            assert decided == evaluated == served, (terms, user.email)
            assert told(wire)["decision"] == decided
            seen.add(decided)
            is_owed = mode in ("always", "adaptive") or (mode == "when_enrolled" and user is cast.alice)
            if not is_owed or is_exempt or enforcement == "report_only" or (is_off and not locked):
                assert served == "allow", terms
            else:
                expected = "challenge" if user is cast.alice else "allow" if grace == "days" else "enroll"
                assert served == expected, terms
    assert seen == {"allow", "challenge", "enroll"}


# --- grace, emergency accounts -------------------------------------------------------------------------------------


def test_a_grace_of_skips_lets_in_so_many_logins(wire: Wire, cast: Cast) -> None:
    making.set_policy(
        wire.server, cast.staff, {"mode": "always", "enrollment": {"grace": {"type": "skips", "skips": 2}}}
    )
    tokens = wire.ok(wire.password(BOB, **FULL))
    assert "mfa" not in jwt.decode(tokens["id_token"], options={"verify_signature": False})["amr"]
    assert told(wire)["reasons"] == ["mode_always", "in_grace"] and wire.events()[-1].reason == "in_grace"
    last = wire.ok(wire.refresh(tokens["refresh_token"]))  # which counts nothing
    wire.ok(wire.password(BOB))
    assert word(wire.password(BOB)) == "enroll"
    wire.ok(wire.refresh(last["refresh_token"]))
    assert word(wire.password()) == "challenge"


def test_whoever_is_in_grace_is_reminded_now_and_then(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    grace: dict[str, Any] = {"type": "skips", "skips": 9, "remind_every_hours": 2}
    making.set_policy(wire.server, cast.staff, {"mode": "always", "enrollment": {"grace": grace}})
    for hours in (0, 1, 0.9, 0.2):
        clock.tick(timedelta(hours=hours))
        wire.ok(wire.password(BOB))
    first, second = wire.messages()
    assert {first.destination, second.destination} == {BOB}
    assert "left: 8." in first.text and "left: 5." in second.text
    assert [bool(event.details.get("reminded")) for event in of_type(wire, "sepft")] == [
        True,
        False,
        False,
        True,
    ]
    grace = {"type": "days", "days": 3, "starts": "policy_change", "remind_every_hours": 1}
    since = datetime.now(UTC)
    making.set_policy(
        wire.server, cast.staff, {"mode": "always", "enrollment": {"grace": grace}}, since=since
    )
    clock.tick(timedelta(hours=3))
    wire.ok(wire.password(BOB))
    assert f"until {since + timedelta(days=3):%Y-%m-%d %H:%M} UTC" in wire.messages()[-1].text
    for changed in (
        {"enrollment": {"grace": grace | {"remind_every_hours": 0}}},
        {"enforcement": "report_only"},
    ):
        terms = {"mode": "always", "enrollment": {"grace": grace}} | changed
        making.set_policy(wire.server, cast.staff, terms, since=since)
        clock.tick(timedelta(hours=3))
        wire.ok(wire.password(BOB))
        wire.password()  # who has a factor is not in grace
        assert len(wire.messages()) == 3


def test_the_preferred_factor_is_asked_for_and_telephones_are_reached_as_the_policy_says(
    wire: Wire, cast: Cast
) -> None:
    making.switch_on(wire.server, "sms", "email")
    phone = making.enroll_phone(wire.server, cast.alice)
    making.enroll_phone(wire.server, cast.alice, "email", "alice@example.com")
    for preferred, binds in (("otp", False), ("phone", True), (None, True)):
        making.set_policy(wire.server, cast.staff, {"mode": "always", "factors": {"preferred": preferred}})
        asked = wire.ok(wire.challenge(wire.mfa_token()))
        assert ("oob_code" in asked) == binds
        if preferred == "phone":
            assert wire.messages()[-1].destination == "+491701234567", phone

    def channels(**terms: Any) -> list[int]:
        making.set_policy(wire.server, cast.staff, {"mode": "always", "factors": terms})
        headers = {"Authorization": f"Bearer {wire.mfa_token(BOB)}"}
        body = {"authenticator_types": ["oob"], "phone_number": "+491701234568"}
        return [
            wire.client.post(
                "/mfa/associate", json=body | {"oob_channels": [way]}, headers=headers
            ).status_code
            for way in ("sms", "voice")
        ]

    assert channels(message_types=["sms"]) == [200, 400]
    assert channels(message_types=["voice"])[1] in (200, 429)
    assert channels(message_types=[]) == [400, 400]


def test_logins_at_once_take_no_skip_twice(wire: Wire, cast: Cast) -> None:
    making.set_policy(
        wire.server, cast.staff, {"mode": "always", "enrollment": {"grace": {"type": "skips", "skips": 3}}}
    )
    begin = threading.Barrier(6)

    def log_in(_: int) -> str:
        own = Wire(wire.server)
        begin.wait()
        return word(own.password(BOB))

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(log_in, range(6)))
    assert sorted(found) == ["allow"] * 3 + ["enroll"] * 3


def test_a_grace_from_the_first_login_begins_there(wire: Wire, cast: Cast) -> None:
    terms = {"mode": "always", "enrollment": {"grace": {"type": "days", "days": 2, "starts": "first_login"}}}
    making.set_policy(wire.server, cast.staff, terms, since=datetime(2020, 1, 1, tzinfo=UTC))
    for _ in range(2):
        wire.ok(wire.password(BOB))
    with wire.server.db.read() as conn:
        began = making.reload_user(wire.server, cast.bob).mfa_counts
        assert conn.execute(select(users.c.mfa_counts).where(users.c.id == cast.alice.id)).scalar() is None
    assert began is not None and began.grace_began_at is not None
    with wire.server.db.write() as conn:
        old = began.model_copy(update={"grace_began_at": began.grace_began_at - timedelta(days=2)})
        conn.execute(users.update().where(users.c.id == cast.bob.id).values(mfa_counts=old))
    assert word(wire.password(BOB)) == "enroll"


def test_an_emergency_account_is_let_in_counted_and_told_of(wire: Wire, cast: Cast) -> None:
    glass: dict[str, Any] = {"user_ids": [cast.alice.id], "networks": ["127.0.0.0/8"], "max_uses_per_day": 2}
    making.set_policy(wire.server, cast.staff, {"mode": "always", "break_glass": glass})
    for _ in range(2):
        tokens = wire.ok(wire.password(**FULL))
        assert told(wire)["reason"] == "break_glass"
    alerts = of_type(wire, "mfa_policy_break_glass")
    assert len(alerts) == 2 and alerts[0].user_id == cast.alice.id
    wire.ok(wire.refresh(tokens["refresh_token"]))
    assert word(wire.password()) == "challenge"
    making.set_policy(
        wire.server, cast.staff, {"mode": "always", "break_glass": glass | {"networks": ["10.0.0.0/8"]}}
    )
    assert word(wire.password()) == "challenge"
    refused(
        wire.refresh(tokens["refresh_token"]), 403, "invalid_grant"
    )  # it was rotated; its family has ended


# --- adaptive ------------------------------------------------------------------------------------------------------


def test_signals_decide_under_an_adaptive_policy_and_are_told(wire: Wire, cast: Cast) -> None:
    adaptive: dict[str, Any] = {"mode": "adaptive"}
    making.set_policy(wire.server, cast.staff, adaptive)
    assert word(wire.password(BOB)) == "enroll"  # nobody has seen this person before
    assert told(wire)["signals"] == ["no_history"]
    making.set_policy(wire.server, cast.staff, {"mode": "never"})
    wire.ok(wire.password(BOB))
    making.set_policy(wire.server, cast.staff, adaptive)
    wire.ok(wire.password(BOB))
    assert (told(wire)["signals"], told(wire)["reason"]) == ([], "confidence_high")
    wire.ok(wire.password(BOB, headers={"User-Agent": "another"}))
    assert (told(wire)["signals"], told(wire)["reason"]) == (["new_device"], "confidence_medium")
    for _ in range(3):
        wire.password(BOB, "wrong")
    assert word(wire.password(BOB, headers={"User-Agent": "a third"})) == "enroll"
    assert told(wire)["signals"] == ["failure_streak", "new_device"]
    # Only what is wanted counts, and what has no source here is as the policy says.
    making.set_policy(wire.server, cast.staff, adaptive | {"adaptive": {"assessors": ["NewNetwork"]}})
    wire.ok(wire.password(BOB, headers={"User-Agent": "a fourth"}))
    for choice, expected in (("require", "enroll"), ("allow", "allow")):
        terms = {"assessors": ["ImpossibleTravel"], "on_unavailable": choice}
        making.set_policy(wire.server, cast.staff, adaptive | {"adaptive": terms})
        assert word(wire.password(BOB)) == expected
        assert "signals_unavailable" in told(wire)["reasons"] and "signals" not in told(wire)


# --- which factors -------------------------------------------------------------------------------------------------


def test_a_factor_that_is_not_allowed_any_more_opens_nothing_but_its_successor(
    wire: Wire, cast: Cast
) -> None:
    terms = {"mode": "when_enrolled", "factors": {"allowed": ["webauthn-roaming"]}}
    making.set_policy(wire.server, cast.staff, terms)
    token = wire.mfa_token()
    refused(wire.associate(token), 403, "access_denied", "User is already enrolled.")
    challenge = wire.post("/mfa/challenge", **APP, mfa_token=token)
    assert wire.ok(challenge) == {"challenge_type": "otp"}
    asked = wire.otp(token, code_of(cast.alice_totp))
    refused(asked, 403, "mfa_required")
    assert asked.json is not None and "mfa_requirements" in asked.json
    refused(wire.otp(token, code_of(cast.alice_totp)), 403, "invalid_grant", "Malformed mfa_token")
    # What was proven goes with the new token; a kind that is not allowed cannot be enrolled with it.
    refused(wire.associate(asked.json["mfa_token"]), 400, "invalid_request")
    # A recovery code that is used up for nothing is replaced in the answer: the old one is gone.
    used = wire.recovery(wire.mfa_token(), cast.alice_recovery)
    refused(used, 403, "mfa_required")
    assert used.json is not None and len(used.json["recovery_code"]) == 24


def test_two_factors_are_enrolled_one_behind_the_other(wire: Wire, cast: Cast) -> None:
    making.set_policy(wire.server, cast.staff, {"mode": "always", "factors": {"min_enrolled": 2}})
    token = wire.mfa_token(BOB)
    first = wire.ok(wire.associate(token))
    asked = wire.otp(token, code_of(first["secret"]))
    assert word(asked) == "enroll" and has_factor(wire, cast.bob.id)
    assert asked.json is not None
    second = wire.ok(wire.associate(asked.json["mfa_token"]))
    assert "recovery_codes" in first and "recovery_codes" not in second
    tokens = wire.ok(wire.otp(asked.json["mfa_token"], code_of(second["secret"]), **FULL))
    assert jwt.decode(tokens["id_token"], options={"verify_signature": False})["acr"] == ACR_MFA
    assert word(wire.password(BOB)) == "challenge"


def test_several_kinds_and_what_the_policy_takes_of_them(wire: Wire, cast: Cast) -> None:
    making.switch_on(wire.server, "sms", "email")
    making.enroll_phone(wire.server, cast.alice)
    making.set_policy(wire.server, cast.staff, {"mode": "always", "factors": {"allowed": ["phone"]}})
    token = wire.mfa_token()
    # The app is there, and neither offered nor enough; the telephone is both.
    assert wire.ok(wire.challenge(token))["challenge_type"] == "oob"
    refused(wire.challenge(token, challenge_type="otp"), 401, "unsupported_challenge_type")
    asked = wire.otp(token, code_of(cast.alice_totp))
    assert word(asked) == "challenge" and asked.json is not None
    token = asked.json["mfa_token"]
    # Who has nothing is told of what may be enrolled, and nothing else can be.
    first = wire.password(BOB)
    assert first.json is not None and first.json["mfa_requirements"] == {"enroll": [{"type": "phone"}]}
    refused(wire.associate(first.json["mfa_token"]), 400, "invalid_request")
    # Mail is no second factor where NIST is to be met.
    making.set_policy(wire.server, cast.staff, {"mode": "always", "assurance": "nist"})
    first = wire.password(BOB)
    assert first.json is not None
    assert {"type": "email"} not in first.json["mfa_requirements"]["enroll"]
    # The realm's budget names the countries that messages go to.
    terms = {"mode": "always", "factors": {"allowed": ["phone"]}, "budgets": {"countries": ["FR"]}}
    making.set_policy(wire.server, cast.staff, terms)
    making.enroll_phone(wire.server, cast.bob)
    refused(wire.challenge(wire.mfa_token(BOB)), 400, "invalid_request", "The phone number is invalid.")


def test_a_plain_push_is_nothing_where_numbers_are_to_be_matched(
    wire: Wire, cast: Cast, ctx: Context
) -> None:
    making.switch_on(wire.server, "push-notification")
    for matches, expected in ((False, "old_factor_first"), (True, "enrolled")):
        device = Authenticator(
            f"push|dev_{matches}",
            cast.bob.id,
            "push",
            making.now(),
            details={"public_key": {}, "matches_numbers": matches},
            confirmed_at=making.now(),
        )
        with wire.server.db.write() as conn:
            authenticators.add_authenticator(conn, device)
        for terms in ({"factors": {"push_binding": "transfer"}}, {"assurance": "nist"}):
            making.set_policy(wire.server, cast.staff, {"mode": "always"} | terms)
            assert word(wire.password(BOB)) == "challenge"
            assert told(wire)["reason"] == expected
        making.set_policy(wire.server, cast.staff, {"mode": "always"})
        assert word(wire.password(BOB)) == "challenge" and told(wire)["reason"] == "enrolled"


# --- refresh and step-up -------------------------------------------------------------------------------------------


def test_a_factor_that_was_proven_too_long_ago_is_asked_for_at_the_refresh(wire: Wire, cast: Cast) -> None:
    tokens = wire.login(cast.alice_totp, **FULL)
    before = jwt.decode(tokens["id_token"], options={"verify_signature": False})
    tokens = wire.ok(wire.refresh(tokens["refresh_token"]))
    after = jwt.decode(tokens["id_token"], options={"verify_signature": False})
    assert {n: after[n] for n in ("amr", "acr", "auth_time")} == {
        n: before[n] for n in ("amr", "acr", "auth_time")
    }
    making.set_policy(
        wire.server, cast.staff, {"mode": "when_enrolled", "refresh": {"max_mfa_age_seconds": 3600}}
    )
    tokens = wire.ok(wire.refresh(tokens["refresh_token"]))
    age_families(wire, seconds=3601)
    asked = wire.refresh(tokens["refresh_token"])
    assert word(asked) == "challenge"
    assert asked.json is not None
    token = asked.json["mfa_token"]
    # A factor of an hour ago opens the way to no other.
    refused(wire.associate(token), 403, "access_denied", "User is already enrolled.")
    refused(wire.otp(token, "000000"), 403, "invalid_grant")
    recovered = wire.ok(wire.recovery(token, cast.alice_recovery))
    found = jwt.decode(recovered["id_token"], options={"verify_signature": False})
    assert found["auth_time"] >= before["auth_time"] and found["acr"] == ACR_MFA
    wire.ok(wire.refresh(recovered["refresh_token"]))


def age_families(wire: Wire, *, seconds: int) -> None:
    """As if every login had been so long ago."""
    table = realms.realms.metadata.tables["refresh_families"]
    with wire.server.db.write() as conn:
        for row in conn.execute(select(table.c.handle_digest, table.c.methods)).all():
            older = [[name, at - seconds] for name, at in row.methods]
            conn.execute(
                table.update().where(table.c.handle_digest == row.handle_digest).values(methods=older)
            )


def test_a_stolen_refresh_token_enrols_no_first_factor(wire: Wire, cast: Cast) -> None:
    tokens = wire.ok(wire.password(BOB, **FULL))
    making.set_policy(wire.server, cast.staff, {"mode": "always"})
    age_families(wire, seconds=601)
    refused(wire.refresh(tokens["refresh_token"]), 403, "invalid_grant")
    assert word(wire.password(BOB)) == "enroll"


def test_certain_scopes_and_audiences_step_up(wire: Wire, cast: Cast) -> None:
    making.set_policy(wire.server, cast.staff, {"mode": "always", "scope": {"scopes": ["write:things"]}})
    both = {"audience": making.API, "scope": "openid offline_access read:things write:things"}
    plain = wire.ok(wire.password(audience=making.API, scope="openid offline_access read:things"))
    assert told(wire)["reason"] == "scope_not_requested"
    assert word(wire.password(**both)) == "challenge"
    assert word(wire.password(audience=making.API)) == "challenge"  # asking for nothing asks for everything
    tokens = wire.login(cast.alice_totp, **both)
    making.set_policy(
        wire.server,
        cast.staff,
        {"mode": "always", "scope": {"scopes": ["write:things"]}, "refresh": {"max_mfa_age_seconds": 60}},
    )
    age_families(wire, seconds=61)
    tokens = wire.ok(wire.refresh(tokens["refresh_token"], scope="openid read:things"))
    assert word(wire.refresh(tokens["refresh_token"])) == "challenge"
    wire.ok(wire.refresh(plain["refresh_token"]))

    making.set_policy(
        wire.server, cast.staff, {"mode": "always", "scope": {"audiences": {"include": [making.API]}}}
    )
    wire.ok(wire.password())
    assert word(wire.password(audience=making.API)) == "challenge"


# --- a client never opts out ---------------------------------------------------------------------------------------

OPT_OUTS: list[dict[str, str]] = [
    {"acr_values": "none"},
    {"mfa": "false"},
    {"mfa_required": "0"},
    {"amr": "mfa"},
    {"factor": "none"},
    {"scope": ""},
    {"scope": "mfa:none"},
    {"audience": "http://127.0.0.1:8000/userinfo"},
    {"audience": "http://127.0.0.1:8000/mfa/"},
    {"realm": "staff"},
    {"connection": "guests"},
    {"mfa_token": "x"},
    {"provider": "none"},
    {"grant_type": "http://auth0.com/oauth/grant-type/password-realm", "realm": "staff"},
]


def test_a_client_cannot_opt_out_by_any_parameter(wire: Wire, cast: Cast) -> None:
    making.set_policy(wire.server, cast.staff, {"mode": "always"})
    for members in OPT_OUTS:
        for person, expected in (("alice@example.com", "challenge"), (BOB, "enroll")):
            answer = wire.password(person, **members)
            assert answer.status_code == 400 or word(answer) == expected, (members, answer.text)
    assert not of_type(wire, "s") and not of_type(wire, "sepft")


# --- enrolment -----------------------------------------------------------------------------------------------------

LATER = "2099-01-01T00:00:00Z"
OPENINGS: dict[str, tuple[dict[str, Any], bool, bool]] = {
    # what the policy says of enrolment: (terms, whether the password alone enrols, whether a pass does)
    "at login": ({}, True, True),
    "by ticket only": ({"self_service": "ticket_only"}, False, True),
    "closed": ({"self_service": "closed"}, False, False),
    "a window to come": ({"window": {"opens_at": LATER}}, False, True),
    "a window that is over": ({"window": {"closes_at": "2020-01-01T00:00:00Z"}}, False, True),
    "a window that is open": ({"window": {"closes_at": LATER}}, True, True),
    "with a pass": ({"proof": "access_pass"}, False, True),
    "grace over, then blocked": (
        {"grace": {"type": "until", "until": "2020-01-01T00:00:00Z"}, "on_expired": "block"},
        False,
        False,
    ),
    "with a pass, later": ({"proof": "access_pass", "window": {"opens_at": LATER}}, False, True),
    "by ticket, no grace": ({"self_service": "ticket_only", "on_expired": "block"}, False, True),
    "one factor at most": ({"allow_multiple": False}, True, True),
    "grace over": ({"grace": {"type": "until", "until": "2020-01-01T00:00:00Z"}}, True, True),
}


@pytest.mark.parametrize("name", OPENINGS)
def test_no_factor_becomes_active_but_as_the_policy_says(
    wire: Wire, cast: Cast, ctx: Context, name: str
) -> None:
    """Each policy with every way to enrol: nothing, a wrong pass, somebody else's, a pass, and the same pass again."""
    terms, takes_password, takes_pass = OPENINGS[name]
    making.set_policy(wire.server, cast.staff, {"mode": "always", "enrollment": terms})
    now = Context(wire.server, datetime.now(UTC), ip="")

    def pass_for(user: Any) -> str:
        with wire.server.db.write() as conn:
            return accounts.make_pass(conn, now, user, seconds=600, reason="a test", by="test")[1]

    first = wire.password(BOB)
    if not takes_password:
        assert word(first) == "deny"
        assert first.json is not None and "second factor" in first.json["error_description"]
    text = pass_for(cast.bob)
    with_pass = wire.password(BOB)
    assert word(with_pass) == ("enroll" if takes_password or takes_pass else "deny")
    if not (takes_password or takes_pass):
        return
    assert with_pass.json is not None
    token = with_pass.json["mfa_token"]

    def associate(**members: str) -> TestResponse:
        headers = {"Authorization": f"Bearer {token}"}
        return wire.post_json("/mfa/associate", headers=headers, authenticator_types=["otp"], **members)

    for wrong in ("", "ABCDEFGHIJKLMNOPQRSTUVWX", pass_for(cast.carol)):
        answer = associate(access_pass=wrong)
        assert answer.status_code in (400, 403) or (takes_password and wrong == ""), answer.text
    bare = associate()
    assert (bare.status_code == 200) == takes_password, bare.text
    enrolled = wire.ok(associate(access_pass=text.lower()))
    wire.ok(associate(access_pass=text))  # once more in the same login, which it opened
    other = wire.password(BOB)
    if not takes_password:
        assert word(other) == "deny"
        text = pass_for(cast.bob)
        other = wire.password(BOB)
    assert other.json is not None
    token, own = other.json["mfa_token"], token
    if takes_password:
        assert associate(access_pass=text).status_code == 403  # spent by another login
    assert not wire.messages() and not has_factor(wire, cast.bob.id)
    wire.ok(wire.otp(own, code_of(enrolled["secret"])))
    assert [m.subject for m in wire.messages()] == ["A second factor was added to your account"]
    assert word(wire.password(BOB)) == "challenge"
    # There is a factor now: no pass and no older login puts another beside it.
    refused(associate(access_pass=pass_for(cast.bob)), 403, "access_denied", "User is already enrolled.")


@pytest.mark.parametrize("name", OPENINGS)
def test_each_way_to_enrol_activates_what_the_policy_lets_it_and_tells_the_person(
    wire: Wire, cast: Cast, name: str
) -> None:
    """Nine ways, each with a person of its own."""
    terms, takes_password, takes_pass = OPENINGS[name]
    making.loosen_limits(wire.server)
    making.set_policy(wire.server, cast.staff, {"mode": "always", "enrollment": terms})
    now = Context(wire.server, datetime.now(UTC), ip="")
    is_open = terms.get("self_service") != "closed"

    def pass_for(user: User) -> str:
        with wire.server.db.write() as conn:
            return accounts.make_pass(conn, now, user, seconds=600, reason="a test", by="test")[1]

    def token_of(user: User, **members: str) -> str:
        answer = wire.password(str(user.email), **members)
        assert answer.json is not None
        return str(answer.json.get("mfa_token", ""))

    def enrol(token: str, given: str | None = None, confirmed_with: str | None = None) -> None:
        members = {"access_pass": given} if given is not None else {}
        headers = {"Authorization": f"Bearer {token}"}
        shown = wire.post_json("/mfa/associate", headers=headers, authenticator_types=["otp"], **members)
        if shown.status_code == 200 and shown.json is not None:
            wire.otp(confirmed_with or token, code_of(shown.json["secret"]))

    def by_spent_pass(user: User) -> None:
        given = pass_for(user)
        headers = {"Authorization": f"Bearer {token_of(user)}"}
        wire.post_json("/mfa/associate", headers=headers, authenticator_types=["otp"], access_pass=given)
        enrol(token_of(user), given)

    def by_other_login(user: User) -> None:
        given = None if takes_password else pass_for(user)
        one, other = token_of(user), token_of(user)
        enrol(one, given, confirmed_with=other)

    def by_ticket(user: User) -> None:
        with wire.server.db.write() as conn:
            _, ticket = tickets.create_ticket(conn, now, user, "enrollment", seconds=600)
        try:
            shown = enrollment.begin(now, ticket, "totp", {})
            enrollment.finish(now, ticket, "totp", {"otp": code_of(str(shown["secret"]))})
        except AccessDenied:
            assert not is_open

    def by_administrator(user: User) -> None:
        with wire.server.db.write() as conn:
            device = factors.Device("totp", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
            factors.add_device(conn, now, user, device, None)

    ways: dict[str, tuple[Callable[[User], None], bool]] = {
        "the password": (lambda user: enrol(token_of(user)), takes_password),
        "a token for the own factors": (
            lambda user: enrol(token_of(user, audience="http://127.0.0.1:8000/mfa/", scope="enroll")),
            takes_password,
        ),
        "a wrong pass": (lambda user: enrol(token_of(user), "ABCDEFGHIJKLMNOPQRSTUVWX"), False),
        "somebody else's pass": (lambda user: enrol(token_of(user), pass_for(cast.carol)), False),
        "a pass": (lambda user: enrol((given := pass_for(user)) and token_of(user), given), takes_pass),
        "a pass that another login used": (by_spent_pass, False),
        "another login's secret": (by_other_login, False),
        "a ticket": (by_ticket, is_open),
        "an administrator": (by_administrator, True),
    }
    for number, (way, (attempt, is_legal)) in enumerate(ways.items()):
        user = making.make_user(wire.server, cast.staff, f"p{number}@example.com")
        attempt(user)
        assert has_factor(wire, user.id) == is_legal, way
        notices = [m.subject for m in wire.messages() if m.destination == user.email]
        assert notices == (["A second factor was added to your account"] if is_legal else []), way


def test_a_policy_that_closes_meanwhile_activates_nothing(wire: Wire, cast: Cast) -> None:
    making.set_policy(wire.server, cast.staff, {"mode": "always"})
    token = wire.mfa_token(BOB)
    secret = wire.ok(wire.associate(token))["secret"]
    changes: list[dict[str, Any]] = [
        {"enrollment": {"self_service": "closed"}},
        {"factors": {"allowed": ["webauthn-roaming"]}},
        {"enrollment": {"proof": "access_pass"}},
    ]
    with wire.server.db.write() as conn:  # which this login never presented
        now = Context(wire.server, datetime.now(UTC), ip="")
        accounts.make_pass(conn, now, cast.bob, seconds=600, reason="a test", by="test")
    for change in changes:
        making.set_policy(wire.server, cast.staff, {"mode": "always"} | change)
        refused(wire.otp(token, code_of(secret)), 403, "access_denied")
        assert not has_factor(wire, cast.bob.id)
    making.set_policy(wire.server, cast.staff, {"mode": "always"})
    wire.ok(wire.otp(token, code_of(secret)))


def test_the_last_factor_cannot_be_removed_where_one_is_required(wire: Wire, cast: Cast) -> None:
    making.set_policy(wire.server, cast.staff, {"mode": "always"})
    access = wire.login(cast.alice_totp, audience="http://127.0.0.1:8000/mfa/")["access_token"]
    [totp] = [a["id"] for a in wire.ok_list(wire.get("/mfa/authenticators", access)) if a["type"] == "otp"]
    refused(wire.delete(totp, access), 403, "access_denied")
    assert has_factor(wire, cast.alice.id)
    making.set_policy(wire.server, cast.staff, {"mode": "when_enrolled"})
    assert wire.delete(totp, access).status_code == 204
