"""The page behind an enrolment ticket: what its holder may choose, and what the ticket is good for."""

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyotp
import pytest
from freezegun.api import FrozenDateTimeFactory
from playwright.sync_api import Page
from werkzeug.test import TestResponse

from app import accounts
from app.accounts import tickets
from app.context import Context, Server
from app.store.users import User
from app.web.enrollment_page import CHOICES
from tests import device, making
from tests.browser import browsing
from tests.databases import KINDS, Templates
from tests.evidence import size
from tests.live import Live, serving
from tests.making import PASSWORD, Cast
from tests.management.conftest import Admin, token_for
from tests.races.load import until
from tests.security_key import SecurityKey
from tests.wire import APP, MFA_RECOVERY, Wire, code_of

ALL = ("sms", "email", "otp", "push-notification", "webauthn-roaming", "webauthn-platform")
NUMBER = "+491701234567"


@pytest.fixture
def admin(wire: Wire, cast: Cast) -> Admin:
    return Admin(wire, token_for(wire))


def ticket_for(server: Server, user: User, **how: Any) -> str:
    with server.db.write() as conn:
        ctx = Context(server, making.now(), ip="")
        return tickets.create_ticket(conn, ctx, user, "enrollment", seconds=3600, **how)[1]


def send(wire: Wire, token: str, **members: str) -> TestResponse:
    return wire.post("/ticket/enrollment", ticket=token, **members)


def value(answer: TestResponse, name: str) -> str:
    return html.unescape(re.findall(rf'(?:name="{name}" value|{name})="([^"]+)"', answer.text)[0])


def test_the_page_offers_what_is_switched_on_and_uses_nothing_up(wire: Wire, cast: Cast) -> None:
    token = ticket_for(wire.server, cast.bob)
    for on, kinds in (((), ["totp"]), (ALL, list(CHOICES))):
        making.switch_on(wire.server, *on)
        answer = wire.get(f"/ticket/enrollment?ticket={token}")
        assert sorted(re.findall(r'name="kind" value="([^"]+)"', answer.text)) == sorted(kinds)
        assert "script-src" not in answer.headers["Content-Security-Policy"]
    assert sorted(re.findall(r'name="kind" value="([^"]+)"', send(wire, token).text)) == sorted(CHOICES)


def test_a_ticket_may_be_for_one_factor(wire: Wire, cast: Cast) -> None:
    making.switch_on(wire.server, *ALL)
    token = ticket_for(wire.server, cast.bob, kinds=("sms", "voice"))
    answer = wire.get(f"/ticket/enrollment?ticket={token}")
    assert re.findall(r'name="kind" value="([^"]+)"', answer.text) == ["sms", "voice"]
    assert send(wire, token, kind="totp").status_code == 403
    assert send(wire, token, kind="nonsense").status_code == 200


def test_the_key_of_an_app_is_a_picture_and_a_text(wire: Wire, cast: Cast) -> None:
    token = ticket_for(wire.server, cast.bob)
    answer = send(wire, token, kind="totp")
    assert "<svg" in answer.text and "style=" not in answer.text
    secret = re.findall(r"<code>([A-Z2-7]{32})</code>", answer.text)[0]
    assert f"secret={secret}" in value(answer, "href")
    done = send(wire, token, kind="totp", code=code_of(secret))
    assert done.status_code == 200 and re.search(r"<code>[A-Z0-9]{24}</code>", done.text)


def test_a_number_is_enrolled_by_the_code_that_it_got(wire: Wire, cast: Cast) -> None:
    making.switch_on(wire.server, *ALL)
    token = ticket_for(wire.server, cast.bob)
    bad = send(wire, token, kind="sms", phone_number="12345")
    assert bad.status_code == 400 and "The phone number is invalid." in bad.text
    begun = send(wire, token, kind="sms", phone_number=NUMBER)
    assert wire.messages()[-1].destination == NUMBER
    handle, code = value(begun, "oob_code"), wire.newest_code()
    wrong = send(wire, token, kind="sms", oob_code=handle, code="000000" if code != "000000" else "1" * 6)
    assert wrong.status_code == 400 and "Invalid binding_code." in wrong.text
    assert send(wire, token, kind="email", oob_code=handle, code=code).status_code == 400, "not that kind"
    done = send(wire, token, kind="sms", oob_code=value(wrong, "oob_code"), code=code)
    assert done.status_code == 200, done.text
    assert send(wire, token, kind="sms", oob_code=handle, code=code).status_code == 403
    *_, event, spent = wire.events()
    assert (event.type, event.factor) == ("gd_enrollment_complete", "sms")
    assert (spent.type, spent.reason) == ("gd_start_enroll_failed", "ticket_spent")
    wire.ok(wire.challenge(wire.mfa_token("bob@example.com"), challenge_type="oob"))


def test_messages_of_a_link_are_limited_as_everywhere(wire: Wire, cast: Cast) -> None:
    making.switch_on(wire.server, *ALL)
    token = ticket_for(wire.server, cast.bob)
    statuses = [send(wire, token, kind="sms", phone_number=NUMBER).status_code for _ in range(12)]
    assert statuses == [200] * 10 + [429] * 2


def test_an_administrator_names_the_factor_or_lets_its_holder_choose(
    admin: Admin, wire: Wire, cast: Cast
) -> None:
    making.switch_on(wire.server, *ALL)
    for named, kinds in (({}, sorted(CHOICES)), ({"factor": "phone"}, ["sms", "voice"])):
        url = admin.post("/guardian/enrollments/ticket", {"user_id": cast.bob.id} | named, 200)["ticket_url"]
        shown = wire.get(url.partition("8000")[2]).text
        assert sorted(re.findall(r'name="kind" value="([^"]+)"', shown)) == kinds


def test_a_code_of_another_link_or_too_late_is_refused(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    making.switch_on(wire.server, *ALL)
    token, other = ticket_for(wire.server, cast.bob), ticket_for(wire.server, cast.carol)
    handle = value(send(wire, token, kind="sms", phone_number=NUMBER), "oob_code")
    code = wire.newest_code()
    for tried in (other, token):
        answer = send(wire, tried, kind="sms", oob_code=handle, code=code)
        assert answer.status_code == 400 and "This took too long." in answer.text
        clock.tick(300)
        if tried == other:
            assert wire.password("bob@example.com").status_code == 200


def test_a_phone_is_enrolled_by_scanning_the_picture(wire: Wire, cast: Cast) -> None:
    making.switch_on(wire.server, *ALL)
    token = ticket_for(wire.server, cast.bob)
    begun = send(wire, token, kind="push")
    assert "<svg" in begun.text
    handle = value(begun, "oob_code")
    early = send(wire, token, kind="push", oob_code=handle, response="scanned")
    assert early.status_code == 400 and "has not answered yet" in early.text
    device.scanned(wire, device.Phone(), value(begun, "href"))
    done = send(wire, token, kind="push", oob_code=value(early, "oob_code"), response="scanned")
    assert done.status_code == 200, done.text
    assert wire.events()[-1].factor == "push"


@pytest.mark.parametrize("kind", ["webauthn-roaming", "webauthn-platform"])
def test_a_security_key_is_registered_by_a_link(wire: Wire, cast: Cast, kind: str) -> None:
    making.switch_on(wire.server, *ALL)
    token = ticket_for(wire.server, cast.bob)
    begun = send(wire, token, kind=kind)
    assert re.search(r"script-src 'nonce-[\w-]+'; ", begun.headers["Content-Security-Policy"])
    key = SecurityKey(attachment="platform" if kind == "webauthn-platform" else "cross-platform")
    options = json.loads(value(begun, "data-options"))
    foreign = SecurityKey(origin="https://evil.example")
    wrong = send(wire, token, kind=kind, response=json.dumps(foreign.create(options)))
    assert wrong.status_code == 400 and "This key was not accepted." in wrong.text
    for text in ("{}", "[", "x"):
        assert send(wire, token, kind=kind, response=text).status_code == 400
    response = json.dumps(key.create(options))
    assert send(wire, token, kind=kind, response=response).status_code == 200
    assert send(wire, token, kind=kind, response=response).status_code == 403, "the ticket is used up"
    mfa_token = wire.mfa_token("bob@example.com")
    asked = wire.ok(wire.challenge(mfa_token, challenge_type="webauthn"))
    wire.ok(wire.webauthn(mfa_token, key.get(asked["authn_params_public_key"])))


def test_a_link_adds_to_nothing_and_dies_with_its_time(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    token = ticket_for(wire.server, cast.alice)
    assert wire.get(f"/ticket/enrollment?ticket={token}").status_code == 403, "she has one"
    token = ticket_for(wire.server, cast.bob)
    clock.tick(3601)
    assert wire.get(f"/ticket/enrollment?ticket={token}").status_code == 403
    assert send(wire, token, kind="totp").status_code == 403


def test_with_no_factor_switched_on_there_is_nothing_to_choose(wire: Wire, cast: Cast) -> None:
    with wire.server.db.write() as conn:
        ctx = Context(wire.server, making.now(), ip="")
        accounts.put_document(conn, ctx, "guardian/factors", {"otp": False})
    answer = wire.get(f"/ticket/enrollment?ticket={ticket_for(wire.server, cast.bob)}")
    assert answer.status_code == 403 and "There is no second factor" in answer.text


# --- in a real browser ---------------------------------------------------------------------------------------------


def walk_app(page: Page, live: Live) -> None:
    page.click("text=Use an app")
    assert page.locator("svg path").count() > 0
    secret = page.locator("code").inner_text()
    page.fill("#code", "000000")
    page.click("text=Confirm")
    assert "Invalid otp_code." in page.inner_text("[role=alert]")
    page.fill("#code", pyotp.TOTP(secret).now())
    page.click("text=Confirm")


def walk_number(page: Page, live: Live) -> None:
    page.fill("#sms-phone_number", NUMBER)
    page.locator("form", has=page.locator("#sms-phone_number")).locator("button").click()
    sent = re.compile(r"\b(\d{6}) is your code")
    until(lambda: sent.search(live.log.read_text()), 10, "a message")
    page.fill("#code", sent.findall(live.log.read_text())[-1])
    page.click("text=Confirm")


def walk_key(page: Page, live: Live) -> None:
    page.locator("form", has=page.locator("[value=webauthn-roaming]")).locator("button").click()
    page.get_by_role("button", name="Register").click()


@pytest.mark.parametrize("database_kind", KINDS[: size(1, 2)])
def test_a_browser_walks_the_page(templates: Templates, tmp_path: Path, database_kind: str) -> None:
    """Without script where none is needed. What the policy of the page forbids would be an error of the console."""
    walks: list[tuple[Callable[[Page, Live], None], bool]] = [
        (walk_app, False),
        (walk_number, False),
        (walk_key, True),
    ]
    with serving(
        templates, database_kind, tmp_path, workers=2, host_name="localhost", BELAY_SMS_URL="terminal:"
    ) as live:
        cast = making.make_cast(live.server)
        making.switch_on(live.server, *ALL)
        for walk, has_script in walks:
            user = making.make_user(live.server, cast.staff, f"{walk.__name__}@example.com")
            with browsing(has_script=has_script) as page:
                page.goto(f"{live.base}/ticket/enrollment?ticket={ticket_for(live.server, user)}")
                assert str(user.email) in page.inner_text("main")
                walk(page, live)
                page.wait_for_selector("[role=status]")
                recovery_code = page.locator("code").inner_text()
            login = {"grant_type": "password", "username": user.email or "", "password": PASSWORD}
            token = live.post("/oauth/token", **login, **APP).json["mfa_token"]
            used = {"grant_type": MFA_RECOVERY, "mfa_token": token, "recovery_code": recovery_code}
            assert live.post("/oauth/token", **used, **APP).status == 200
