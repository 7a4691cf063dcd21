"""Rules and their configuration over the management API, and that logins obey."""

from collections.abc import Iterator
from typing import Any

import pytest

from app.context import Server
from app.crypto import Keyring, owner_of
from app.rules import runtime
from app.store import rules
from tests.making import Cast
from tests.management.conftest import Admin, refused, token_for
from tests.wire import Wire
from tests.wire import refused as login_refused

PASS = "function (user, context, callback) { callback(null, user, context); }"
DENY = "function (user, context, callback) { callback(new Error(configuration.TEXT || 'no')); }"


@pytest.fixture
def server(server: Server) -> Iterator[Server]:
    yield server
    runtime.close(server)


def test_a_rule_is_made_listed_changed_and_removed(admin: Admin) -> None:
    first = admin.post("/rules", {"name": "Deny all-1", "script": DENY, "enabled": False})
    assert first == {
        "id": first["id"],
        "name": "Deny all-1",
        "enabled": False,
        "script": DENY,
        "order": 1,
        "stage": "login_success",
    }
    assert first["id"].startswith("rul_") and len(first["id"]) == 20
    second = admin.post("/rules", {"name": "Second", "script": PASS, "order": 0})
    third = admin.post("/rules", {"name": "Third", "script": PASS})
    assert third["order"] == 2
    assert [rule["name"] for rule in admin.get("/rules")] == ["Second", "Deny all-1", "Third"]
    assert [rule["name"] for rule in admin.get("/rules", enabled="false")] == ["Deny all-1"]
    page = admin.get("/rules", include_totals="true", per_page=1, page=1, fields="name,order")
    assert page == {"start": 1, "limit": 1, "total": 3, "rules": [{"name": "Deny all-1", "order": 1}]}
    without = admin.get(f"/rules/{second['id']}", fields="script", include_fields="false")
    assert "script" not in without and without["name"] == "Second"
    changed = admin.patch(f"/rules/{second['id']}", {"order": 9, "name": "Last"})
    assert (changed["order"], changed["name"], changed["script"]) == (9, "Last", PASS)
    admin.delete(f"/rules/{second['id']}")
    refused(admin.ask("GET", f"/rules/{second['id']}"), 404, "inexistent_rule")
    refused(admin.ask("PATCH", f"/rules/{second['id']}", {"order": 1}), 404, "inexistent_rule")
    refused(admin.ask("DELETE", f"/rules/{second['id']}"), 404, "inexistent_rule")


def test_names_and_orders_are_taken_once(admin: Admin) -> None:
    first = admin.post("/rules", {"name": "One", "script": PASS})
    second = admin.post("/rules", {"name": "Two", "script": PASS})
    refused(admin.ask("POST", "/rules", {"name": "One", "script": PASS}), 409, "rule_conflict")
    refused(admin.ask("POST", "/rules", {"name": "Three", "script": PASS, "order": 1}), 409, "rule_conflict")
    refused(admin.ask("PATCH", f"/rules/{second['id']}", {"name": "One"}), 409, "rule_conflict")
    refused(admin.ask("PATCH", f"/rules/{second['id']}", {"order": first["order"]}), 409, "rule_conflict")


NO_RULES: list[dict[str, Any]] = [
    {"name": "-x", "script": PASS},
    {"name": "x", "script": ""},
    {"name": "x"},
    {"name": "x", "script": PASS, "order": -1},
    {"name": "x", "script": PASS, "enabled": "yes"},
    {"name": "x", "script": PASS, "stage": "user_registration"},
    {"name": "x", "script": PASS, "other": 1},
]


def test_what_is_no_rule_is_refused(admin: Admin) -> None:
    for body in NO_RULES:
        refused(admin.ask("POST", "/rules", body), 400, "invalid_body")


def test_an_enabled_rule_must_compile(admin: Admin) -> None:
    broken = "function (user, context, callback) { if"
    answer = admin.ask("POST", "/rules", {"name": "x", "script": broken})
    refused(answer, 400, "operation_not_supported")
    refused(admin.ask("POST", "/rules", {"name": "x", "script": "42"}), 400, "operation_not_supported")
    kept = admin.post("/rules", {"name": "x", "script": broken, "enabled": False})
    answer = admin.ask("PATCH", f"/rules/{kept['id']}", {"enabled": True})
    refused(answer, 400, "operation_not_supported")
    admin.patch(f"/rules/{kept['id']}", {"enabled": True, "script": PASS})
    refused(admin.ask("PATCH", f"/rules/{kept['id']}", {"script": broken}), 400, "operation_not_supported")


def test_the_next_login_passes_through_what_was_changed(admin: Admin, wire: Wire, cast: Cast) -> None:
    made = admin.post("/rules", {"name": "Deny", "script": DENY})
    login_refused(wire.password("bob@example.com"), 403, "access_denied", "no")
    admin.put("/rules-configs/TEXT", {"value": "closed"})
    login_refused(wire.password("bob@example.com"), 403, "access_denied", "closed")
    admin.patch(f"/rules/{made['id']}", {"enabled": False})
    wire.ok(wire.password("bob@example.com"))


def test_values_are_sealed_and_never_shown_again(admin: Admin, server: Server) -> None:
    assert admin.get("/rules-configs") == []
    shown = admin.put("/rules-configs/API_KEY", {"value": "hunter2-canary"})
    assert shown == {"key": "API_KEY", "value": "hunter2-canary"}
    admin.put("/rules-configs/API_KEY", {"value": ""})
    admin.put("/rules-configs/API_KEY", {"value": "hunter3-canary"})
    admin.put("/rules-configs/a@b*c+d:e-f_g", {"value": "x"})
    assert admin.get("/rules-configs") == [{"key": "API_KEY"}, {"key": "a@b*c+d:e-f_g"}]
    refused(admin.ask("PUT", "/rules-configs/a%20b", {"value": "x"}), 400, "invalid_uri")
    with server.db.read() as conn:
        found = {config.key: config.sealed_value for config in rules.list_configs(conn)}
    assert "hunter3" not in found["API_KEY"]
    ring: Keyring = server.keyring
    assert ring.open(found["API_KEY"], owner_of("rules_configs", "API_KEY")) == b"hunter3-canary"
    assert "canary" not in str([event.details for event in admin.wire.events()])
    admin.delete("/rules-configs/API_KEY")
    admin.delete("/rules-configs/API_KEY")
    assert admin.get("/rules-configs") == [{"key": "a@b*c+d:e-f_g"}]


def test_events_tell_of_changes_but_not_of_scripts(admin: Admin) -> None:
    made = admin.post("/rules", {"name": "Deny", "script": DENY})
    admin.patch(f"/rules/{made['id']}", {"script": DENY.replace("no", "never")})
    admin.delete(f"/rules/{made['id']}")
    told = [event for event in admin.wire.events() if event.reason.startswith("rule_")]
    assert [event.reason for event in told] == ["rule_created", "rule_updated", "rule_deleted"]
    assert "callback" not in str([event.details for event in told])


def test_configuration_has_scopes_of_its_own(wire: Wire) -> None:
    reader = Admin(wire, token_for(wire, "read:rules", client_id="reader"))
    reader.get("/rules")
    refused(reader.ask("GET", "/rules-configs"), 403, "insufficient_scope")
    refused(reader.ask("POST", "/rules", {"name": "x", "script": PASS}), 403, "insufficient_scope")
