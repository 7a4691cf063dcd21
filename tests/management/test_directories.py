"""Connections whose people are kept elsewhere, as tools administer them."""

import json
from typing import Any

import pytest
import trustme

from app.context import Context
from app.directories.options import secret_of
from app.store import realms, users
from app.store.realms import Realm
from tests import making
from tests.directories.conftest import active_directory, authority, once, service, slapd
from tests.directories.fakes import LoginService
from tests.directories.slapd import PASSWORD, SERVICE, SERVICE_PASSWORD, Slapd
from tests.making import Cast
from tests.management.conftest import Admin, refused
from tests.wire import PASSWORD_REALM, Wire
from tests.wire import refused as refused_login

__all__ = ["active_directory", "authority", "service", "slapd"]

LDAP = {"urls": ["ldaps://dc.example.com"], "base_dn": "dc=example,dc=com"}
BOUND = LDAP | {"bind_dn": SERVICE, "bind_password": SERVICE_PASSWORD}


def create(admin: Admin, strategy: str, options: Any, name: str = "corp") -> Any:
    return admin.post(
        "/connections", {"name": name, "strategy": strategy, "options": options, "enabled_clients": ["app"]}
    )


def row(admin: Admin, made: Any) -> Realm:
    with admin.wire.server.db.read() as conn:
        found = realms.find_realm(conn, made["id"])
    assert found is not None
    return found


@once
@pytest.mark.parametrize("strategy", ["ad", "auth0-adldap", "ldap"])
def test_a_connection_keeps_its_strategy_and_never_shows_its_password(admin: Admin, strategy: str) -> None:
    made = create(admin, strategy, {"ldap": BOUND, "tenant_domain": "example.com", "ips": []})
    assert made["strategy"] == strategy and made["realms"] == ["corp"]
    shown = {"ldap": LDAP | {"bind_dn": SERVICE}, "tenant_domain": "example.com", "ips": []}
    assert made["options"] == {"brute_force_protection": True} | shown
    assert admin.get(f"/connections/{made['id']}") == made
    assert [c["id"] for c in admin.get("/connections", strategy=strategy)] == [made["id"]]
    other = "ad" if strategy == "ldap" else "ldap"
    assert admin.get("/connections", strategy=other) == []
    assert SERVICE_PASSWORD not in json.dumps([event.details for event in admin.wire.events()], default=str)


def test_the_secret_stays_with_its_servers(admin: Admin) -> None:
    """Tools send back what they read, without the secret; another server must not be shown the old one's."""
    made = create(admin, "ad", {"ldap": BOUND})
    ctx = Context(admin.wire.server, making.now(), ip="")
    read = made["options"]
    changed = read | {"ldap": read["ldap"] | {"timeout_ms": 900}}
    admin.patch(f"/connections/{made['id']}", {"options": changed})
    assert secret_of(ctx, row(admin, made)) == SERVICE_PASSWORD
    ca = trustme.CA().cert_pem.bytes().decode()
    for part in ({"urls": ["ldaps://evil.example"]}, {"ca_certificates": ca}, {"bind_dn": "cn=other"}):
        body = {"options": read | {"ldap": read["ldap"] | part}}
        answer = admin.ask("PATCH", f"/connections/{made['id']}", body)
        refused(answer, 400, "invalid_body")
        assert answer.json is not None and "bind_password" in answer.json["message"]
        body["options"]["ldap"]["bind_password"] = "given anew"
        admin.patch(f"/connections/{made['id']}", body)
        assert secret_of(ctx, row(admin, made)) == "given anew"
        admin.patch(f"/connections/{made['id']}", {"options": {"ldap": BOUND}})
    admin.patch(f"/connections/{made['id']}", {"options": {"ldap": LDAP | {"bind_password": None}}})
    assert row(admin, made).sealed_secrets is None


REFUSED: list[tuple[str, Any, str]] = [
    ("ldap", {}, "options.ldap"),
    ("ldap", {"ldap": []}, "options.ldap"),
    ("ldap", {"ldap": {"urls": ["ldaps://a.example"]}}, "base_dn"),
    ("ldap", {"ldap": LDAP | {"urls": []}}, "urls"),
    ("ldap", {"ldap": LDAP | {"urls": ["ldap://a.example"]}}, "in the clear"),
    ("ldap", {"ldap": LDAP | {"start_tls": True}}, "start_tls"),
    ("ldap", {"ldap": LDAP | {"start_tls": "no"}}, "start_tls"),
    ("ldap", {"ldap": LDAP | {"urls": ["https://a.example"]}}, "ldaps://"),
    ("ldap", {"ldap": LDAP | {"urls": ["ldaps://a.example/dc=x?uid"]}}, "ldaps://"),
    ("ldap", {"ldap": LDAP | {"urls": ["ldaps://user:pw@a.example"]}}, "ldaps://"),
    ("ldap", {"ldap": LDAP | {"urls": ["ldaps://10.0.0.7"]}}, "BELAY_OUTGOING_NETWORKS"),
    ("ldap", {"ldap": LDAP | {"urls": ["ldapi://%2Frun%2Fslapd"]}}, "ldaps://"),
    ("ldap", {"ldap": LDAP | {"base_dn": "not a name"}}, "distinguished"),
    ("ldap", {"ldap": LDAP | {"user_filter": "(uid=*)"}}, "{username}"),
    ("ldap", {"ldap": LDAP | {"user_filter": "(uid={username}*)"}}, "equality"),
    ("ldap", {"ldap": LDAP | {"user_filter": "(uid>={username})"}}, "equality"),
    ("ldap", {"ldap": LDAP | {"user_filter": "(&(uid={username})"}}, "filter"),
    ("ldap", {"ldap": LDAP | {"user_filter": "uid={username}"}}, "filter"),
    ("ldap", {"ldap": LDAP | {"group_roles": {"admins": "admin"}}}, "distinguished"),
    ("ldap", {"ldap": LDAP | {"attribute_map": {"password": "userPassword"}}}, "attribute_map"),
    ("ldap", {"ldap": LDAP | {"ca_certificates": "-----BEGIN"}}, "PEM"),
    ("ldap", {"ldap": LDAP | {"timeout_ms": 3_600_000}}, "timeout_ms"),
    ("ldap", {"ldap": LDAP | {"bind_dn": "cn=x"}}, "bind_password"),
    ("ldap", {"ldap": LDAP | {"bind_password": "x"}}, "bind_password"),
    ("ldap", {"ldap": LDAP | {"verify": False}}, "verify"),
    ("custom", {"http": {"url": "https://a.example"}}, "secret"),
    ("custom", {"http": {"url": "https://a.example", "secret": 7}}, "secret"),
    ("custom", {"http": {"url": "http://a.example", "secret": "s"}}, "http"),
    ("custom", {"http": {"url": "https://169.254.169.254/", "secret": "s"}}, "BELAY_OUTGOING_NETWORKS"),
    ("custom", {"http": {"url": "https://a.example", "secret": "s"}, "import_mode": "yes"}, "import_mode"),
]


@once
def test_what_makes_no_directory_is_refused(admin: Admin) -> None:
    for strategy, options, says in REFUSED:
        body = {"name": "corp", "strategy": strategy, "options": options}
        answer = admin.ask("POST", "/connections", body)
        refused(answer, 400, "invalid_body")
        assert says in answer.text, (options, answer.text)


@once
def test_a_directory_that_answers_is_online(admin: Admin, slapd: Slapd, cast: Cast) -> None:
    made = create(admin, "ldap", {"ldap": slapd.options()})
    status = admin.get(f"/connections/{made['id']}/status")
    assert status["status"] == "online" and str(slapd.port) in status["answered"]
    body = {"options": {"ldap": slapd.options(bind_password="wrong")}}
    admin.patch(f"/connections/{made['id']}", body)
    answer = admin.ask("GET", f"/connections/{made['id']}/status")
    refused(answer, 404, "inexistent_node")
    assert answer.json is not None and "service_account_refused" in answer.json["message"]
    refused(admin.ask("GET", f"/connections/{cast.staff.id}/status"), 400, "operation_not_supported")


def test_people_of_a_directory_are_its_own(
    admin: Admin, wire: Wire, service: LoginService, cast: Cast
) -> None:
    http = {"url": service.url, "secret": "signing-secret"}
    made = create(admin, "custom", {"http": http})
    assert made["options"]["http"] == {"url": service.url}
    new = {"connection": "corp", "email": "new@corp.example", "password": "a good pass phrase 1"}
    refused(admin.ask("POST", "/users", new), 400, "operation_not_supported")
    wire.ok(wire.password("alice", PASSWORD, grant_type=PASSWORD_REALM, realm="corp"))
    path = "/users/custom%7Ccorp%7Cc-alice"
    alice = admin.get(path)
    assert alice["identities"] == [
        {"connection": "corp", "user_id": "corp|c-alice", "provider": "custom", "isSocial": False}
    ]
    for change in ({"password": "a good pass phrase 1"}, {"email": "x@corp.example"}, {"name": "X"}):
        assert admin.ask("PATCH", path, change).status_code == 400
    admin.patch(path, {"app_metadata": {"plan": "gold"}})
    admin.patch(path, {"blocked": True})
    answer = wire.password("alice", PASSWORD, grant_type=PASSWORD_REALM, realm="corp")
    refused_login(answer, 401, "unauthorized", "user is blocked")
    with wire.server.db.read() as conn:
        known = users.find_user(conn, "custom|corp|c-alice")
    assert known is not None and known.app_metadata == {"plan": "gold"}
