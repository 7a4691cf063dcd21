"""What holds for every operation of the management API, walked from its own description."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from freezegun.api import FrozenDateTimeFactory
from werkzeug.test import TestResponse

from app.accounts.setup import MANAGEMENT_SCOPES
from app.store import clients
from app.web.management import OPERATIONS
from app.web.management.operation import BASE, Operation
from tests import making
from tests.evidence import report
from tests.making import API, APP_SECRET, Cast
from tests.management.conftest import Admin, refused, token_for
from tests.wire import PASSWORD_REALM, Wire, bearer

NOT_OURS = ("supplemental-signals", "rate-limit-policies", "connections-directory", "connections-scim")


def address(operation: Operation) -> str:
    return BASE + re.sub(r"\{(\w+)\}", "nothing-of-that-name", operation.path)


def ask(wire: Wire, operation: Operation, token: str | None, body: Any = None) -> TestResponse:
    return wire.client.open(address(operation), method=operation.method, json=body, headers=bearer(token))


def documented(wire: Wire) -> Iterator[tuple[Operation, set[int]]]:
    paths = wire.ok(wire.get("/openapi.json"))["paths"]
    for operation in OPERATIONS:
        responses = paths[BASE + operation.path][operation.method.lower()]["responses"]
        yield operation, {int(status) for status in responses}


def tokens_of_another_realm(wire: Wire) -> list[str]:
    """All that somebody there gets: for an API, for the own factors, for userinfo, and the ID token."""
    realm = making.make_realm(wire.server, "elsewhere", "never")
    making.make_client(wire.server, "there", secret=APP_SECRET, realm_names=("elsewhere",))
    making.make_user(wire.server, realm, "dave@example.com")
    found = []
    for audience in (API, "", f"{wire.server.settings.issuer}mfa/"):
        members = {
            "grant_type": PASSWORD_REALM,
            "realm": "elsewhere",
            "client_id": "there",
            "scope": "openid",
        }
        answer = wire.ok(wire.password("dave@example.com", audience=audience, **members))
        found += [answer["access_token"], *([answer["id_token"]] if "id_token" in answer else [])]
    return found


def of_another_server(token: str) -> str:
    """The same claims under the same key id, by a key that is not ours."""
    claims = jwt.decode(token, options={"verify_signature": False})
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return jwt.encode(claims, key, "RS256", headers=jwt.get_unverified_header(token))


def test_every_operation_with_every_kind_of_token(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    """No token, another's, one that ran out, one for another API, another realm's, and the right one."""
    right = token_for(wire, client_id="everything")
    making.grant_scopes(wire.server, "app", API, "read:things")
    for_other_api = wire.ok(wire.token(grant_type="client_credentials", audience=API))["access_token"]
    persons = wire.ok(wire.password("bob@example.com"))["access_token"]
    foreign = [*tokens_of_another_realm(wire), of_another_server(right)]
    tried = 0
    for operation, statuses in documented(wire):
        for token, status, message in (
            (None, 401, "Missing authentication"),
            ("rubbish", 401, "Invalid token"),
            (f"{right[:-8]}AAAAAAAA", 401, "Invalid signature received for JSON Web Token validation"),
            (for_other_api, 401, f"Bad audience: {API}"),
            (persons, 401, None),
            *((token, 401, None) for token in foreign),
        ):
            answer = ask(wire, operation, token)
            refused(answer, status, None, message)
            assert answer.json is not None and answer.json["attributes"]["error"] == answer.json["message"]
            tried += 1
        answer = ask(wire, operation, right)
        tried += 1
        assert answer.status_code in statuses, (operation.name, answer.text)
        if not operation.path.strip("/").startswith(NOT_OURS):
            assert answer.status_code not in (401, 403), (operation.name, answer.text)
        assert {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} <= set(
            answer.headers.keys()
        )
    clock.tick(timedelta(days=2))
    for operation, _ in documented(wire):
        refused(
            ask(wire, operation, right), 401, None, "Expired token received for JSON Web Token validation"
        )
        tried += 1
    report("every operation x every kind of token", tried=f"{tried} requests", held="documented answers only")


def test_every_operation_needs_one_of_its_scopes(wire: Wire, cast: Cast) -> None:
    for number, operation in enumerate(OPERATIONS):
        others = [scope for scope in MANAGEMENT_SCOPES if scope not in operation.scopes]
        token = token_for(wire, *others, client_id=f"narrow{number}")
        answer = ask(wire, operation, token)
        message = f"Insufficient scope, expected any of: {','.join(operation.scopes)}"
        refused(answer, 403, "insufficient_scope", message)
        if operation.needs_all:
            token = token_for(wire, *others, operation.scopes[0], client_id=f"half{number}")
            refused(ask(wire, operation, token), 403, "insufficient_scope", message)


def test_a_grant_that_was_narrowed_narrows_tokens_that_are_out(wire: Wire, cast: Cast) -> None:
    token = token_for(wire, "read:users", "read:roles")
    assert wire.get(f"{BASE}/users", token).status_code == 200
    making.grant_scopes(wire.server, "admin", f"{wire.server.settings.issuer}api/v2/", "read:roles")
    refused(wire.get(f"{BASE}/users", token), 403, "insufficient_scope")
    assert wire.get(f"{BASE}/roles", token).status_code == 200


@pytest.mark.parametrize("change", [{"is_enabled": False}, None])
def test_a_client_that_is_gone_manages_nothing(wire: Wire, cast: Cast, change: dict[str, Any] | None) -> None:
    token = token_for(wire)
    with wire.server.db.write() as conn:
        if change is None:
            clients.remove_client(conn, "admin")
        else:
            clients.update_client(conn, "admin", **change)
    refused(wire.get(f"{BASE}/users", token), 401, None)


def test_every_change_that_is_refused_leaves_an_event_that_names_who_asked_for_what(
    wire: Wire, admin: Admin
) -> None:
    for operation in OPERATIONS:
        if operation.method == "GET":
            continue
        known = len(list(wire.events()))
        answer = ask(wire, operation, admin.token, {"no": "such member"})
        added = list(wire.events())[known:]
        if answer.status_code >= 400:
            [event] = added
            assert (event.type, event.client_id) == ("fapi", "admin"), operation.name
        else:
            assert all(event.client_id == "admin" for event in added), operation.name


BYTES = (
    "[]",
    "{",
    "null",
    '"text"',
    "1",
    '{"a": {"b": ' + "[" * 3000,
    '{"name": "a", "name": "b"}',
    '{"name": "\\u0000"}',
    '{"name": "\\ud800"}',
    "\xff\xfe",
    '{"a": NaN}',
)


@pytest.mark.parametrize("body", BYTES)
def test_any_bytes_get_a_documented_answer(wire: Wire, admin: Admin, body: str) -> None:
    for operation, statuses in documented(wire):
        answer = wire.client.open(
            address(operation),
            method=operation.method,
            data=body.encode("latin-1"),
            content_type="application/json",
            headers=bearer(admin.token),
        )
        assert answer.status_code in statuses, (operation.name, answer.text)
        if answer.status_code >= 400:
            assert answer.json is not None and answer.json["statusCode"] == answer.status_code


def test_unknown_paths_and_methods_answer_in_the_envelope(wire: Wire, admin: Admin) -> None:
    refused(wire.client.get(f"{BASE}/nothing", headers=bearer(admin.token)), 404, "no_such_path")
    refused(wire.client.put(f"{BASE}/users", headers=bearer(admin.token)), 405, "no_such_method")
    answer = wire.client.get(f"{BASE}/users", headers={"Authorization": "Token abc"})
    refused(answer, 400, None, "Bad HTTP authentication header format")


def test_what_tools_send_along_is_tolerated(wire: Wire, admin: Admin, cast: Cast) -> None:
    headers = bearer(admin.token) | {"Auth0-Client": "e30=", "X-Auth0-Deploy-Mode": "dry-run"}
    answer = wire.client.open(
        f"{BASE}/roles?type=tenant",
        method="GET",
        data=b"null",
        content_type="application/json",
        headers=headers,
    )
    assert answer.status_code == 200
    answer = wire.client.open(f"{BASE}/users/{cast.bob.id}", method="DELETE", json={}, headers=headers)
    assert answer.status_code == 204
