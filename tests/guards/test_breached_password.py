"""Leaked passwords at login, signup and change: both sources, the shields, and a source that does not answer."""

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from app import leaked_file
from app.errors import PasswordLeaked
from app.guards import breached_password
from app.guards.protection import BREACHES
from tests import making
from tests.evidence import within
from tests.making import PASSWORD, Cast
from tests.management.conftest import Admin, token_for
from tests.wire import Wire, refused

BOB = "bob@example.com"
STAGES = {"pre-user-registration": {"shields": ["block"]}, "pre-change-password": {"shields": ["block"]}}
LEAKED = (401, "password_leaked", PasswordLeaked.description)
FRESH = "Entirely fr3sh and unheard of"
SIGNUP = {"client_id": "app", "connection": "staff", "email": "new@example.com"}


@dataclass
class RangeApi:
    url: str = ""
    leaked: set[str] = field(default_factory=set)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    delay: float = 0.0
    status: int = 200


@contextmanager
def range_api(*leaked: str) -> Iterator[RangeApi]:
    """Answers as the public one does: suffixes with counts, and padding that counts nothing."""
    api = RangeApi(leaked={hashlib.sha1(text.encode()).hexdigest().upper() for text in leaked})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            prefix = self.path.rpartition("/")[2]
            api.asked.append((self.path, self.headers["Add-Padding"]))
            time.sleep(api.delay)
            lines = [f"{digest[5:]}:3" for digest in api.leaked if digest.startswith(prefix)]
            lines += [hashlib.sha1(FRESH.encode()).hexdigest().upper()[5:] + ":0"]
            body = "\r\n".join(lines).encode()
            self.send_response(api.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(OSError):  # whoever asked has gone away
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    api.url = f"http://127.0.0.1:{server.server_address[1]}/range"
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()


def checked(wire: Wire, source: str, **changed: Any) -> Wire:
    """The same server with a source of leaked passwords."""
    settings = wire.server.settings.model_copy(update={"breach_range_url": source} | changed)
    return Wire(replace(wire.server, settings=settings))


def detect(wire: Wire, **members: Any) -> Admin:
    admin = Admin(wire, token_for(wire))
    admin.patch(f"/{BREACHES}", {"enabled": True, "shields": ["block", "user_notification"]} | members)
    return admin


def newest(wire: Wire) -> tuple[str, str]:
    event = wire.events()[-1]
    return event.type, event.reason


def test_a_leaked_password_does_not_get_in_and_its_owner_is_told_once(wire: Wire, cast: Cast) -> None:
    with range_api(PASSWORD) as api:
        wire = checked(wire, api.url)
        wire.ok(wire.password(BOB))
        assert api.asked == [], "not asked before it is switched on"
        detect(wire)
        for _ in range(2):
            refused(wire.password(BOB), *LEAKED)
        digest = hashlib.sha1(PASSWORD.encode()).hexdigest().upper()
        assert api.asked == [(f"/range/{digest[:5]}", "true")] * 2, "five digits, and padding"
        assert newest(wire) == ("pwd_leak", "password_leaked")
        refused(wire.password(), *LEAKED)  # before a second factor is asked for
        assert len(wire.messages()) == 2 and "stolen" in wire.messages()[0].text
        for _ in range(8):
            refused(wire.password(BOB, "wrong"), 403, "invalid_grant")
        assert len(api.asked) == 3, "a stranger's guess is looked up nowhere"
        api.leaked.clear()
        wire.ok(wire.password(BOB))


def test_padding_is_no_leak(wire: Wire, cast: Cast) -> None:
    making.make_user(wire.server, cast.staff, "fresh@example.com", FRESH)
    with range_api() as api:
        wire = checked(wire, api.url)
        detect(wire)
        wire.ok(wire.password("fresh@example.com", FRESH))
        assert len(api.asked) == 1


def test_without_the_shield_it_is_only_noted(wire: Wire, cast: Cast, tmp_path: Path) -> None:
    leaked_file.build([PASSWORD.encode()], tmp_path / "leaks")
    wire = checked(wire, f"file:{tmp_path / 'leaks'}")
    admin = detect(wire, shields=[])
    wire.ok(wire.password(BOB))
    assert ("pwd_leak", "monitored") in [(event.type, event.reason) for event in wire.events()]
    assert wire.messages() == []
    admin.patch(f"/{BREACHES}", {"shields": ["block"]})
    refused(wire.password(BOB), *LEAKED)
    leaked_file.build([b"others"], tmp_path / "leaks")
    wire.ok(wire.password(BOB))


def test_signups_and_changes_have_shields_of_their_own(wire: Wire, cast: Cast, tmp_path: Path) -> None:
    leaked_file.build([b"Leaked passw0rd"], tmp_path / "leaks")
    wire = checked(wire, f"file:{tmp_path / 'leaks'}")
    admin = detect(wire)
    assert (
        wire.client.post("/dbconnections/signup", json=SIGNUP | {"password": "Leaked passw0rd"}).status_code
        == 200
    )
    admin.patch(f"/{BREACHES}", {"stage": STAGES})
    signup = SIGNUP | {"email": "second@example.com", "password": "Leaked passw0rd"}
    answer = wire.client.post("/dbconnections/signup", json=signup)
    assert answer.status_code == 400 and answer.json is not None and answer.json["code"] == "password_leaked"
    assert wire.client.post("/dbconnections/signup", json=signup | {"password": FRESH}).status_code == 200
    changed = admin.ask("PATCH", f"/users/{cast.bob.id}", {"password": "Leaked passw0rd"})
    assert changed.status_code == 400 and "Leaked passw0rd" not in changed.text
    ticket = admin.post("/tickets/password-change", {"user_id": cast.bob.id})["ticket"].partition("ticket=")[
        2
    ]
    form = {"ticket": ticket, "password": "Leaked passw0rd", "again": "Leaked passw0rd"}
    page = wire.client.post("/ticket/password", data=form)
    assert page.status_code == 400 and "data breach" in page.text
    types = [event.type for event in wire.events()]
    assert types.count("signup_pwd_leak") == 2 and types.count("reset_pwd_leak") == 2
    wire.ok(wire.password(BOB))


@pytest.mark.parametrize("password", [*breached_password.TEST_PASSWORDS, "AUTH0-TEST-anything"])
def test_auth0s_test_passwords_count_as_leaked_without_any_source(
    wire: Wire, cast: Cast, password: str
) -> None:
    making.make_user(wire.server, cast.staff, "tester@example.com", password)
    wire.ok(wire.password("tester@example.com", password))
    detect(wire)
    refused(wire.password("tester@example.com", password), *LEAKED)
    wire.ok(wire.password(BOB))


@pytest.mark.parametrize("fails_open", [False, True])
def test_a_source_that_does_not_answer_is_waited_for_a_second_and_then_left_alone(
    wire: Wire, cast: Cast, fails_open: bool
) -> None:
    with range_api() as api:
        wire = checked(wire, api.url, breach_fail_open=fails_open)
        detect(wire)
        wire.ok(wire.password(BOB))
        api.asked.clear()
        api.delay = 1.6
        started = time.monotonic()
        answers = [wire.password(BOB) for _ in range(12)]
        assert time.monotonic() - started < within(2.5), "the next ones do not wait at all"
        assert {answer.status_code for answer in answers} == {200 if fails_open else 503}
        assert len(api.asked) == 1
        if not fails_open:
            assert newest(wire) == ("f", "breach_source_down") and answers[0].headers["Retry-After"]
        refused(wire.password(BOB, "wrong"), 403, "invalid_grant")


def test_where_the_shield_is_down_a_dead_source_stops_nobody(wire: Wire, cast: Cast, tmp_path: Path) -> None:
    with range_api() as api:
        api.status = 500
        for source in (api.url, f"file:{tmp_path / 'nothing'}", "https://127.0.0.1:9/"):
            with_source = checked(wire, source)
            if source == api.url:
                admin = detect(with_source, shields=[])
            with_source.ok(with_source.password(BOB))
        admin.patch(f"/{BREACHES}", {"shields": ["block"]})
        assert with_source.password(BOB).status_code == 503


def test_the_command_makes_a_file_and_the_doctor_knows_it(wire: Wire, tmp_path: Path) -> None:
    leaked_file.build([b"one", b"two"], tmp_path / "leaks")
    assert breached_password.describe(wire.server) == ""
    assert breached_password.describe(checked(wire, f"file:{tmp_path / 'leaks'}").server) == "a file of 2"
    with pytest.raises(leaked_file.NoSuchFile):
        breached_password.describe(checked(wire, f"file:{tmp_path / 'gone'}").server)
