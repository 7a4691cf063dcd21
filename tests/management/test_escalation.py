"""What a narrow scope, a stranger or somebody in between must not reach."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from app.context import Server
from tests import making
from tests.making import API, Cast
from tests.management.conftest import Admin, refused, token_for
from tests.wire import FULL, Wire

NARROW = Callable[..., Admin]
READ = {"resource_server_identifier": API, "permission_name": "read:things"}


@pytest.mark.parametrize("audience", ["http://[", "//[", "https://a]b/", "http://\u2100.com", "::", "\x7f"])
def test_an_audience_that_is_no_address_is_unknown(wire: Wire, cast: Cast, audience: str) -> None:
    answer = wire.password("bob@example.com", audience=audience)
    assert answer.status_code == 403 and answer.json is not None and answer.json["error"] == "access_denied"


def test_a_default_audience_must_be_an_api(admin: Admin) -> None:
    for audience in ("http://[", "https://nowhere", f"{admin.wire.server.settings.issuer}api/v2/"):
        refused(admin.ask("PATCH", "/tenants/settings", {"default_audience": audience}), 400, "invalid_body")
    assert admin.patch("/tenants/settings", {"default_audience": API})["default_audience"] == API


def test_app_metadata_alone_sets_no_password_and_blocks_nobody(
    with_scopes: NARROW, wire: Wire, cast: Cast
) -> None:
    narrow, bob = with_scopes("update:users_app_metadata"), f"/users/{cast.bob.id}"
    for body in ({"password": "Another passw0rd"}, {"blocked": True}, {"email": "x@example.com"}):
        refused(narrow.ask("PATCH", bob, body), 403, "insufficient_scope")
    assert narrow.patch(bob, {"app_metadata": {"plan": "gold"}})["app_metadata"] == {"plan": "gold"}
    wire.ok(wire.password("bob@example.com"))


def test_what_a_client_proves_itself_with_needs_a_scope_of_its_own(
    admin: Admin, with_scopes: NARROW, cast: Cast
) -> None:
    plain = with_scopes("update:clients")
    bodies: tuple[dict[str, Any], ...] = (
        {"token_endpoint_auth_method": "none"},
        {"client_authentication_methods": {"private_key_jwt": {"credentials": []}}},
    )
    for body in bodies:
        refused(plain.ask("PATCH", "/clients/app", body), 403, "insufficient_scope")
    assert plain.patch("/clients/app", {"name": "renamed"})["name"] == "renamed"


def test_keys_alone_do_not_change_what_a_client_may_do(with_scopes: NARROW, cast: Cast) -> None:
    narrow = with_scopes("update:client_keys")
    refused(narrow.ask("PATCH", "/clients/app", {"grant_types": []}), 403, "insufficient_scope")


def test_the_global_client_stays_what_it_is(admin: Admin) -> None:
    found = admin.get("/clients", is_global="true")[0]["client_id"]
    for method, path, body in (
        ("PATCH", f"/clients/{found}", {"grant_types": ["client_credentials"]}),
        ("POST", f"/clients/{found}/rotate-secret", None),
        ("POST", "/client-grants", {"client_id": found, "audience": API, "scope": []}),
        ("DELETE", f"/clients/{found}", None),
    ):
        assert admin.ask(method, path, body).status_code == 400, path


def test_factors_replaced_by_an_administrator_leave_a_trace(admin: Admin, wire: Wire, cast: Cast) -> None:
    tokens = wire.login(cast.alice_totp, **FULL)
    before = len(wire.events())
    assert admin.put(f"/users/{cast.alice.id}/authentication-methods", []) == []
    assert "gd_unenroll" in [event.type for event in wire.events()[before:]]
    assert wire.refresh(tokens["refresh_token"]).status_code == 403


def test_a_scope_that_an_api_lost_is_nobodys(admin: Admin, wire: Wire, cast: Cast) -> None:
    api = "/resource-servers/https%3A%2F%2Fapi.example.com"
    admin.patch(api, {"enforce_policies": True, "token_dialect": "access_token_authz"})
    admin.post(f"/users/{cast.bob.id}/permissions", {"permissions": [READ]})
    making.grant_scopes(wire.server, "app", API, "read:things")
    tokens = wire.ok(wire.password("bob@example.com", **FULL))
    admin.patch(api, {"scopes": [{"value": "write:things"}]})
    assert admin.get(f"/users/{cast.bob.id}/permissions") == []
    for answer in (
        wire.refresh(tokens["refresh_token"]),
        wire.password("bob@example.com", audience=API, scope="openid read:things"),
    ):
        assert "read:things" not in str(wire.ok(answer).get("scope"))
    answer = wire.token(grant_type="client_credentials", audience=API, scope="read:things")
    assert answer.status_code == 403


def test_a_user_id_that_is_given_again_opens_nothing_old(
    admin: Admin, wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    admin.token = token_for(wire, client_id="in time")
    body = {
        "connection": "staff",
        "email": "eve@example.com",
        "password": "A long passw0rd",
        "user_id": "eve",
    }
    admin.post("/users", body)
    old = wire.ok(wire.password("eve@example.com", "A long passw0rd", **FULL))["access_token"]
    clock.tick(5)
    admin.delete("/users/auth0%7Ceve")
    admin.post("/users", body)
    assert wire.get("/userinfo", old).status_code == 401


def test_ended_refresh_tokens_end_their_access_tokens(admin: Admin, wire: Wire, cast: Cast) -> None:
    token = wire.ok(wire.password("bob@example.com", scope="openid offline_access"))["access_token"]
    assert wire.get("/userinfo", token).status_code == 200
    assert admin.ask("DELETE", f"/users/{cast.bob.id}/refresh-tokens").status_code == 202
    assert wire.get("/userinfo", token).status_code == 401


def test_a_stranger_voids_no_link_of_an_administrator(admin: Admin, wire: Wire, cast: Cast) -> None:
    made = admin.post("/tickets/password-change", {"user_id": cast.bob.id})["ticket"]
    asked = {"client_id": "app", "connection": "staff", "email": "bob@example.com"}
    wire.client.post("/dbconnections/change_password", json=asked)
    path = made.removeprefix(wire.server.settings.issuer.rstrip("/"))
    assert wire.client.get(path).status_code == 200
    admin.patch(f"/connections/{cast.staff.id}", {"authentication": {"active": False}})
    assert wire.client.get(path).status_code == 403


@pytest.mark.parametrize(
    ("path", "query"),
    [("/stats/daily", {"from": "00010101"}), ("/stats/daily", {"to": "99991231"}), ("/users/%00", {})],
)
def test_odd_days_and_ids_are_refused(admin: Admin, path: str, query: dict[str, str]) -> None:
    assert admin.ask("GET", path, **query).status_code == 400


def test_a_number_without_end_is_no_json(wire: Wire, admin: Admin, cast: Cast) -> None:
    headers = {"Authorization": f"Bearer {admin.token}"}
    answer = wire.client.patch(
        f"/api/v2/users/{cast.bob.id}",
        data='{"user_metadata": {"a": 1e999}}',
        content_type="application/json",
        headers=headers,
    )
    refused(answer, 400, "invalid_body")


@pytest.mark.parametrize("secret", ["configuration", "customScripts"])
def test_what_operators_keep_in_options_is_not_in_the_log(
    admin: Admin, wire: Wire, cast: Cast, secret: str
) -> None:
    admin.patch(f"/connections/{cast.staff.id}", {"options": {secret: {"DB_PASS": "hush-hush"}}})
    assert "hush" not in str([event.details for event in wire.events()])


def both_at_once(*calls: Callable[[], Any]) -> None:
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> None:
        barrier.wait()
        call()

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_changes_at_once_lose_nothing(server: Server, admin: Admin, cast: Cast) -> None:
    """Two administrators, two connections to the server: each change is there afterwards."""
    one, other = (Admin(Wire(server), admin.token) for _ in range(2))
    staff, bob = f"/connections/{cast.staff.id}", f"/users/{cast.bob.id}"
    for number in range(8):
        off = [{"client_id": "phone-app", "status": False}]
        on = [{"client_id": "mallory", "status": bool(number % 2)}]
        both_at_once(
            lambda: one.ask("PATCH", f"{staff}/clients", off),  # noqa: B023 - used before the next round
            lambda: other.ask("PATCH", f"{staff}/clients", on),  # noqa: B023
        )
        assert "phone-app" not in admin.get(staff)["enabled_clients"]
        assert ("mallory" in admin.get(staff)["enabled_clients"]) is bool(number % 2)
        admin.patch(staff, {"enabled_clients": ["app", "phone-app", "mallory"]})
        both_at_once(
            lambda: one.patch(bob, {"app_metadata": {f"a{number}": 1}}),  # noqa: B023
            lambda: other.patch(bob, {"app_metadata": {f"b{number}": 1}}),  # noqa: B023
        )
        both_at_once(
            lambda: one.put("/guardian/factors/sms", {"enabled": bool(number % 2)}),  # noqa: B023
            lambda: other.put("/guardian/factors/email", {"enabled": bool(number % 2)}),  # noqa: B023
        )
        on_now = {each["name"] for each in admin.get("/guardian/factors") if each["enabled"]}
        assert ({"sms", "email"} <= on_now) is bool(number % 2)
    assert len(admin.get(bob)["app_metadata"]) == 16
