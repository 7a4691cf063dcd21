"""People of a real OpenLDAP server log in."""

from typing import Any

import pytest

from app.context import Server
from app.store import users
from app.store.realms import Realm
from app.store.users import User
from tests.directories.conftest import make_directory_realm
from tests.directories.slapd import PASSWORD, Slapd
from tests.making import Cast
from tests.wire import PASSWORD_REALM, Wire, refused


@pytest.fixture
def corp(server: Server, cast: Cast, slapd: Slapd) -> Realm:
    return make_directory_realm(server, "corp", "ldap", {"ldap": slapd.options()}, "app", "phone-app")


def login(wire: Wire, username: str, password: str = PASSWORD, realm: str = "corp", **members: Any) -> Any:
    return wire.password(username, password, grant_type=PASSWORD_REALM, realm=realm, **members)


def person(server: Server, realm: Realm, key: str) -> User | None:
    with server.db.read() as conn:
        return users.find_user_by_key(conn, realm.id, key)


def test_a_first_login_makes_a_person(wire: Wire, server: Server, corp: Realm) -> None:
    wire.ok(login(wire, "Alice"))
    alice = person(server, corp, "alice")
    assert alice is not None and alice == person(server, corp, "alice@corp.example")
    assert alice.id.startswith("ldap|corp|") and alice.email_verified and alice.password_hash is None
    assert (alice.name, alice.given_name, alice.family_name) == ("Alice Liddell", "Alice", "Liddell")
    wire.ok(login(wire, "alice@corp.example"))
    refused(login(wire, "alice", "wrong"), 403, "invalid_grant", "Wrong email or password.")
    refused(login(wire, "nobody"), 403, "invalid_grant", "Wrong email or password.")
    assert [(e.type, e.reason) for e in wire.events()][-2:] == [
        ("fp", "wrong_password"),
        ("fu", "unknown_user"),
    ]
