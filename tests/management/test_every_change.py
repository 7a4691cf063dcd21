"""Every operation that changes something leaves one event: who, what, before and after, and no secret."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import func, select

from app.accounts.changes import is_secret
from app.context import Server
from app.rules import runtime
from app.store.events import Event, events, list_events
from app.web.management import OPERATIONS
from tests.evidence import report
from tests.making import Cast
from tests.management.changing import CALLS, CANARY, CANARY_BASE32, NO_CHANGE, World, send
from tests.management.conftest import Admin
from tests.wire import Wire

SEVERAL = {
    "PUT /users/{id}/authentication-methods": 2,  # what went, what came
    "PATCH /users/{id}": 2,  # profile and password
    "PATCH /tenants/settings": 2,  # what has an effect here, and what is kept for tools
    "POST /users/{id}/mfa-reset": 3,  # the factors, the reset, the pass
}
"""Events of a call that changes more than one thing."""

REMOVALS = ("DELETE", "POST /refresh-tokens/revoke")
SHOWN_ONCE = ("recovery_code", "access_pass", "ticket", "ticket_url", "httpSigningSecret", "totp_secret")
PLAIN = (
    "smtp_user",
    "credential_type",
    "token_endpoint_auth_method",
    "secrets",
    "client_authentication_methods",
)


@pytest.fixture
def server(server: Server) -> Iterator[Server]:
    yield server
    runtime.close(server)


def changing() -> list[str]:
    return [f"{found.method} {found.path}" for found in OPERATIONS if found.method != "GET"]


def newest(wire: Wire) -> int:
    with wire.server.db.read() as conn:
        return conn.execute(select(func.max(events.c.id))).scalar() or 0


def since(wire: Wire, last: int) -> Sequence[Event]:
    with wire.server.db.read() as conn:
        return [event for event in list_events(conn, limit=50) if event.id is not None and event.id > last]


def secrets_in(answer: Any, name: str = "") -> Iterator[str]:
    """Texts that an answer shows this once."""
    if isinstance(answer, dict):
        for member, part in answer.items():
            yield from secrets_in(part, member)
    elif isinstance(answer, list):
        for part in answer:
            yield from secrets_in(part, name)
    elif (
        isinstance(answer, str)
        and len(answer) > 8
        and name not in PLAIN
        and (is_secret(name) or name in SHOWN_ONCE)
    ):
        yield answer.rsplit("ticket=", 1)[-1]


def test_there_is_a_right_call_of_every_operation_that_is_no_reading() -> None:
    assert sorted([*CALLS, *NO_CHANGE]) == sorted(changing())


def test_every_change_leaves_one_event_with_who_what_before_and_after_and_no_secret(
    admin: Admin, wire: Wire, cast: Cast
) -> None:
    world, once, wrong = World(admin, wire, cast), 0, []
    for name, prepare in CALLS.items():
        request = prepare(world)
        last = newest(wire)
        answer = send(admin, name, request)
        assert answer.status_code < 300, (name, answer.text)
        found = since(wire, last)
        changes = [event.details["change"] for event in found if "change" in event.details]
        text = json.dumps([[event.reason, event.details] for event in found])
        if len(changes) != SEVERAL.get(name, 1):
            wrong.append(f"{name}: {len(changes)} changes")
        for event in found:
            method, path = event.details["request"]["method"], event.details["request"]["path"]  # type: ignore[index]
            assert (event.client_id, event.ip, method) == ("admin", "127.0.0.1", name.split()[0]), name
            assert path.startswith("/api/v2/") and event.type in CODES, (name, event.type)
        for change in changes:
            assert isinstance(change, dict)
            is_told = ("before" if name.startswith(REMOVALS) else "after") in change
            if not change["subject"] or not is_told or change.get("before") == change.get("after"):
                wrong.append(f"{name}: {change}")
        shown = list(secrets_in(answer.json)) if answer.data else []
        once += len(shown)
        if any(secret in text for secret in (CANARY, CANARY_BASE32, *shown)):
            wrong.append(f"{name}: a secret in {text}")
    assert wrong == [], "\n".join(wrong)
    assert once > 5
    report(
        "every change leaves an event (who, what, before, after)",
        tried=f"{len(CALLS)} operations",
        held=f"one event of each change; a secret in each body and {once} in answers, none in an event",
    )


CODES = {"sapi", "scp", "sdu", "srrt", "gd_unenroll", "gd_tenant_update", "ublkdu"}


def test_a_read_and_what_only_looks_like_a_change_leave_no_event(
    admin: Admin, wire: Wire, cast: Cast
) -> None:
    last = newest(wire)
    admin.post(
        f"/connections/{cast.staff.id}/mfa-policy/evaluate", {"user_id": cast.bob.id, "client_id": "app"}, 200
    )
    admin.delete("/grants/nothing")
    admin.delete(f"/users/{cast.bob.id}/sessions", 202)
    assert admin.get("/users") and not since(wire, last)
