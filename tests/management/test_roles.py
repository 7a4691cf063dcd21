"""Roles and permissions, and what they make of tokens."""

from typing import Any

import jwt
import pytest

from tests.making import API, Cast
from tests.management.conftest import Admin, refused
from tests.wire import Wire

READ = {"resource_server_identifier": API, "permission_name": "read:things"}
WRITE = {"resource_server_identifier": API, "permission_name": "write:things"}


def claims(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


@pytest.fixture
def reader(admin: Admin) -> dict[str, Any]:
    role = admin.post("/roles", {"name": "reader", "description": "May read"}, 200)
    assert admin.post(f"/roles/{role['id']}/permissions", {"permissions": [READ]}) == {}
    return dict(role)


def test_a_role_is_made_listed_changed_and_removed(admin: Admin, reader: dict[str, Any]) -> None:
    assert reader == {"id": reader["id"], "name": "reader", "description": "May read", "type": "tenant"}
    assert reader["id"].startswith("rol_") and len(reader["id"]) == 20
    refused(admin.ask("POST", "/roles", {"name": "reader"}), 409, "role_conflict")
    admin.post("/roles", {"name": "writer"}, 200)
    assert [role["name"] for role in admin.get("/roles", name_filter="READ")] == ["reader"]
    page = admin.get("/roles", include_totals="true", per_page=1)
    assert (page["total"], len(page["roles"]), page["limit"]) == (2, 1, 1) and "length" not in page
    assert admin.patch(f"/roles/{reader['id']}", {"description": "Reads"})["description"] == "Reads"
    assert admin.delete(f"/roles/{reader['id']}", 200) == {}
    refused(admin.ask("GET", f"/roles/{reader['id']}"), 404, "inexistent_role")


def test_permissions_come_directly_and_by_roles(admin: Admin, reader: dict[str, Any], cast: Cast) -> None:
    bob = f"/users/{cast.bob.id}"
    assert admin.ask("POST", f"{bob}/roles", {"roles": [reader["id"]]}).status_code == 204
    assert admin.post(f"{bob}/permissions", {"permissions": [READ, WRITE]}) == {}
    found = {each["permission_name"]: each["sources"] for each in admin.get(f"{bob}/permissions")}
    assert {source["source_type"] for source in found["read:things"]} == {"ROLE", "DIRECT"}
    assert [source["source_type"] for source in found["write:things"]] == ["DIRECT"]
    assert [role["id"] for role in admin.get(f"{bob}/roles")] == [reader["id"]]
    assert [user["user_id"] for user in admin.get(f"/roles/{reader['id']}/users")] == [cast.bob.id]
    admin.delete(f"{bob}/permissions", body={"permissions": [READ, WRITE]})
    admin.delete(f"{bob}/roles", body={"roles": [reader["id"]]})
    assert admin.get(f"{bob}/permissions") == [] and admin.get(f"{bob}/roles") == []


def test_what_does_not_exist_cannot_be_given(admin: Admin, reader: dict[str, Any], cast: Cast) -> None:
    bob = f"/users/{cast.bob.id}"
    refused(admin.ask("POST", f"{bob}/roles", {"roles": ["rol_0000000000000000"]}), 404, "inexistent_role")
    unknown = {"resource_server_identifier": "https://nowhere", "permission_name": "x"}
    answer = admin.ask("POST", f"{bob}/permissions", {"permissions": [unknown]})
    refused(answer, 404, "inexistent_resource_server")
    answer = admin.ask("POST", f"{bob}/permissions", {"permissions": [READ | {"permission_name": "x"}]})
    refused(answer, 400, "invalid_body")
    refused(admin.ask("POST", f"{bob}/permissions", {"permissions": []}), 400, "invalid_body")
    assert admin.get(f"{bob}/permissions") == []


def test_an_api_that_enforces_policies_gives_what_was_granted(
    admin: Admin, wire: Wire, reader: dict[str, Any], cast: Cast
) -> None:
    asked = {"audience": API, "scope": "openid offline_access read:things write:things"}
    wire_path = f"/resource-servers/{API}".replace("https://", "https%3A%2F%2F")
    admin.patch(wire_path, {"enforce_policies": True, "token_dialect": "access_token_authz"})
    nothing = claims(wire.ok(wire.password("bob@example.com", **asked))["access_token"])
    assert nothing["scope"] == "openid offline_access" and nothing["permissions"] == []
    admin.ask("POST", f"/users/{cast.bob.id}/roles", {"roles": [reader["id"]]})
    tokens = wire.ok(wire.password("bob@example.com", **asked))
    found = claims(tokens["access_token"])
    assert found["scope"] == "openid offline_access read:things" and found["permissions"] == ["read:things"]
    admin.delete(f"/users/{cast.bob.id}/roles", body={"roles": [reader["id"]]})
    refreshed = claims(wire.ok(wire.refresh(tokens["refresh_token"]))["access_token"])
    assert refreshed["scope"] == "openid offline_access" and refreshed["permissions"] == []


def test_a_dialect_with_permissions_needs_policies(admin: Admin) -> None:
    body = {"identifier": "https://other", "token_dialect": "access_token_authz"}
    refused(admin.ask("POST", "/resource-servers", body), 400, "invalid_body")
