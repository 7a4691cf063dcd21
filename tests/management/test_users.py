"""`/users`: what security teams and scripts do with people."""

from urllib.parse import quote

import pytest

from tests.making import PASSWORD, Cast
from tests.management.conftest import Admin, refused
from tests.wire import Wire, code_of

NEW = {"connection": "staff", "email": "Dora@Example.com", "password": "A long and quiet passw0rd"}


def path(user_id: str) -> str:
    return f"/users/{quote(user_id, safe='')}"


def test_a_user_is_made_shown_changed_and_removed(admin: Admin, wire: Wire) -> None:
    made = admin.post("/users", NEW | {"user_metadata": {"plan": "gold"}})
    assert made["user_id"].startswith("auth0|") and len(made["user_id"]) == 30
    assert (made["email"], made["email_verified"], made["name"]) == (
        "dora@example.com",
        False,
        "dora@example.com",
    )
    assert made["nickname"] == "dora" and made["picture"].startswith("https://")
    assert made["identities"] == [
        {"connection": "staff", "user_id": made["user_id"][6:], "provider": "auth0", "isSocial": False}
    ]
    assert not {"last_login", "logins_count", "app_metadata", "multifactor", "blocked"} & set(made)
    wire.ok(wire.password("dora@example.com", NEW["password"]))
    shown = admin.get(path(made["user_id"]))
    assert (
        shown["logins_count"] == 1 and shown["last_ip"] == "127.0.0.1" and shown["last_login"].endswith("Z")
    )
    changed = admin.patch(path(made["user_id"]), {"name": "Dora D.", "nickname": None})
    assert changed["name"] == "Dora D." and "nickname" not in changed
    admin.delete(path(made["user_id"]))
    admin.delete(path(made["user_id"]))
    refused(admin.ask("GET", path(made["user_id"])), 404, "inexistent_user", "The user does not exist.")
    assert wire.password("dora@example.com", NEW["password"]).status_code == 403


@pytest.mark.parametrize(
    ("body", "status", "code", "message"),
    [
        (
            {"email": "x@example.com"},
            400,
            "invalid_body",
            "Payload validation error: 'Missing required property: connection'.",
        ),
        (NEW | {"connection": "nowhere"}, 400, "inexistent_connection", "The connection does not exist."),
        (
            NEW | {"plan": 1},
            400,
            "invalid_body",
            "Payload validation error: 'Additional properties not allowed: plan'.",
        ),
        (NEW | {"email": "bob@example.com"}, 409, "auth0_idp_error", "The user already exists."),
        (
            NEW | {"username": "dora"},
            400,
            "operation_not_supported",
            "Cannot set username for connection without requires_username",
        ),
        (
            NEW | {"blocked": "yes"},
            400,
            "invalid_body",
            "Payload validation error: 'Expected type boolean' on property blocked.",
        ),
        (
            NEW | {"phone_number": "123"},
            400,
            "invalid_body",
            "Payload validation error: 'String does not match pattern: ^\\+[0-9]{1,15}$' on property phone_number.",
        ),
        (NEW | {"app_metadata": {"user_id": 1}}, 400, "invalid_body", None),
        (
            {"connection": "staff", "password": "A long and quiet passw0rd"},
            400,
            "invalid_body",
            "Payload validation error: 'Missing required property: email'.",
        ),
        (
            {"connection": "staff", "email": "x@example.com"},
            400,
            "invalid_body",
            "Payload validation error: 'Missing required property: password'.",
        ),
        ([], 400, "invalid_body", None),
        ("text", 400, "invalid_body", None),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(
    admin: Admin, body: object, status: int, code: str, message: str | None
) -> None:
    before = len(admin.get("/users"))
    refused(admin.ask("POST", "/users", body), status, code, message)
    assert len(admin.get("/users")) == before


def test_metadata_merge_at_their_first_level(admin: Admin, cast: Cast) -> None:
    bob = path(cast.bob.id)
    admin.patch(bob, {"user_metadata": {"a": {"b": 1, "c": 2}, "d": 3}, "app_metadata": {"x": 1}})
    changed = admin.patch(bob, {"user_metadata": {"a": {"b": 9}, "d": None}})
    assert changed["user_metadata"] == {"a": {"b": 9}} and changed["app_metadata"] == {"x": 1}
    changed = admin.patch(bob, {"user_metadata": {}, "app_metadata": {}})
    assert not {"user_metadata", "app_metadata"} & set(changed)


@pytest.mark.parametrize(
    "pair",
    [
        ("password", "email"),
        ("password", "email_verified"),
        ("username", "email"),
        ("username", "email_verified"),
        ("username", "password"),
    ],
)
def test_some_members_cannot_change_together(admin: Admin, cast: Cast, pair: tuple[str, str]) -> None:
    values = {
        "password": "Another long passw0rd",
        "email": "b@example.com",
        "email_verified": True,
        "username": "bobby",
    }
    answer = admin.ask("PATCH", path(cast.bob.id), {name: values[name] for name in pair})
    refused(answer, 400, "invalid_body", f"Cannot update {pair[0]} and {pair[1]} simultaneously")


def test_a_new_address_is_one_to_log_in_with_and_not_verified(admin: Admin, wire: Wire, cast: Cast) -> None:
    changed = admin.patch(path(cast.bob.id), {"email": "Robert@example.com"})
    assert (changed["email"], changed["email_verified"]) == ("robert@example.com", False)
    wire.ok(wire.password("robert@example.com"))
    assert wire.password("bob@example.com").status_code == 403
    refused(admin.ask("PATCH", path(cast.bob.id), {"email": "alice@example.com"}), 409, "auth0_idp_error")


def test_blocking_ends_every_token_and_unblocking_lets_in_again(admin: Admin, wire: Wire, cast: Cast) -> None:
    tokens = wire.ok(wire.password("bob@example.com", scope="openid offline_access"))
    assert admin.patch(path(cast.bob.id), {"blocked": True})["blocked"] is True
    assert wire.refresh(tokens["refresh_token"]).status_code == 403
    assert wire.get("/userinfo", tokens["access_token"]).status_code == 401
    assert wire.password("bob@example.com").status_code == 401
    admin.patch(path(cast.bob.id), {"blocked": False})
    wire.ok(wire.password("bob@example.com"))


def test_a_new_password_forgives_wrong_ones(admin: Admin, wire: Wire, cast: Cast) -> None:
    for _ in range(10):
        wire.password("bob@example.com", "wrong")
    assert wire.password("bob@example.com").status_code == 429
    changed = admin.patch(path(cast.bob.id), {"password": "An entirely new passw0rd"})
    assert changed["last_password_reset"].endswith("Z")
    wire.ok(wire.password("bob@example.com", "An entirely new passw0rd"))
    assert wire.password("bob@example.com", PASSWORD).status_code == 403


def test_the_same_address_in_two_connections_is_two_people(admin: Admin, cast: Cast) -> None:
    found = admin.ask("GET", "/users-by-email", email="ALICE@example.com").json
    assert isinstance(found, list)
    assert {user["user_id"] for user in found} == {cast.alice.id, cast.carol.id}
    assert {user["identities"][0]["connection"] for user in found} == {"staff", "guests"}
    assert admin.get("/users-by-email", email="nobody@example.com") == []


def test_an_enrolled_person_shows_it(admin: Admin, cast: Cast) -> None:
    assert admin.get(path(cast.alice.id))["multifactor"] == ["guardian"]
    assert "multifactor" not in admin.get(path(cast.bob.id))


def test_lists_come_in_the_shapes_that_tools_parse(admin: Admin, cast: Cast) -> None:
    assert len(admin.get("/users")) == 3
    page = admin.get("/users", per_page=2, page=1, include_totals="true")
    assert {name: page[name] for name in ("start", "limit", "total", "length")} == {
        "start": 2,
        "limit": 2,
        "total": 3,
        "length": 1,
    }
    assert admin.get("/users", page=7, per_page=50, include_totals="true")["users"] == []
    refused(admin.ask("GET", "/users", page=10, per_page=100), 400, "invalid_paging")
    assert set(admin.get("/users", fields="email,user_id")[0]) == {"email", "user_id"}
    assert "email" not in admin.get("/users", fields="email", include_fields="false")[0]
    refused(admin.ask("GET", "/users", fields="shoe_size"), 400, "invalid_query_string")
    newest = admin.get("/users", sort="created_at:-1")
    assert newest == sorted(newest, key=lambda user: str(user["created_at"]), reverse=True)


@pytest.mark.parametrize(
    ("q", "names"),
    [
        ('email:"alice@example.com"', {"alice", "carol"}),
        ("email:al*", {"alice", "carol"}),
        ('identities.connection:"guests"', {"carol"}),
        ("_exists_:multifactor", {"alice"}),
        ("NOT _exists_:logins_count OR logins_count:0", {"alice", "bob", "carol"}),
        ("blocked:true", set()),
    ],
)
def test_search_finds(admin: Admin, cast: Cast, q: str, names: set[str]) -> None:
    ids = {cast.alice.id: "alice", cast.bob.id: "bob", cast.carol.id: "carol"}
    assert {ids[user["user_id"]] for user in admin.get("/users", q=q)} == names


@pytest.mark.parametrize("q", ["shoe_size:9", "email:(", "[", "a?b", 'email:"' + "x" * 3000])
def test_a_query_that_cannot_be_read_is_refused(admin: Admin, q: str) -> None:
    refused(admin.ask("GET", "/users", q=q), 400, "invalid_query_string")


def test_a_second_factor_stays_through_changes_of_the_profile(admin: Admin, wire: Wire, cast: Cast) -> None:
    admin.patch(path(cast.alice.id), {"name": "Alice A."})
    token = wire.mfa_token()
    wire.ok(wire.otp(token, code_of(cast.alice_totp)))
