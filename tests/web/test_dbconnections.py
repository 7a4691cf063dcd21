"""Signup, and links that set a password: what people do for themselves."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory
from werkzeug.test import TestResponse

from app import accounts
from app.accounts import passwords
from app.accounts.policies import mode_only
from app.channels import CHANNELS
from app.context import Context
from app.delivery.messages import Postman
from app.store import realms
from tests.making import PASSWORD, Cast, now
from tests.management.conftest import Admin, token_for
from tests.wire import FULL, Wire, code_of

GOOD = "Correct h0rse battery"


def sign_up(wire: Wire, **members: Any) -> TestResponse:
    known = {"client_id": "app", "connection": "staff", "email": "Zoe@example.com", "password": GOOD}
    return wire.client.post("/dbconnections/signup", json=known | members)


def options(wire: Wire, cast: Cast, **changed: Any) -> None:
    with wire.server.db.write() as conn:
        realms.update_realm(conn, cast.staff.id, options=cast.staff.options | changed)


def test_somebody_signs_up_and_logs_in(wire: Wire, cast: Cast) -> None:
    made = sign_up(wire, user_metadata={"plan": "gold"}, name="Zoe").json
    assert made is not None and re.fullmatch(r"[0-9a-f]{24}", made["_id"])
    assert (made["email"], made["email_verified"]) == ("zoe@example.com", False)
    assert made["user_metadata"] == {"plan": "gold"}
    wire.ok(wire.password("zoe@example.com", GOOD))
    assert [event.type for event in wire.events() if event.user_id == f"auth0|{made['_id']}"][0] == "ss"


def test_a_name_that_is_taken_tells_nothing(wire: Wire, cast: Cast) -> None:
    answer = sign_up(wire, email="bob@example.com")
    assert answer.status_code == 400
    body = dict(answer.json or {})
    assert body.pop("error_id")
    assert body == {
        "name": "BadRequestError",
        "code": "invalid_signup",
        "description": "Invalid sign up",
        "statusCode": 400,
    }
    wire.ok(wire.password("bob@example.com"))


def test_a_weak_password_hears_which_rule_failed(wire: Wire, cast: Cast) -> None:
    answer = sign_up(wire, password="short").json
    assert answer is not None and (answer["name"], answer["code"]) == (
        "PasswordStrengthError",
        "invalid_password",
    )
    assert answer["description"]["verified"] is False and "8 characters" in answer["policy"]


@pytest.mark.parametrize(
    ("changed", "password", "name"),
    [
        ({"password_dictionary": {"enable": True}}, "Password123", "PasswordDictionaryError"),
        ({"password_no_personal_info": {"enable": True}}, "Zoe-Zoe-2026!", "PasswordNoUserInfoError"),
        ({"passwordPolicy": "excellent"}, "Abcd1234!", "PasswordStrengthError"),
    ],
)
def test_the_realms_rules_hold_for_signups(
    wire: Wire, cast: Cast, changed: dict[str, Any], password: str, name: str
) -> None:
    options(wire, cast, **changed)
    answer = sign_up(wire, password=password).json
    assert answer is not None and answer["name"] == name


@pytest.mark.parametrize(
    "members",
    [
        {"client_id": None},
        {"client_id": "nobody"},
        {"connection": None},
        {"connection": "nowhere"},
        {"password": None},
        {"email": None},
        {"email": "no address"},
        {"username": "zoe"},
        {"user_metadata": {"a": 1}},
        {"user_metadata": {str(n): "x" for n in range(11)}},
    ],
)
def test_what_cannot_be_is_refused(wire: Wire, cast: Cast, members: dict[str, Any]) -> None:
    assert sign_up(wire, **members).status_code == 400
    assert wire.password("zoe@example.com", GOOD).status_code == 403


def test_a_closed_signup_is_closed(wire: Wire, cast: Cast) -> None:
    options(wire, cast, disable_signup=True)
    assert sign_up(wire).status_code == 400


# --- tickets -------------------------------------------------------------------------------------------------------


@pytest.fixture
def admin(wire: Wire, cast: Cast) -> Admin:
    return Admin(wire, token_for(wire))


def ticket_for(admin: Admin, user_id: str, **members: Any) -> str:
    made = admin.post("/tickets/password-change", {"user_id": user_id} | members)
    return str(made["ticket"]).removeprefix(admin.wire.server.settings.issuer.rstrip("/"))


def submit(wire: Wire, path: str, password: str, again: str | None = None) -> TestResponse:
    token = path.partition("ticket=")[2]
    members = {"ticket": token, "password": password, "again": password if again is None else again}
    return wire.client.post(path.partition("?")[0], data=members)


def test_a_ticket_sets_a_password_once_and_a_second_factor_is_still_owed(
    admin: Admin, wire: Wire, cast: Cast
) -> None:
    old = wire.login(cast.alice_totp, **FULL)
    path = ticket_for(admin, cast.alice.id, result_url="https://app.example.com/done")
    for _ in range(2):  # a mail program looks first
        page = wire.client.get(path)
        assert page.status_code == 200 and "alice@example.com" in page.text
    assert "script" not in page.text and "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["Referrer-Policy"] == "no-referrer" and page.headers["Cache-Control"] == "no-store"
    done = submit(wire, path, GOOD)
    assert done.status_code == 200 and "https://app.example.com/done" in done.text
    assert submit(wire, path, "Another g00d one").status_code == 403
    assert wire.refresh(old["refresh_token"]).status_code == 403
    assert wire.password("alice@example.com", GOOD).status_code == 403
    assert wire.password("alice@example.com", GOOD).json["error"] == "mfa_required"  # type: ignore[index]
    assert wire.password("alice@example.com", PASSWORD).json["error"] == "invalid_grant"  # type: ignore[index]


def test_a_refused_password_leaves_the_ticket_good(admin: Admin, wire: Wire, cast: Cast) -> None:
    path = ticket_for(admin, cast.bob.id)
    different = submit(wire, path, GOOD, "Something else 1")
    assert different.status_code == 400 and "not the same" in different.text
    weak = submit(wire, path, "short")
    assert weak.status_code == 400 and "Password is too weak" in unescape(weak.text)
    assert submit(wire, path, GOOD).status_code == 200
    wire.ok(wire.password("bob@example.com", GOOD))


def test_a_newer_ticket_another_address_or_time_void_a_ticket(
    admin: Admin, wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    first = ticket_for(admin, cast.bob.id)
    second = ticket_for(admin, cast.bob.id, ttl_sec=60)
    assert wire.client.get(first).status_code == 403 and wire.client.get(second).status_code == 200
    clock.tick(timedelta(seconds=61))
    assert submit(wire, second, GOOD).status_code == 403
    third = ticket_for(admin, cast.bob.id)
    admin.patch(f"/users/{cast.bob.id}", {"email": "robert@example.com"})
    assert submit(wire, third, GOOD).status_code == 403
    assert wire.client.get("/ticket/password?ticket=rubbish").status_code == 403
    assert wire.client.get("/ticket/password").status_code == 403
    fourth = ticket_for(admin, cast.bob.id)
    admin.patch(f"/users/{cast.bob.id}", {"blocked": True})
    assert submit(wire, fourth, GOOD).status_code == 403


def test_an_address_is_confirmed_by_its_link(admin: Admin, wire: Wire, cast: Cast) -> None:
    admin.patch(f"/users/{cast.bob.id}", {"email_verified": False})
    made = admin.post("/tickets/email-verification", {"user_id": cast.bob.id})["ticket"]
    path = made.removeprefix(wire.server.settings.issuer.rstrip("/"))
    assert wire.client.get(path).status_code == 200
    assert admin.get(f"/users/{cast.bob.id}")["email_verified"] is False
    token = {"ticket": path.partition("ticket=")[2]}
    assert (
        wire.client.post("/ticket/password", data=token | {"password": GOOD, "again": GOOD}).status_code
        == 403
    )
    assert wire.client.post("/ticket/verification", data=token).status_code == 200
    assert wire.client.post("/ticket/verification", data=token).status_code == 403
    assert admin.get(f"/users/{cast.bob.id}")["email_verified"] is True


def enrollment_for(admin: Admin, user_id: str, **members: Any) -> str:
    made = admin.post("/guardian/enrollments/ticket", {"user_id": user_id} | members, 200)
    return str(made["ticket_url"]).partition("ticket=")[2]


def test_an_app_is_enrolled_by_a_link_and_then_asked_for(admin: Admin, wire: Wire, cast: Cast) -> None:
    token = enrollment_for(admin, cast.bob.id)
    assert wire.client.get(f"/ticket/enrollment?ticket={token}").status_code == 200
    begun = wire.client.post("/ticket/enrollment", data={"ticket": token})
    secret = re.findall(r"<code>([A-Z2-7]{32})</code>", begun.text)[0]
    wrong = wire.client.post("/ticket/enrollment", data={"ticket": token, "code": "000000"})
    assert wrong.status_code == 400 and "Invalid otp_code." in wrong.text
    wire.ok(wire.password("bob@example.com"))  # nothing is enrolled before a right code
    code = code_of(secret)
    done = wire.client.post("/ticket/enrollment", data={"ticket": token, "code": code})
    recovery = re.findall(r"<code>([A-Z0-9]{24})</code>", done.text)[0]
    assert done.status_code == 200
    again = wire.client.post("/ticket/enrollment", data={"ticket": token, "code": code})
    assert again.status_code == 403
    mfa_token = wire.mfa_token("bob@example.com")
    assert wire.otp(mfa_token, code).status_code == 403  # that code was used
    wire.ok(wire.recovery(mfa_token, recovery))
    assert "gd_enrollment_complete" in {event.type for event in wire.events()}


def test_a_link_adds_no_second_app_unless_it_says_so(admin: Admin, wire: Wire, cast: Cast) -> None:
    token = enrollment_for(admin, cast.alice.id)
    assert wire.client.post("/ticket/enrollment", data={"ticket": token}).status_code == 403
    token = enrollment_for(admin, cast.alice.id, allow_multiple_enrollments=True)
    begun = wire.client.post("/ticket/enrollment", data={"ticket": token})
    secret = re.findall(r"<code>([A-Z2-7]{32})</code>", begun.text)[0]
    # A login cannot confirm what a ticket began: it would have proven nothing.
    assert wire.otp(wire.mfa_token(), code_of(secret)).status_code == 403
    assert (
        wire.client.post("/ticket/enrollment", data={"ticket": token, "code": code_of(secret)}).status_code
        == 200
    )
    wire.ok(wire.recovery(wire.mfa_token(), cast.alice_recovery))


def test_guesses_at_a_links_code_are_counted(admin: Admin, wire: Wire, cast: Cast) -> None:
    token = enrollment_for(admin, cast.bob.id)
    wire.client.post("/ticket/enrollment", data={"ticket": token})
    statuses = [
        wire.client.post("/ticket/enrollment", data={"ticket": token, "code": f"{number:06}"}).status_code
        for number in range(12)
    ]
    assert statuses == [400] * 10 + [429] * 2


def test_asking_for_a_link_answers_everybody_the_same(wire: Wire, cast: Cast) -> None:
    known = {"client_id": "app", "connection": "staff"}
    answers = [
        wire.client.post("/dbconnections/change_password", json=known | {"email": email})
        for email in ("bob@example.com", "nobody@example.com")
    ]
    assert {(a.status_code, a.text, a.headers["Content-Type"]) for a in answers} == {
        (200, "We've just sent you an email to reset your password.", "text/html; charset=utf-8")
    }
    assert [event.type for event in wire.events()][-2:] == ["scpr", "fcpr"]


def test_strangers_have_five_links_sent_to_a_person_and_then_five_an_hour(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    def ask(name: str) -> int:
        """How many mails there are after asking; the answer tells nothing."""
        body = {"client_id": "app", "connection": "staff", "email": name}
        answer = wire.client.post("/dbconnections/change_password", json=body)
        assert (answer.status_code, answer.text) == (
            200,
            "We've just sent you an email to reset your password.",
        )
        return len(wire.messages())

    assert [ask("bob@example.com") for _ in range(4)] == [1, 2, 3, 4]
    assert [ask("BOB@example.com ") for _ in range(3)] == [5, 5, 5], "however the name is spelled"
    assert [ask("nobody@example.com") for _ in range(6)] == [5] * 6
    assert [e.reason for e in wire.events()][-1] == "reset_limit", "names that nobody has are counted as well"
    assert ask("alice@example.com") == 6
    clock.tick(721)
    assert [ask("bob@example.com") for _ in range(2)] == [7, 7]
    postman = Postman(wire.server)
    clock.tick(2)
    sent = postman.claim(CHANNELS["email"], 100)
    assert len(sent) == 7 and None not in {message.user_id for message in sent}, "nothing for nobody"


def test_a_password_of_before_is_refused_where_the_realm_remembers(
    admin: Admin, wire: Wire, cast: Cast
) -> None:
    options(wire, cast, password_history={"enable": True, "size": 2})
    words = ["First passw0rd", "Second passw0rd", "Third passw0rd"]
    for word in words:
        admin.patch(f"/users/{cast.bob.id}", {"password": word})
        assert admin.ask("PATCH", f"/users/{cast.bob.id}", {"password": word}).status_code == 400
    again = admin.ask("PATCH", f"/users/{cast.bob.id}", {"password": words[1]})
    assert again.status_code == 400 and again.json is not None
    assert again.json["message"] == "PasswordHistoryError: Password has previously been used"
    assert "errorCode" not in again.json
    admin.patch(f"/users/{cast.bob.id}", {"password": words[0]})
    wire.ok(wire.password("bob@example.com", words[0]))


def test_a_realm_of_high_assurance_wants_length_and_nothing_else(
    admin: Admin, wire: Wire, cast: Cast
) -> None:
    options(wire, cast, assurance="nist")
    bob = f"/users/{cast.bob.id}"
    assert admin.ask("PATCH", bob, {"password": "Fourteen ch4rs"}).status_code == 400
    admin.patch(bob, {"password": "sixteen letters and more"})
    with wire.server.db.write() as conn:
        realms.update_realm(conn, cast.staff.id, mfa_policy=mode_only("always"))
    admin.patch(bob, {"password": "plainer one"})


def test_the_command_line_holds_to_the_same_rules(wire: Wire, cast: Cast) -> None:
    ctx = Context(wire.server, now(), ip="")
    user = accounts.new_user(cast.staff, ctx.now, email="x@example.com")
    with pytest.raises(passwords.PasswordRefused):
        passwords.hash_checked(ctx, cast.staff, user, "short")
    for _ in range(50):
        passwords.hash_checked(ctx, cast.staff, user, accounts.initial_password())
