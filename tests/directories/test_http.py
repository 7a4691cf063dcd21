"""A customer's own login service: asked with a signed request, and no more once a person has moved over."""

import hashlib
import hmac
import json
from typing import Any

import pytest

from app.context import Context, Server
from app.directories import DIRECTORIES
from app.directories.directory import CannotAsk
from app.store import users
from app.store.realms import Realm
from app.store.users import User
from tests import making
from tests.directories.conftest import make_directory_realm, once
from tests.directories.fakes import LoginService
from tests.directories.slapd import PASSWORD
from tests.making import Cast
from tests.wire import PASSWORD_REALM, Wire, refused

SECRET = "signing-secret-of-the-service"
WRONG = "Wrong email or password."


def make(server: Server, service: LoginService, **options: Any) -> Realm:
    http = {"url": service.url, "secret": SECRET, "timeout_ms": 400}
    return make_directory_realm(server, "legacy", "http", {"http": http} | options, "app")


def login(wire: Wire, username: str, password: str = PASSWORD) -> Any:
    return wire.password(username, password, grant_type=PASSWORD_REALM, realm="legacy")


def person(server: Server, realm: Realm, key: str) -> User:
    with server.db.read() as conn:
        found = users.find_user_by_key(conn, realm.id, key)
    assert found is not None
    return found


def test_the_request_is_what_was_agreed_and_signed(
    wire: Wire, server: Server, cast: Cast, service: LoginService
) -> None:
    realm = make(server, service)
    answer = login(wire, "alice")
    wire.ok(answer)
    (asked,) = service.asked
    assert asked.json == {
        "username": "alice",
        "password": PASSWORD,
        "realm": "legacy",
        "client_id": "app",
        "ip": "127.0.0.1",
        "request_id": answer.headers["X-Request-Id"],
    }
    at, code = (part.partition("=")[2] for part in asked.headers["Belay-Signature"].split(","))
    expected = hmac.new(SECRET.encode(), at.encode() + b"." + asked.body, hashlib.sha256).hexdigest()
    assert code == expected and abs(int(at) - making.now().timestamp()) < 60
    alice = person(server, realm, "alice")
    assert (alice.id, alice.email, alice.password_hash) == (
        "custom|legacy|c-alice",
        "alice@corp.example",
        None,
    )
    wire.ok(login(wire, "alice"))
    assert len(service.asked) == 2


def test_a_person_who_moved_over_is_judged_here(
    wire: Wire, server: Server, cast: Cast, service: LoginService
) -> None:
    profile = {
        "user_id": 7,
        "email": "Bob@corp.example",
        "email_verified": True,
        "app_metadata": {"plan": "gold"},
    }
    service.people["4711"] = (PASSWORD, profile)
    realm = make(server, service, import_mode=True)
    refused(login(wire, "4711", "wrong"), 403, "invalid_grant", WRONG)
    wire.ok(login(wire, "4711"))
    known = person(server, realm, "bob@corp.example")
    assert known.password_hash is not None and known.password_hash.startswith("$argon2id$")
    assert (known.id, known.username, known.email_verified) == ("custom|legacy|7", "4711", True)
    assert known.app_metadata == {"plan": "gold"}
    service.reply = lambda _: (500, b"")
    service.asked.clear()
    for name in ("4711", "bob@corp.example"):
        wire.ok(login(wire, name))
        refused(login(wire, name, "wrong"), 403, "invalid_grant", WRONG)
    assert service.asked == []
    refused(login(wire, "alice"), 503, "temporarily_unavailable")


def test_whoever_owes_a_factor_has_moved_over_all_the_same(
    wire: Wire, server: Server, cast: Cast, service: LoginService
) -> None:
    http = {"url": service.url, "secret": SECRET}
    options = {"http": http, "import_mode": True}
    realm = make_directory_realm(server, "legacy", "http", options, "app", mode="always")
    refused(login(wire, "alice"), 403, "mfa_required")
    refused(login(wire, "alice"), 403, "mfa_required")
    assert len(service.asked) == 1 and person(server, realm, "alice").password_hash is not None


@once
def test_whatever_is_neither_yes_nor_no_is_no_answer(
    wire: Wire, ctx: Context, cast: Cast, service: LoginService
) -> None:
    realm = make(wire.server, service)
    answers = [(status, b"") for status in (204, 302, 400, 403, 429, 500)]
    bodies = [b"", b"[]", b'"yes"', b"{}", b'{"user_id": "a/b"}', b'{"user_id": true}', b'{"user_id": ""}']
    bodies += [b'{"user_id": "' + b"x" * 200 + b'"}', b"x" * 70_000, b"\xff", b'{"user": []}', b"[" * 50_000]
    for status, body in answers + [(200, body) for body in bodies]:
        service.reply = lambda _, status=status, body=body: (status, body)  # type: ignore[misc]
        with pytest.raises(CannotAsk):
            DIRECTORIES["http"].authenticate(ctx, realm, None, "alice", PASSWORD)


@once
def test_a_service_that_fails_is_counted_against_nobody(
    wire: Wire, server: Server, cast: Cast, service: LoginService
) -> None:
    make(server, service)
    service.reply = lambda _: (500, b"")
    for _ in range(12):
        refused(login(wire, "alice"), 503, "temporarily_unavailable")
    assert (wire.events()[-1].type, wire.events()[-1].reason) == ("fc", "directory_status_500")
    service.reply = lambda asked: (200, json.dumps({"user_id": "1", "email": "alice@corp.example"}).encode())
    wire.ok(login(wire, "alice"))


@once
def test_an_odd_profile_is_no_reason_to_refuse(
    wire: Wire, server: Server, cast: Cast, service: LoginService
) -> None:
    odd = {
        "user_id": "odd",
        "email": "no address",
        "username": "an@address",
        "phone_number": "030 123",
        "name": "N\0a\u202eme" + "x" * 500,
        "nickname": ["list"],
        "picture": "javascript:alert(1)",
        "family_name": None,
        "user_metadata": "text",
        "is_blocked": True,
        "password_hash": "x",
    }
    service.people["odd"] = (PASSWORD, odd)
    make(server, service)
    wire.ok(login(wire, "odd"))
    with server.db.read() as conn:
        known = users.find_user(conn, "custom|legacy|odd")
    assert known is not None and known.name is not None
    assert (known.email, known.username, known.phone_number, known.picture) == (None, "odd", None, None)
    assert known.name.startswith("Namex") and len(known.name) == 300 and not known.is_blocked


def test_who_looks_like_somebody_else_is_not_let_in(
    wire: Wire, server: Server, cast: Cast, service: LoginService
) -> None:
    service.people["al\u0456ce"] = (PASSWORD, {"user_id": "other", "username": "al\u0456ce"})
    make(server, service)
    wire.ok(login(wire, "alice"))
    refused(login(wire, "al\u0456ce"), 403, "access_denied")
    assert wire.events()[-1].reason == "looks_like_another"
