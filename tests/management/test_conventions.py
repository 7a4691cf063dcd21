"""Section by section what holds for all of the management API, tried on every operation that it is said of."""

import http
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from freezegun.api import FrozenDateTimeFactory
from werkzeug.test import TestResponse

from app.context import Server
from app.rules import runtime
from app.web.management import OPERATIONS
from app.web.management.operation import BASE, Operation
from tests.making import PASSWORD, Cast
from tests.management.changing import CALLS, PERMISSIONS, World, named, send
from tests.management.conftest import Admin, refused
from tests.wire import FULL, Wire, bearer

# What no database has a say in is tried on one.
ON_ONE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
SHOWN = {"statusCode", "error", "message", "errorCode", "attributes", "error_id"}


@pytest.fixture
def server(server: Server) -> Iterator[Server]:
    yield server
    runtime.close(server)


def enveloped(answer: TestResponse) -> None:
    """A refusal in the shape that every SDK reads."""
    assert answer.content_type == "application/json; charset=utf-8", answer.text
    body = answer.json
    assert isinstance(body, dict) and set(body) <= SHOWN, answer.text
    assert body["statusCode"] == answer.status_code
    assert body["error"] == http.HTTPStatus(answer.status_code).phrase
    assert body["message"] and isinstance(body["message"], str)


# --- lists ---------------------------------------------------------------------------------------------------------

KEYS = {
    "/users": "users",
    "/users/{id}/authentication-methods": "authenticators",
    "/users/{user_id}/refresh-tokens": "tokens",
    "/refresh-tokens": "refresh_tokens",
    "/users/{user_id}/sessions": "sessions",
    "/device-credentials": "device_credentials",
    "/roles": "roles",
    "/roles/{id}/permissions": "permissions",
    "/users/{id}/permissions": "permissions",
    "/roles/{id}/users": "users",
    "/users/{id}/roles": "roles",
    "/rules": "rules",
    "/hooks": "hooks",
    "/connections": "connections",
    "/connections/{id}/clients": "clients",
    "/clients/{id}/connections": "connections",
    "/clients": "clients",
    "/resource-servers": "resource_servers",
    "/client-grants": "client_grants",
    "/guardian/policies/connections": "policies",
    "/users/{id}/logs": "logs",
    "/logs": "logs",
}
HAS_LENGTH = {"/users", "/logs", "/users/{id}/logs"}
"""Where the object form says how many it shows."""
IN_PAGES_OF_THEIR_OWN = {
    "/actions/actions",
    "/actions/actions/{id}/versions",
    "/actions/triggers/{triggerId}/bindings",
}


def has(operation: Operation, name: str) -> bool:
    return operation.query is not None and name in operation.query.model_fields


def lists() -> list[Operation]:
    found = [o for o in OPERATIONS if o.method == "GET" and (has(o, "take") or has(o, "page"))]
    return [o for o in found if o.path not in IN_PAGES_OF_THEIR_OWN]


class Crowd(World):
    """Three of each kind."""

    def __init__(self, admin: Admin, wire: Wire, cast: Cast) -> None:
        super().__init__(admin, wire, cast)
        self.user_id, self.role_id = cast.bob.id, self.role()
        bob = f"/users/{quote(cast.bob.id)}"
        for _ in range(3):
            wire.ok(wire.password("bob@example.com", PASSWORD, **FULL))
        for number in range(3):
            role, realm, client = self.role(), self.connection(), self.client()
            self.rule(), self.hook(), self.api(), self.grant()
            admin.ask("POST", f"{bob}/roles", {"roles": [role]})
            admin.ask("POST", f"{bob}/authentication-methods", {"type": "totp", "name": f"app {number}"})
            admin.post(f"/roles/{self.role_id}/users", {"users": [self.user()]}, 200)
            members = [{"client_id": client, "status": True}]
            assert admin.ask("PATCH", f"/connections/{cast.staff.id}/clients", members).status_code == 204
            admin.ask("PATCH", f"/connections/{realm}/clients", [{"client_id": "app", "status": True}])
        both = {
            "permissions": [
                PERMISSIONS["permissions"][0],
                PERMISSIONS["permissions"][0] | {"permission_name": "write:things"},
            ]
        }
        admin.post(f"/roles/{self.role_id}/permissions", both)
        admin.post(f"{bob}/permissions", both)

    def call(self, path: str) -> tuple[str, dict[str, Any]]:
        """The list's address and what it must be asked with."""
        ids = {
            "/roles/{id}/permissions": self.role_id,
            "/roles/{id}/users": self.role_id,
            "/connections/{id}/clients": self.cast.staff.id,
            "/clients/{id}/connections": "app",
        }
        one = quote(ids.get(path, self.user_id), safe="")
        query = {"user_id": self.user_id} if path in ("/refresh-tokens", "/device-credentials") else {}
        return path.replace("{id}", one).replace("{user_id}", one), query


def test_the_table_of_lists_is_whole() -> None:
    empty = {o.path for o in OPERATIONS if o.handle.__doc__ == "Nothing of this kind is here"}
    assert {o.path for o in lists()} - empty == set(KEYS)


@pytest.fixture
def crowd(admin: Admin, wire: Wire, cast: Cast) -> Crowd:
    return Crowd(admin, wire, cast)


def test_every_list_has_pages_by_number(admin: Admin, crowd: Crowd) -> None:
    tried = 0
    for operation in lists():
        if not has(operation, "page"):
            continue
        path, query = crowd.call(operation.path)
        if "/logs" in path:
            query["sort"] = "date:1"
        whole = admin.get(path, **query)
        assert isinstance(whole, list), path
        pages = [admin.get(path, **query, page=number, per_page=1) for number in range(len(whole[:4]))]
        assert [one for page in pages for one in page] == whole[:4], path
        totals = admin.get(path, **query, include_totals="true")
        key = KEYS.get(operation.path)
        assert totals["start"] == 0 and totals["limit"] == (100 if path == "/connections" else 50), path
        assert len(totals) == 4 + (operation.path in HAS_LENGTH) and totals["total"] >= len(whole), path
        if key is not None:
            assert totals[key] == whole and len(whole) > 1, path
        past = admin.get(path, **query, include_totals="true", page=99, per_page=10)
        assert (past["start"], past["limit"]) == (990, 10) and [] in past.values(), path
        for wrong in ({"per_page": 101}, {"page": -1}, {"page": "x"}, {"include_totals": "perhaps"}):
            answer = admin.ask("GET", path, **(query | wrong))
            refused(answer, 400, "invalid_query_string")
            enveloped(answer)
        tried += 1
    assert tried > 20


def test_every_list_that_has_checkpoints_is_walked_by_them(admin: Admin, crowd: Crowd) -> None:
    tried = 0
    for operation in lists():
        if not has(operation, "take") or "/logs" in operation.path:
            continue
        path, query = crowd.call(operation.path)
        whole = admin.get(path, **query, take=50)
        key = KEYS.get(operation.path) or next(iter(whole))
        assert set(whole) == {key} and isinstance(whole[key], list), path
        behind: dict[str, str] = {}
        found: list[Any] = []
        for _ in range(200):
            page = admin.get(path, **query, take=1, include_totals="true", **behind)
            assert set(page) <= {key, "next"} and len(page[key]) <= 1, path
            found += page[key]
            if "next" not in page:
                break
            behind = {"from": page["next"]}
        assert found == whole[key], path
        most = 1000 if operation.path == "/connections/{id}/clients" else 100
        assert admin.ask("GET", path, **query, take=most).status_code == 200
        for wrong in (0, most + 1, "x"):
            answer = admin.ask("GET", path, **query, take=wrong)
            refused(answer, 400, "invalid_query_string")
        assert admin.ask("GET", path, **query, take=2, **{"from": "nothing of the kind"}).status_code in (
            200,
            400,
        )
        tried += 1
    assert tried > 10


def test_logs_by_checkpoint_are_a_bare_list_that_goes_forward(admin: Admin, crowd: Crowd) -> None:
    first = admin.get("/logs", sort="date:1", per_page=1)[0]
    seen, start = [], first["log_id"]
    while True:
        answer = admin.ask("GET", "/logs", take=7, include_totals="true", page=3, **{"from": start})
        page = answer.json
        assert isinstance(page, list), answer.text
        last = page[-1]["log_id"] if page else start
        assert f"from={last}&take=7" in answer.headers["Link"] and 'rel="next"' in answer.headers["Link"]
        if not page:
            break
        seen += [event["log_id"] for event in page]
        start = last
    assert seen == sorted(seen) and len(set(seen)) == len(seen) > 20


def test_rules_configs_and_the_like_never_page(admin: Admin) -> None:
    for path in (
        "/rules-configs",
        "/guardian/factors",
        "/guardian/policies",
        "/custom-domains",
        "/log-streams",
        "/keys/signing",
    ):
        assert isinstance(admin.get(path, include_totals="true", per_page=50, page=0), list), path


def shown(admin: Admin, operation: Operation, path: str, query: dict[str, Any]) -> list[dict[str, Any]]:
    """What is asked for, as a list."""
    answer = admin.get(path, **query)
    key = KEYS.get(operation.path, "")
    if isinstance(answer, dict) and key in answer:
        answer = answer[key]
    return answer if isinstance(answer, list) else [answer]


def test_members_are_chosen_wherever_that_is_said(admin: Admin, crowd: Crowd) -> None:
    crowd.mail(is_there=True)
    ids = {
        "/users/{id}": crowd.user_id,
        "/rules/{id}": crowd.rule(),
        "/hooks/{id}": crowd.hook(),
        "/connections/{id}": crowd.cast.staff.id,
        "/clients/{id}": "app",
    }
    names = {
        "/tenants/settings": "friendly_name",
        "/users": "email",
        "/users/{id}": "email",
        "/users-by-email": "email",
        "/logs": "type",
        "/users/{id}/logs": "type",
    }
    tried = 0
    for operation in OPERATIONS:
        if operation.method != "GET" or not has(operation, "fields"):
            continue
        path, query = crowd.call(operation.path)
        if operation.path in ids:
            path = operation.path.replace("{id}", quote(ids[operation.path], safe=""))
        if operation.path == "/users-by-email":
            query = {"email": "bob@example.com"}

        everything = [{}] if path == "/emails/provider" else shown(admin, operation, path, query)
        name = names.get(operation.path) or next(
            (n for n in ("name", "client_id") if n in everything[0]), "name"
        )
        assert everything, path
        but = {"fields": name, "include_fields": "false"}
        assert all(set(one) == {name} for one in shown(admin, operation, path, query | {"fields": name})), (
            path
        )
        assert all(name not in one for one in shown(admin, operation, path, query | but)), path
        answer = admin.ask("GET", path, **query, fields="password_hash")
        refused(answer, 400, "invalid_query_string")
        tried += 1
    assert tried == 18


# --- what tools send along -----------------------------------------------------------------------------------------


def address(operation: Operation) -> str:
    return BASE + operation.path.replace("{", "nothing-").replace("}", "")


TOLD = {
    "Auth0-Client": "eyJuYW1lIjoieCJ9",
    "Auth0-Custom-Domain": "login.example.com",
    "X-Auth0-Deploy-Mode": "dry-run",
}


def asked(admin: Admin, operation: Operation, **more: Any) -> tuple[int, Any]:
    """Status and code of the answer, with all the headers of tools where a body is sent."""
    headers = bearer(admin.token) | (TOLD if more else {})
    answer = admin.wire.client.open(address(operation), method=operation.method, headers=headers, **more)
    return answer.status_code, answer.json.get("errorCode") if isinstance(answer.json, dict) else None


@ON_ONE
def test_bodies_and_headers_that_nobody_asked_for_change_no_answer(admin: Admin, wire: Wire) -> None:
    for operation in OPERATIONS:
        if operation.body is not None or operation.method == "POST":
            continue

        plain = asked(admin, operation)
        for body in (b"null", b"{}", b'["a"]', b"not JSON"):
            more = asked(admin, operation, data=body, content_type="application/json")
            assert more == plain, (
                named(operation),
                body,
            )
        assert asked(admin, operation, data={"a": "b"}) == plain


@ON_ONE
def test_head_answers_as_get_and_options_names_the_methods(admin: Admin, wire: Wire) -> None:
    for path in sorted({address(operation) for operation in OPERATIONS}):
        answer = wire.client.options(path)
        allowed = set(answer.headers["Allow"].split(", "))
        assert (
            answer.status_code == 200 and "OPTIONS" in allowed and ("GET" in allowed) == ("HEAD" in allowed)
        )
        if "GET" in allowed:
            head, get = (
                wire.client.open(path, method=method, headers=bearer(admin.token))
                for method in ("HEAD", "GET")
            )
            assert (head.status_code, head.data) == (get.status_code, b""), path
            assert head.content_type == get.content_type
        assert wire.client.head(path).status_code == (401 if "HEAD" in allowed else 405), path
        for unknown in sorted({"PUT", "PATCH", "DELETE", "POST"} - allowed)[:1]:
            answer = wire.client.open(path, method=unknown, headers=bearer(admin.token))
            refused(answer, 405, "no_such_method")
            enveloped(answer)


# --- refusals ------------------------------------------------------------------------------------------------------


@ON_ONE
def test_every_refusal_of_every_operation_has_the_envelope(admin: Admin, wire: Wire) -> None:
    seen: dict[int, int] = {}
    for operation in OPERATIONS:
        for headers, body in (
            ({}, None),
            ({"Authorization": "Token abc"}, None),
            ({"Authorization": "Bearer a.b.c"}, None),
            (bearer(admin.token), {"no": "such member"}),
            (bearer(admin.token), [None]),
            (bearer(admin.token), None),
        ):
            answer = wire.client.open(address(operation), method=operation.method, json=body, headers=headers)
            if answer.status_code >= 400:
                enveloped(answer)
                seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
    assert {400, 401, 404} <= set(seen)


def test_what_is_there_already_is_a_conflict_in_the_envelope(admin: Admin, wire: Wire, cast: Cast) -> None:
    world, conflicts = World(admin, wire, cast), set()
    for name, prepare in CALLS.items():
        if name.startswith("POST") and not name.startswith("POST /keys"):
            request = prepare(world)
            assert send(admin, name, request).status_code < 300
            answer = send(admin, name, request)
            if answer.status_code >= 400:
                enveloped(answer)
                refused(answer, answer.status_code, (answer.json or {})["errorCode"])
                conflicts |= {(answer.status_code, name)}
    wanted = (
        "/users /users/{id}/authentication-methods /roles /rules /hooks /hooks/{id}/secrets /connections"
        " /resource-servers /client-grants /emails/provider /email-templates /actions/actions"
    )
    assert {(409, f"POST {path}") for path in wanted.split()} <= conflicts


@ON_ONE
def test_too_many_requests_are_told_when_to_come_again(
    wire: Wire, cast: Cast, admin: Admin, clock: FrozenDateTimeFactory
) -> None:
    settings = wire.server.settings.model_copy(update={"api_requests_per_second": 1})
    slow = Wire(replace(wire.server, settings=settings))
    for operation in OPERATIONS:
        clock.tick(2)
        first, second = (
            slow.client.open(address(operation), method=operation.method, headers=bearer(admin.token))
            for _ in range(2)
        )
        left = [answer.headers["X-RateLimit-Remaining"] for answer in (first, second)]
        assert (first.headers["X-RateLimit-Limit"], left) == ("1", ["0", "0"]), named(operation)
        refused(second, 429, "too_many_requests", "Global limit has been reached")
        enveloped(second)
        assert second.headers["Retry-After"] == "1" and int(second.headers["X-RateLimit-Reset"]) > 10**9


# --- ids in the address --------------------------------------------------------------------------------------------


@ON_ONE
def test_ids_may_be_encoded_in_any_way(admin: Admin, wire: Wire, cast: Cast) -> None:
    bob = f"auth0|{cast.bob.id.partition('|')[2]}"
    for written in (
        bob,
        bob.replace("|", "%7C"),
        bob.replace("|", "%7c"),
        "".join(f"%{ord(c):02X}" for c in bob),
    ):
        for operation in OPERATIONS:
            if operation.method == "GET" and operation.path.startswith("/users/{"):
                path = operation.path.replace("{id}", written).replace("{user_id}", written)
                answer = admin.ask("GET", path.replace("{authentication_method_id}", "totp%7Cdev_x"))
                assert answer.status_code == 200 or "dev_x" in path or "{" in operation.path[8:], path
    identifier = admin.post("/resource-servers", {"identifier": "https://orders.example.com/v1/a?b=ä#d"})[
        "identifier"
    ]
    for written in (quote(identifier, safe=""), quote(identifier, safe=":"), quote(identifier, safe="/:")):
        assert admin.get(f"/resource-servers/{written}")["identifier"] == identifier, written
    assert (
        admin.patch(f"/resource-servers/{quote(identifier, safe='')}", {"name": "Orders"})["name"] == "Orders"
    )


@ON_ONE
@pytest.mark.parametrize(
    "strange",
    [
        "a%2Fb",
        "..%2F..%2Fusers",
        "%00",
        "%FF%FE",
        "%ED%A0%80",
        "a%0d%0ab",
        "%25%37%43",
        "x" * 3000,
        "%F0%9F%98%80",
    ],
)
def test_no_id_gets_an_answer_that_is_not_described(admin: Admin, wire: Wire, strange: str) -> None:
    for operation in OPERATIONS:
        if "{" in operation.path:
            path = BASE + "/".join(
                strange if part.startswith("{") else part for part in operation.path.split("/")
            )
            answer = wire.client.open(path, method=operation.method, headers=bearer(admin.token))
            assert answer.status_code < 500, (operation.method, path[:100], answer.text)
            if answer.status_code >= 400:
                enveloped(answer)
