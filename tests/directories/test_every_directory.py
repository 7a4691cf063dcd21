"""What holds for every directory in the list: each has a realm `corp` with Alice and Bob and one password."""

import logging
import socket
from typing import Any

import pytest

from app.accounts.policies import mode_only
from app.context import Context, Server
from app.directories import DIRECTORIES
from app.directories.directory import CannotAsk
from app.store import realms
from app.store.realms import Realm
from tests import making
from tests.directories.conftest import make_directory_realm
from tests.directories.slapd import PASSWORD, SERVICE_PASSWORD
from tests.making import Cast
from tests.wire import PASSWORD_REALM, Wire, refused
from tests.wire import told as without_id

OUTSIDE = [kind for kind in DIRECTORIES if kind != "database"]


def options_of(kind: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    if kind == "ldap":
        return {"ldap": request.getfixturevalue("slapd").options()}
    if kind == "ad":
        return {"ldap": request.getfixturevalue("active_directory")[1]}
    return {"http": {"url": request.getfixturevalue("service").url, "secret": "signing-secret"}}


@pytest.fixture(params=DIRECTORIES)
def corp(request: pytest.FixtureRequest, server: Server, cast: Cast) -> Realm:
    kind = str(request.param)
    if kind != "database":
        return make_directory_realm(server, "corp", kind, options_of(kind, request), "app")
    made = making.make_realm(server, "corp")
    for name in ("alice", "bob"):
        making.make_user(server, made, f"{name}@corp.example", PASSWORD, username=name)
    with server.db.write() as conn:
        realms.set_clients_of(conn, made.id, ["app"])
    return made


def login(wire: Wire, username: str, password: str = PASSWORD, **members: Any) -> Any:
    return wire.password(username, password, grant_type=PASSWORD_REALM, realm="corp", **members)


def test_its_people_log_in_and_nobody_else(wire: Wire, corp: Realm, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    first = wire.ok(login(wire, "alice", scope="openid email"))
    assert set(first) >= {"access_token", "id_token"}
    wire.ok(login(wire, "alice@corp.example"))
    logged_in = {event.user_id for event in wire.events() if event.type == "sepft"}
    assert len(logged_in) == 1 and None not in logged_in
    answers = [
        login(wire, name, password)
        for name, password in (("alice", "wrong secret"), ("eve", "wrong secret"), ("bob", "wrong secret"))
    ]
    for answer in answers:
        refused(answer, 403, "invalid_grant", "Wrong email or password.")
    assert len({without_id(answer) for answer in answers}) == 1
    reasons = [(event.type, event.reason) for event in wire.events()][-3:]
    assert reasons == [("fp", "wrong_password"), ("fu", "unknown_user"), ("fp", "wrong_password")]
    told = caplog.text + repr(wire.events())
    for secret in (PASSWORD, "wrong secret", SERVICE_PASSWORD, "signing-secret", "reader-password"):
        assert secret not in told


def test_a_realm_that_always_asks_lets_nobody_in_with_a_password_alone(
    wire: Wire, server: Server, corp: Realm
) -> None:
    with server.db.write() as conn:
        realms.update_realm(conn, corp.id, mfa_policy=mode_only("always"))
    refused(login(wire, "alice"), 403, "mfa_required")
    refused(login(wire, "alice", "wrong"), 403, "invalid_grant")


def test_ten_wrong_passwords_are_enough_and_the_right_one_does_not_help(wire: Wire, corp: Realm) -> None:
    for _ in range(10):
        refused(login(wire, "bob", "wrong"), 403, "invalid_grant")
    assert login(wire, "bob").status_code == 429
    wire.ok(login(wire, "alice"))


def test_the_same_name_in_another_realm_is_somebody_else(
    wire: Wire, server: Server, corp: Realm, cast: Cast
) -> None:
    making.make_user(server, cast.staff, "alice@corp.example", "other words in staff")
    wire.ok(login(wire, "alice@corp.example"))
    refused(login(wire, "alice@corp.example", "other words in staff"), 403, "invalid_grant")
    refused(wire.password("alice@corp.example", PASSWORD), 403, "invalid_grant")
    wire.ok(wire.password("alice@corp.example", "other words in staff"))


def test_what_is_no_password_is_nobodys(ctx: Context, corp: Realm) -> None:
    directory = DIRECTORIES[corp.kind]
    assert directory.check(ctx, corp)
    for password in ("", " ", "\t", "\x00", "\x00" + PASSWORD, PASSWORD + "\x00", "x" * 3000, "\ud800"):
        for name in ("alice", "eve", "", "\x00"):
            found = directory.authenticate(ctx, corp, None, name, password)
            assert not found.is_right and found.user is None and found.identity is None


@pytest.mark.parametrize("kind", OUTSIDE)
def test_a_directory_that_is_down_is_no_wrong_password(
    wire: Wire, ctx: Context, cast: Cast, kind: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    options: dict[str, Any] = {"ldap": {"urls": [f"ldap://127.0.0.1:{port}"], "base_dn": "dc=corp"}}
    if kind == "http":
        options = {"http": {"url": f"http://127.0.0.1:{port}/", "secret": "s"}}
    realm = make_directory_realm(wire.server, "down", kind, options, "app")
    for _ in range(12):
        answer = wire.password("alice", PASSWORD, grant_type=PASSWORD_REALM, realm="down")
        refused(answer, 503, "temporarily_unavailable")
    assert answer.headers["Retry-After"] == "5" and "directory" in answer.text
    event = wire.events()[-1]
    assert (event.type, event.reason) == ("fc", "directory_unreachable")
    with pytest.raises(CannotAsk):
        DIRECTORIES[kind].check(ctx, realm)
