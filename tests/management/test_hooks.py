"""Hooks over the management API."""

from collections.abc import Iterator

import pytest

from app.context import Server
from app.rules import runtime
from app.store import hooks
from tests.management.conftest import Admin, refused

EXCHANGE = "module.exports = function (client, scope, audience, context, cb) { cb(null, {}); };"
SEND = "function (recipient, text, context, cb) { cb(null, {}); }"


@pytest.fixture
def server(server: Server) -> Iterator[Server]:
    yield server
    runtime.close(server)


def hook(trigger: str, script: str, **members: object) -> dict[str, object]:
    return {"name": trigger, "triggerId": trigger, "script": script} | members


def test_a_hook_is_made_listed_changed_and_removed(admin: Admin) -> None:
    made = admin.post("/hooks", hook("credentials-exchange", EXCHANGE))
    assert made == {
        "id": made["id"],
        "name": "credentials-exchange",
        "enabled": False,
        "script": EXCHANGE,
        "dependencies": {},
        "triggerId": "credentials-exchange",
    }
    admin.post("/hooks", hook("send-phone-message", SEND, enabled=True))
    assert [found["name"] for found in admin.get("/hooks")] == ["credentials-exchange", "send-phone-message"]
    assert [found["name"] for found in admin.get("/hooks", enabled="false")] == ["credentials-exchange"]
    page = admin.get("/hooks", triggerId="send-phone-message", include_totals="true", fields="enabled")
    assert page == {"start": 0, "limit": 50, "total": 1, "hooks": [{"enabled": True}]}
    changed = admin.patch(f"/hooks/{made['id']}", {"enabled": True, "name": "Another"})
    assert (changed["enabled"], changed["name"]) == (True, "Another")
    refused(admin.ask("PATCH", f"/hooks/{made['id']}", {"triggerId": "x"}), 400, "invalid_body")
    admin.delete(f"/hooks/{made['id']}")
    for method, body in (("GET", None), ("PATCH", {"name": "x"}), ("DELETE", None)):
        refused(admin.ask(method, f"/hooks/{made['id']}", body), 404, "inexistent_hook")
    assert {"hook_created", "hook_updated", "hook_deleted"} <= {event.reason for event in admin.wire.events()}


def test_one_hook_of_a_trigger_is_enabled(admin: Admin) -> None:
    first = admin.post("/hooks", hook("credentials-exchange", EXCHANGE, enabled=True))
    second = admin.post("/hooks", hook("credentials-exchange", EXCHANGE, name="Second"))
    refused(admin.ask("PATCH", f"/hooks/{second['id']}", {"enabled": True}), 409, "hook_conflict")
    refused(
        admin.ask("POST", "/hooks", hook("send-phone-message", SEND, name="Second")), 409, "hook_conflict"
    )
    admin.patch(f"/hooks/{first['id']}", {"enabled": False})
    assert admin.patch(f"/hooks/{second['id']}", {"enabled": True})["enabled"]


def test_what_would_not_be_called_cannot_be_enabled(admin: Admin) -> None:
    body = hook("post-change-password", EXCHANGE, enabled=True)
    refused(admin.ask("POST", "/hooks", body), 400, "operation_not_supported")
    kept = admin.post("/hooks", body | {"enabled": False})
    refused(admin.ask("PATCH", f"/hooks/{kept['id']}", {"enabled": True}), 400, "operation_not_supported")
    for script in ("module.exports = function (", "module.exports = 1;", "42"):
        answer = admin.ask("POST", "/hooks", hook("credentials-exchange", script, enabled=True))
        refused(answer, 400, "operation_not_supported")
    body = hook("credentials-exchange", EXCHANGE, dependencies={"left-pad": "1.0.0"})
    refused(admin.ask("POST", "/hooks", body), 400, "operation_not_supported")


def test_secrets_are_sealed_and_never_shown(admin: Admin, server: Server) -> None:
    made = admin.post("/hooks", hook("credentials-exchange", EXCHANGE))
    path = f"/hooks/{made['id']}/secrets"
    assert admin.get(path) == {}
    assert admin.ask("POST", path, {"ONE": "canary-1", "TWO": "canary-2"}).status_code == 201
    refused(admin.ask("POST", path, {"TWO": "canary-3"}), 409, "duplicate_secret")
    assert admin.ask("PATCH", path, {"TWO": "canary-4", "THREE": "canary-5"}).status_code == 201
    assert admin.get(path) == dict.fromkeys(("ONE", "TWO", "THREE"), "_VALUE_NOT_SHOWN_")
    refused(admin.ask("POST", path, {"no name": "x"}), 400, "invalid_body")
    refused(admin.ask("PATCH", path, {f"N{at}": "x" for at in range(28)}), 400, "too_many_secrets")
    assert admin.ask("DELETE", path, ["ONE", "NONE"]).status_code == 204
    assert admin.get(path).keys() == {"TWO", "THREE"}
    with server.db.read() as conn:
        found = hooks.find_hook(conn, made["id"])
    assert found is not None and found.sealed_secrets and "canary" not in found.sealed_secrets
    assert "canary" not in str([event.details for event in admin.wire.events()])
    refused(admin.ask("GET", "/hooks/nothing/secrets"), 404, "inexistent_hook")
