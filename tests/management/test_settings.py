"""The tenant, keys, logs, blocks, mail and figures."""

from typing import Any

import jwt
import pytest

from tests.making import Cast
from tests.management.conftest import Admin, refused, token_for
from tests.wire import FULL, Wire


def test_settings_of_the_tenant_merge(admin: Admin, wire: Wire, cast: Cast) -> None:
    before = admin.get("/tenants/settings")
    assert (before["default_directory"], before["session_lifetime"]) == ("staff", 168)
    changed = admin.patch(
        "/tenants/settings", {"friendly_name": "Acme", "flags": {"a": True}, "support_url": "https://x"}
    )
    assert changed == before | {
        "friendly_name": "Acme",
        "support_url": "https://x",
        "flags": before["flags"] | {"a": True},
    }
    assert admin.patch("/tenants/settings", {}) == changed
    assert admin.patch("/tenants/settings", {"support_url": None}).get("support_url") is None
    refused(admin.ask("PATCH", "/tenants/settings", {"default_directory": "nowhere"}), 400, "invalid_body")
    admin.patch("/tenants/settings", {"default_directory": ""})
    assert wire.password("bob@example.com").status_code == 400
    assert set(admin.get("/tenants/settings", fields="friendly_name,support_email")) == {"friendly_name"}


def test_keys_rotate_and_only_the_previous_one_is_revoked(admin: Admin, wire: Wire, cast: Cast) -> None:
    def states() -> dict[str, str]:
        words = ("current", "next", "previous", "revoked")
        return {key["kid"]: next(word for word in words if key[word]) for key in admin.get("/keys/signing")}

    def published() -> set[str]:
        return {key["kid"] for key in wire.ok(wire.get("/.well-known/jwks.json"))["keys"]}

    before = states()
    current = next(kid for kid, state in before.items() if state == "current")
    coming = next(kid for kid, state in before.items() if state == "next")
    old_token = wire.ok(wire.password("bob@example.com", **FULL))["access_token"]
    assert jwt.get_unverified_header(old_token)["kid"] == current
    rotated = admin.post("/keys/signing/rotate", None)
    assert rotated["kid"] == coming and rotated["cert"].startswith("-----BEGIN CERTIFICATE-----")
    assert states()[current] == "previous" and len(published()) == 3
    assert wire.get("/userinfo", old_token).status_code == 200
    assert (
        jwt.get_unverified_header(wire.ok(wire.password("bob@example.com", **FULL))["access_token"])["kid"]
        == coming
    )
    admin.token = token_for(wire, client_id="later")  # the one before was signed with the old key
    refused(admin.ask("PUT", f"/keys/signing/{coming}/revoke"), 400, "operation_not_supported")
    assert admin.put(f"/keys/signing/{current}/revoke", None)["kid"] == current
    assert wire.get("/userinfo", old_token).status_code == 401 and current not in published()
    shown = admin.get(f"/keys/signing/{current}")
    assert shown["revoked"] is True and shown == admin.get(f"/keys/signing/{current}")
    refused(admin.ask("GET", "/keys/signing/unknown"), 404, "inexistent_signing_key")


def test_logs_are_paged_searched_and_followed(admin: Admin, wire: Wire, cast: Cast) -> None:
    wire.password("bob@example.com", "wrong")
    wire.ok(wire.password("bob@example.com"))
    newest = admin.get("/logs", per_page=2)
    assert [log["type"] for log in newest] == ["sepft", "fp"]
    assert newest[1]["connection"] == "staff" and newest[1]["client_name"] == "app"
    assert newest[1]["log_id"] == newest[1]["_id"] and newest[1]["details"]["reason"] == "wrong_password"
    assert admin.get(f"/logs/{newest[0]['log_id']}") == newest[0]
    page = admin.get("/logs", include_totals="true", per_page=1)
    assert {"start", "limit", "length", "total", "logs"} == set(page)
    assert [log["type"] for log in admin.get("/logs", q="type:fp")] == ["fp"]
    assert [
        log["type"] for log in admin.get("/logs", search='user_name:"bob@example.com" AND type:sepft')
    ] == ["sepft"]
    assert {log["user_id"] for log in admin.get(f"/users/{cast.bob.id}/logs")} == {cast.bob.id}
    refused(admin.ask("GET", "/logs/999999999999"), 404, "inexistent_log")
    first = admin.ask("GET", "/logs", **{"from": "0", "take": 1})
    assert isinstance(first.json, list) and len(first.json) == 1
    seen, url = list(first.json), first.headers["Link"].split(">")[0].lstrip("<")
    while True:
        answer = wire.client.get(
            url.removeprefix(wire.server.settings.issuer.rstrip("/")), headers=dict(first.request.headers)
        )
        assert isinstance(answer.json, list)
        if not answer.json:
            assert answer.headers["Link"].startswith(f"<{url}>")
            break
        seen += answer.json
        url = answer.headers["Link"].split(">")[0].lstrip("<")
    assert [log["log_id"] for log in seen] == sorted(log["log_id"] for log in seen)
    assert len(seen) == len(wire.events())


def test_somebody_locked_out_is_shown_and_let_in_again(admin: Admin, wire: Wire, cast: Cast) -> None:
    for _ in range(11):
        wire.password("bob@example.com", "wrong")
    shown = admin.get("/user-blocks", identifier="BOB@example.com")
    assert shown == {
        "blocked_for": [{"identifier": "bob@example.com", "ip": "127.0.0.1", "connection": "staff"}]
    }
    assert admin.get(f"/user-blocks/{cast.bob.id}") == shown
    admin.delete(f"/user-blocks/{cast.bob.id}")
    assert admin.get(f"/user-blocks/{cast.bob.id}") == {"blocked_for": []}
    wire.ok(wire.password("bob@example.com"))
    for _ in range(11):
        wire.password("nobody@example.com", "wrong")
    assert admin.get("/user-blocks", identifier="nobody@example.com")["blocked_for"]
    admin.delete("/user-blocks", identifier="nobody@example.com")
    assert admin.get("/user-blocks", identifier="nobody@example.com") == {"blocked_for": []}
    refused(admin.ask("GET", "/user-blocks/auth0|nobody"), 404, "inexistent_user")
    assert admin.ask("GET", "/anomaly/blocks/ips/192.0.2.1").status_code == 404


def test_a_mail_provider_keeps_its_password_to_itself(admin: Admin, wire: Wire) -> None:
    missing = admin.ask("GET", "/emails/provider")
    refused(missing, 404, "inexistent_email_provider", "There is not a configured email provider")
    credentials = {
        "smtp_host": "mail.example.com",
        "smtp_port": 587,
        "smtp_user": "u",
        "smtp_pass": "hush-hush",
    }
    body = {"name": "smtp", "default_from_address": "a@example.com", "credentials": credentials}
    made = admin.post("/emails/provider", body)
    assert "smtp_pass" not in made["credentials"] and made["enabled"] is True
    refused(admin.ask("POST", "/emails/provider", body), 409, "email_provider_conflict")
    assert admin.get("/emails/provider") == {"name": "smtp", "enabled": True}
    shown = admin.get(
        "/emails/provider", fields="name,enabled,credentials,default_from_address", include_fields="true"
    )
    assert shown["credentials"] == {"smtp_host": "mail.example.com", "smtp_port": 587, "smtp_user": "u"}
    assert admin.patch("/emails/provider", {"enabled": False})["enabled"] is False
    assert "hush" not in str([event.details for event in wire.events()])
    admin.delete("/emails/provider")
    refused(admin.ask("DELETE", "/emails/provider"), 404, "inexistent_email_provider")


def test_templates_that_nobody_wrote_do_not_exist(admin: Admin) -> None:
    refused(
        admin.ask("GET", "/email-templates/verify_email"),
        404,
        "inexistent_email_template",
        "The template does not exist.",
    )
    body = {
        "template": "verify_email",
        "body": "Hi {{ user.name }}",
        "from": "a@b.c",
        "subject": "Hi",
        "syntax": "liquid",
        "enabled": True,
    }
    assert admin.post("/email-templates", body, 200) == body == admin.get("/email-templates/verify_email")
    assert admin.patch("/email-templates/verify_email", {"subject": "Hello"})["subject"] == "Hello"
    refused(admin.ask("GET", "/email-templates/no_such"), 400, "invalid_uri")


@pytest.mark.parametrize(
    ("path", "change", "bad"),
    [
        ("brute-force-protection", {"max_attempts": 5, "allowlist": ["192.0.2.0/24"]}, {"max_attempts": 0}),
        ("suspicious-ip-throttling", {"stage": {"pre-login": {"max_attempts": 7}}}, {"allowlist": ["here"]}),
        ("breached-password-detection", {"shields": ["block"]}, {"method": "magic"}),
    ],
)
def test_attack_protection_merges_and_answers_the_whole(
    admin: Admin, path: str, change: dict[str, Any], bad: dict[str, Any]
) -> None:
    path = f"/attack-protection/{path}"
    before = admin.get(path)
    after = admin.patch(path, change)
    assert set(after) == set(before) and after == admin.get(path) and after != before
    if "stage" in change:
        assert after["stage"]["pre-login"] == {"max_attempts": 7, "rate": 864000}
        assert after["stage"]["pre-user-registration"] == before["stage"]["pre-user-registration"]
    refused(admin.ask("PATCH", path, bad), 400, "invalid_body")


def test_logins_are_counted_by_day(admin: Admin, wire: Wire, cast: Cast) -> None:
    wire.ok(wire.password("bob@example.com"))
    wire.login(cast.alice_totp)
    today = admin.get("/stats/daily")[-1]
    assert today["logins"] == 2 and today["date"].endswith("T00:00:00.000Z")
    assert admin.get("/stats/active-users") == 2
    refused(admin.ask("GET", "/stats/daily", **{"from": "20261301"}), 400, "invalid_query_string")


def test_changes_tell_who_what_before_and_after(admin: Admin, wire: Wire, cast: Cast) -> None:
    admin.patch(f"/users/{cast.bob.id}", {"name": "Robert"})
    event = wire.events()[-1]
    assert (event.type, event.reason, event.client_id, event.user_id) == (
        "sapi",
        "user_updated",
        "admin",
        cast.bob.id,
    )
    assert event.details["request"]["method"] == "PATCH"  # type: ignore[index]
    change: Any = event.details["change"]
    assert change["after"]["name"] == "Robert" and "name" not in change["before"]
    assert admin.ask("PATCH", f"/users/{cast.bob.id}", {"email": "alice@example.com"}).status_code == 409
    assert (wire.events()[-1].type, wire.events()[-1].reason) == ("fapi", "auth0_idp_error")
    secret = admin.post("/clients", {"name": "x"})["client_secret"]
    assert secret not in str(wire.events()[-1].details)
