"""No column is written through a body that the description does not name: every body, and all that is inside of it."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import JSON, select

from app.store.base import metadata
from app.web.management import OPERATIONS
from app.web.management.operation import Operation
from tests.making import Cast
from tests.management.changing import CALLS, NO_CHANGE, World, named, send
from tests.management.conftest import Admin
from tests.wire import Wire

COLUMNS = sorted({column.name for table in metadata.tables.values() for column in table.columns})
WRITTEN = {"documents", "events", "messages"}
"""Tables that hold whatever tools send, as JSON, what was done, and mail about it."""

# Kept as JSON and shown again, whatever it is; nothing of it is a column.
OPEN = {
    "PATCH /tenants/settings",
    "PATCH /branding",
    "PUT /prompts/mfa-push",
    *(
        f"PATCH /attack-protection/{name}"
        for name in ("bot-detection", "captcha", "breached-password-detection")
    ),
    *(f"PUT /guardian/factors/webauthn-{name}/settings" for name in ("roaming", "platform")),
    *(f"{method} /guardian/factors/duo/settings" for method in ("PUT", "PATCH")),
    *(
        f"{method} /guardian/factors/push-notification/providers/{name}"
        for method in ("PUT", "PATCH")
        for name in ("sns", "apns", "fcm", "fcmv1")
    ),
    # Names that somebody chooses, each with a secret.
    "POST /hooks/{id}/secrets",
    "PATCH /hooks/{id}/secrets",
}
OPEN_PARTS = {
    "options",
    "configuration",
    "addons",
    "x",
    "credentials",
    "client_metadata",
    "user_metadata",
    "app_metadata",
    "refresh_token_metadata",
}


def with_bodies() -> list[Operation]:
    return [found for found in OPERATIONS if found.body is not None and named(found) not in NO_CHANGE]


def objects(body: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of a body with the member that it stands at; those of a list at the list's."""
    if isinstance(body, dict):
        yield name, body
        for member, part in body.items():
            yield from objects(part, member)
    elif isinstance(body, list):
        for part in body:
            yield from objects(part, name)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # bodies are judged before any database
def test_no_object_of_any_body_takes_the_name_of_a_column_that_is_no_member(
    admin: Admin, wire: Wire, cast: Cast
) -> None:
    world, taken, tried = World(admin, wire, cast), [], 0
    for operation in with_bodies():
        name = named(operation)
        if name in OPEN:
            continue
        request = CALLS[name](world)
        body: Any = (
            deepcopy(request.body) if request.parts is None else {"connection_id": "con_1", "users": b"[]"}
        )
        is_strict = request.parts is None
        operation.adapter.validate_python(body, strict=is_strict)
        for place, found in objects(body):
            if place in OPEN_PARTS:
                continue
            # A name that is a member is refused for its value, one that is none for itself.
            for column in COLUMNS:
                tried += 1
                if column in found:
                    continue
                found[column] = object()
                try:
                    operation.adapter.validate_python(body, strict=is_strict)
                    taken.append((name, place, column))
                except ValidationError:
                    pass
                del found[column]
    # Which sink it is is known only once its type is: refused by the operation.
    streams = {"POST /log-streams", "PATCH /log-streams/{id}"}
    assert {(name, place) for name, place, _ in taken} == {
        (name, place) for name in streams for place in ("sink", "httpCustomHeaders")
    }
    for name in sorted(streams):
        request = CALLS[name](world)
        for column in COLUMNS[::20]:
            strange = {column: "x"}
            sink = request.body["sink"]
            headers = [header | strange for header in sink["httpCustomHeaders"]]
            for wrong in (sink | strange, sink | {"httpCustomHeaders": headers}):
                answer = send(admin, name, replace(request, body=request.body | {"sink": wrong}))
                assert answer.status_code == 400, (name, column)
    assert tried > 10_000


def rows_of(wire: Wire) -> dict[str, list[Any]]:
    """All that is in columns, but for what holds any JSON."""
    found = {}
    with wire.server.db.read() as conn:
        for table in metadata.sorted_tables:
            is_ours = {"tenant": {"version"}}.get(table.name, set())  # says that settings were changed
            columns = [c for c in table.columns if not isinstance(c.type, JSON) and c.name not in is_ours]
            if table.name not in WRITTEN:
                found[table.name] = sorted(map(repr, conn.execute(select(*columns))))
    return found


@pytest.mark.parametrize("value", ["x", True, 1, None])
def test_what_an_open_body_takes_is_kept_apart_from_every_column(
    admin: Admin, wire: Wire, cast: Cast, value: object
) -> None:
    for operation in with_bodies():
        name = named(operation)
        if name not in OPEN or "/hooks/" in name:
            continue
        request = CALLS[name](World(admin, wire, cast))
        known = set(operation.adapter.json_schema().get("properties", {}))
        before = rows_of(wire)
        strange = dict.fromkeys((column for column in COLUMNS if column not in known), value)
        answer = send(admin, name, replace(request, body=strange))
        assert answer.status_code in (200, 201, 400), (name, answer.text)
        assert rows_of(wire) == before, name
