"""`/connections`: realms as tools administer them."""

from typing import Any

import pytest

from tests.making import Cast
from tests.management.conftest import Admin, refused
from tests.wire import Wire


def test_a_connection_made_with_a_name_alone_has_what_terraform_compares(admin: Admin) -> None:
    made = admin.post("/connections", {"name": "partners", "strategy": "auth0"})
    options = made["options"]
    assert options["mfa"] == {"active": True, "return_enroll_settings": True}
    assert options["passwordPolicy"] == "good" and options["strategy_version"] == 2
    assert {"authentication_methods", "passkey_options", "brute_force_protection"} <= set(options)
    assert made["realms"] == ["partners"] and made["enabled_clients"] == []
    assert made["is_domain_connection"] is False
    assert made["authentication"] == {"active": True} and made["connected_accounts"] == {"active": False}
    assert admin.get(f"/connections/{made['id']}") == made
    assert admin.patch(f"/connections/{made['id']}", {"options": options, "metadata": {}}) == made


def test_options_are_replaced_as_a_whole(admin: Admin) -> None:
    options: dict[str, Any] = {"password_history": {"enable": True, "size": 3}, "disable_signup": True}
    made = admin.post("/connections", {"name": "partners", "strategy": "auth0", "options": options})
    assert made["options"]["disable_signup"] is True and made["options"]["passwordPolicy"] == "good"
    changed = admin.patch(f"/connections/{made['id']}", {"options": {"passwordPolicy": "low"}})
    assert set(changed["options"]) == {"passwordPolicy", "authentication_methods", "passkey_options"}


def test_a_login_asks_for_a_connection_by_any_of_its_realms(admin: Admin, wire: Wire, cast: Cast) -> None:
    body = {
        "name": "partners",
        "strategy": "auth0",
        "realms": ["friends", "family"],
        "enabled_clients": ["app"],
    }
    made = admin.post("/connections", body)
    admin.post("/users", {"connection": "partners", "email": "p@example.com", "password": "A long passw0rd"})
    for realm in ("friends", "family"):
        wire.ok(wire.password("p@example.com", "A long passw0rd", realm=realm))
    assert wire.password("p@example.com", "A long passw0rd", realm="partners").status_code == 400
    taken = admin.ask("PATCH", f"/connections/{made['id']}", {"realms": ["staff"]})
    refused(taken, 409, "connection_conflict")
    again = admin.ask("POST", "/connections", {"name": "partners", "strategy": "auth0"})
    refused(again, 409, "connection_conflict", "A connection with the same name already exists")


def test_both_generations_of_enabled_clients_show_the_same(admin: Admin, cast: Cast) -> None:
    path = f"/connections/{cast.staff.id}"
    admin.ask("PATCH", f"{path}/clients", [{"client_id": "app", "status": False}])
    assert "app" not in admin.get(path)["enabled_clients"]
    admin.patch(path, {"enabled_clients": ["app"]})
    assert admin.get(f"{path}/clients") == {"clients": [{"client_id": "app"}]}
    unknown = admin.ask("PATCH", f"{path}/clients", [{"client_id": "nobody", "status": True}])
    refused(unknown, 404, "inexistent_client")
    refused(admin.ask("PATCH", path, {"enabled_clients": ["nobody"]}), 400, "invalid_body")


def test_a_client_that_lost_the_connection_is_refused_at_once(admin: Admin, wire: Wire, cast: Cast) -> None:
    token = wire.ok(wire.password("bob@example.com", scope="openid offline_access"))
    admin.ask("PATCH", f"/connections/{cast.staff.id}/clients", [{"client_id": "app", "status": False}])
    assert wire.password("bob@example.com").status_code == 400
    assert wire.refresh(token["refresh_token"]).status_code == 403
    assert wire.get("/userinfo", token["access_token"]).status_code == 401


@pytest.mark.parametrize(
    "change",
    [
        {"authentication": {"active": False}},
        {"options": {"authentication_methods": {"password": {"enabled": False}}}},
    ],
)
def test_a_connection_without_passwords_lets_nobody_in(
    admin: Admin, wire: Wire, cast: Cast, change: dict[str, Any]
) -> None:
    admin.patch(f"/connections/{cast.staff.id}", change)
    assert wire.password("bob@example.com").status_code == 400


def test_the_connections_own_switch_waives_the_second_factor(admin: Admin, wire: Wire, cast: Cast) -> None:
    assert wire.password("alice@example.com").status_code == 403
    admin.patch(f"/connections/{cast.staff.id}", {"options": {"mfa": {"active": False}}})
    wire.ok(wire.password("alice@example.com"))


def test_a_deleted_connection_takes_its_people_along(admin: Admin, wire: Wire, cast: Cast) -> None:
    token = wire.ok(wire.password("bob@example.com", scope="openid offline_access"))
    assert set(admin.delete(f"/connections/{cast.staff.id}", 202)) == {"deleted_at"}
    assert wire.refresh(token["refresh_token"]).status_code == 403
    refused(admin.ask("GET", f"/users/{cast.bob.id}"), 404, "inexistent_user")
    refused(admin.ask("GET", f"/connections/{cast.staff.id}"), 404, "inexistent_connection")
    assert admin.ask("DELETE", f"/connections/{cast.staff.id}").status_code == 204


def test_lists_choose_by_name_and_page_both_ways(admin: Admin, cast: Cast) -> None:
    assert {c["name"] for c in admin.get("/connections")} == {"staff", "guests"}
    assert [c["name"] for c in admin.get("/connections", name="guests", strategy="auth0")] == ["guests"]
    assert admin.get("/connections", strategy="samlp") == []
    first = admin.get("/connections", take=1, include_totals="true")
    assert set(first) == {"connections", "next"}
    second = admin.get("/connections", **{"take": 1, "from": first["next"]})
    assert set(second) == {"connections"}
    assert {first["connections"][0]["id"], second["connections"][0]["id"]} == {cast.staff.id, cast.guests.id}


def test_one_person_of_a_connection_is_removed_by_address(admin: Admin, cast: Cast) -> None:
    admin.delete(f"/connections/{cast.guests.id}/users", email="alice@example.com")
    refused(admin.ask("GET", f"/users/{cast.carol.id}"), 404, "inexistent_user")
    assert admin.get(f"/users/{cast.alice.id}")["user_id"] == cast.alice.id


@pytest.mark.parametrize(
    "options",
    [
        {"mfa": "off"},
        {"mfa": {"active": "no"}},
        {"passwordPolicy": "strong"},
        {"brute_force_protection": "yes"},
        {"password_history": {"enable": True, "size": "many"}},
    ],
)
def test_options_that_logins_depend_on_must_make_sense(
    admin: Admin, cast: Cast, options: dict[str, Any]
) -> None:
    answer = admin.ask("PATCH", f"/connections/{cast.staff.id}", {"options": options})
    refused(answer, 400, "invalid_body")
