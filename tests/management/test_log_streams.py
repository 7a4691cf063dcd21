"""Log streams as a resource. Their delivery is tested in `tests/test_delivery.py`."""

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from app.accounts.log_streams import secrets_of_log_stream
from app.context import Context, Server
from app.store import log_streams
from tests.making import now
from tests.management.conftest import Admin, refused
from tests.wire import Wire

HTTP = {"type": "http", "sink": {"httpEndpoint": "https://siem.example.com/in"}}
SPLUNK = {"type": "splunk", "sink": {"splunkDomain": "splunk.example.com", "splunkToken": "hush-splunk"}}
DATADOG = {"type": "datadog", "sink": {"datadogRegion": "eu", "datadogApiKey": "hush-datadog"}}


@pytest.fixture
def server(server: Server) -> Server:
    """One that may send to this machine."""
    networks = (ip_network("127.0.0.0/8"),)
    return replace(server, settings=server.settings.model_copy(update={"outgoing_networks": networks}))


def create(admin: Admin, body: dict[str, Any] = HTTP, **more: Any) -> Any:
    return admin.post("/log-streams", {**body, **more}, 200)


def test_a_stream_is_made_shown_changed_and_removed(admin: Admin) -> None:
    made = create(admin, name="SIEM", filters=[{"type": "category", "name": "auth.login.fail"}])
    assert made["id"].startswith("lst_") and len(made["id"]) == 20
    secret = made["sink"].pop("httpSigningSecret")
    assert secret.startswith("lss_") and len(secret) > 40
    assert made == {
        "id": made["id"],
        "name": "SIEM",
        "type": "http",
        "status": "active",
        "isPriority": False,
        "filters": [{"type": "category", "name": "auth.login.fail"}],
        "sink": {
            "httpEndpoint": "https://siem.example.com/in",
            "httpContentFormat": "JSONLINES",
            "httpContentType": "application/json",
            "httpCustomHeaders": [],
        },
    }
    path = f"/log-streams/{made['id']}"
    assert admin.get(path) == made and admin.get("/log-streams") == [made]
    pii = {"log_fields": ["email"], "method": "hash", "algorithm": "xxhash"}
    changed = admin.patch(path, {"name": "Other", "status": "paused", "filters": [], "pii_config": pii})
    assert changed == made | {"name": "Other", "status": "paused", "filters": [], "pii_config": pii}
    assert admin.patch(path, {"sink": {"httpContentFormat": "JSONARRAY"}})["sink"] == made["sink"] | {
        "httpContentFormat": "JSONARRAY"
    }
    assert "pii_config" not in admin.patch(path, {"pii_config": None, "status": "active"})
    assert admin.delete(path) is None
    for method in ("GET", "DELETE"):
        refused(admin.ask(method, path), 404, "inexistent_log_stream", "The log stream does not exist.")
    refused(admin.ask("PATCH", path, {"name": "x"}), 404, "inexistent_log_stream")


@pytest.mark.parametrize(
    ("body", "secret"),
    [(HTTP, "httpAuthorization"), (SPLUNK, "splunkToken"), (DATADOG, "datadogApiKey")],
)
def test_secrets_are_sealed_and_never_shown(
    admin: Admin, wire: Wire, body: dict[str, Any], secret: str
) -> None:
    header = {"header": "X-Key", "value": "hush-header"}
    sink = body["sink"] | {secret: "hush-secret"}
    if body is HTTP:
        sink |= {"httpCustomHeaders": [header], "httpEndpoint": "https://siem.example.com/in?key=hush-query"}
    made = create(admin, body, sink=sink)
    path = f"/log-streams/{made['id']}"
    changed = admin.patch(path, {"sink": sink})
    for answer in (made, changed, admin.get(path), admin.get("/log-streams")[0]):
        assert secret not in answer["sink"] and "hush-secret" not in str(answer)
    told = str([event.details for event in wire.events()])
    assert "hush" not in told and "lss_" not in told
    reasons = [event.reason for event in wire.events()]
    assert reasons[-2:] == ["log_stream_created", "log_stream_updated"]
    with wire.server.db.read() as conn:
        row = str(conn.exec_driver_sql("SELECT * FROM log_streams").all())
    assert "hush-secret" not in row and "lss_" not in row


def test_a_secret_does_not_follow_the_stream_to_another_host(admin: Admin, wire: Wire) -> None:
    def kept(stream_id: str) -> dict[str, str]:
        with wire.server.db.read() as conn:
            found = log_streams.find_log_stream(conn, stream_id)
        assert found is not None
        return secrets_of_log_stream(Context(wire.server, now(), ip=""), found)

    made = create(admin, sink=HTTP["sink"] | {"httpAuthorization": "hush"})  # type: ignore[operator]
    path = f"/log-streams/{made['id']}"
    admin.patch(path, {"sink": {"httpEndpoint": "https://siem.example.com/other"}})
    assert kept(made["id"]) == {
        "httpAuthorization": "hush",
        "httpSigningSecret": made["sink"]["httpSigningSecret"],
    }
    admin.patch(path, {"sink": {"httpEndpoint": "https://mallory.example.com/in"}})
    assert kept(made["id"])["httpAuthorization"] == ""
    splunk = f"/log-streams/{create(admin, SPLUNK)['id']}"
    moved = admin.ask("PATCH", splunk, {"sink": {"splunkDomain": "mallory.example.com"}})
    refused(moved, 400, "invalid_body")


@pytest.mark.parametrize("kind", ["eventbridge", "eventgrid", "sumo", "segment", "mixpanel"])
def test_other_published_types_are_refused_clearly(admin: Admin, kind: str) -> None:
    text = f"Log streams of type {kind} are not supported by this server; http, splunk and datadog are."
    answer = admin.ask("POST", "/log-streams", {"name": "x", "type": kind, "sink": {}})
    refused(answer, 400, "operation_not_supported", text)
    refused(admin.ask("POST", "/log-streams", {"type": "nosuch", "sink": {}}), 400, "invalid_body")


BAD_SINKS: list[dict[str, Any]] = [
    {},
    {"httpEndpoint": "http://siem.example.com/"},
    {"httpEndpoint": "https://127.0.0.1\\@x/"},
    {"httpEndpoint": "https://169.254.169.254/latest"},
    {"httpEndpoint": "https://10.0.0.1/"},
    {"httpEndpoint": "https://2130706433/"},
    {"httpEndpoint": "https://user:pass@siem.example.com/"},
    {"httpEndpoint": "https://siem.example.com/", "httpContentFormat": "XML"},
    {"httpEndpoint": "https://siem.example.com/", "httpAuthorization": "a\r\nX: b"},
    {"httpEndpoint": "https://siem.example.com/", "httpContentType": "a\r\nb"},
    {"httpEndpoint": "https://siem.example.com/", "httpCustomHeaders": [{"header": "Host", "value": "x"}]},
    {"httpEndpoint": "https://siem.example.com/", "httpCustomHeaders": [{"header": "a b", "value": "x"}]},
    {"httpEndpoint": "https://siem.example.com/", "httpCustomHeaders": [{"header": "a", "value": "\n"}]},
    {"httpEndpoint": "https://siem.example.com/", "httpSigningSecret": "mine"},
]


@pytest.mark.parametrize("sink", BAD_SINKS, ids=str)
def test_sinks_that_cannot_be_are_refused(admin: Admin, sink: dict[str, Any]) -> None:
    refused(admin.ask("POST", "/log-streams", {"type": "http", "sink": sink}), 400, "invalid_body")
    assert admin.get("/log-streams") == []
    if sink:
        path = f"/log-streams/{create(admin)['id']}"
        refused(admin.ask("PATCH", path, {"sink": sink}), 400, "invalid_body")


@pytest.mark.parametrize(
    "more",
    [
        {"filters": [{"type": "category", "name": "nosuch"}]},
        {"pii_config": {"log_fields": ["shoe_size"], "method": "mask"}},
        {"pii_config": {"log_fields": ["email"], "method": "rot13"}},
        {"startFrom": "yesterday"},
        {"status": "suspended"},
        {"cursor": 1},
    ],
)
def test_other_members_that_cannot_be_are_refused(admin: Admin, more: dict[str, Any]) -> None:
    refused(admin.ask("POST", "/log-streams", {**HTTP, **more}), 400, "invalid_body")
    path = f"/log-streams/{create(admin)['id']}"
    refused(admin.ask("PATCH", path, more), 400, "invalid_body")


def test_there_are_at_most_ten(admin: Admin) -> None:
    for _ in range(10):
        create(admin)
    refused(admin.ask("POST", "/log-streams", HTTP), 409, "log_stream_limit")
