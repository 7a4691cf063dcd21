"""What terraform-provider-auth0 sends for its resources, in its order and with the manners of go-auth0.

It reads back after every write. A plan is empty when what is read is what was written, so each resource is applied,
read, applied again and read again.
"""

from base64 import b64encode
from typing import Any
from urllib.parse import quote

import pytest
from werkzeug.test import TestResponse

from app.web.management.operation import BASE
from tests.making import Cast
from tests.management.conftest import ADMIN_SECRET, Admin, token_for
from tests.wire import Wire

IDENTIFIER = "https://api.example.com/things/v1"
FACTORS = (
    "sms",
    "push-notification",
    "otp",
    "email",
    "duo",
    "webauthn-roaming",
    "webauthn-platform",
    "recovery-code",
)


class Go(Admin):
    """Every request has a content type, and those without a body carry the four letters of null."""

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.token}", "Auth0-Client": "eyJuYW1lIjoiZ28tYXV0aDAifQ=="}
        sent = {"data": b"null\n", "content_type": "application/json"} if body is None else {"json": body}
        return self.wire.client.open(BASE + path, method=method, query_string=query, headers=headers, **sent)


@pytest.fixture
def go(wire: Wire, cast: Cast) -> Go:
    return Go(wire, token_for(wire))


def test_the_token_is_fetched_with_basic_authentication(wire: Wire, cast: Cast) -> None:
    """x/oauth2 tries Basic first, and puts no credentials into the form then."""
    token_for(wire)
    basic = b64encode(f"admin:{ADMIN_SECRET}".encode()).decode()
    form = {"grant_type": "client_credentials", "audience": f"{wire.server.settings.issuer}api/v2/"}
    answer = wire.client.post("/oauth/token", data=form, headers={"Authorization": f"Basic {basic}"})
    granted = wire.ok(answer)
    assert granted["token_type"] == "Bearer" and "read:users" in granted["scope"].split()
    assert Go(wire, granted["access_token"]).get("/connections")


def test_guardian_from_apply_to_destroy(go: Go) -> None:
    def read() -> dict[str, Any]:
        """In the provider's order; whether phones are the tenant's business is asked first."""
        return {
            "policy": go.get("/guardian/policies"),
            "factors": {found["name"]: found["enabled"] for found in go.get("/guardian/factors")},
            "consolidated": go.get("/tenants/settings").get("phone_consolidated_experience", False),
            "types": go.get("/guardian/factors/phone/message-types"),
            "provider": go.get("/guardian/factors/phone/selected-provider"),
            "templates": go.get("/guardian/factors/phone/templates"),
            "roaming": go.get("/guardian/factors/webauthn-roaming/settings"),
            "platform": go.get("/guardian/factors/webauthn-platform/settings"),
        }

    written: dict[str, Any] = {
        "policy": ["all-applications"],
        "types": {"message_types": ["sms"]},
        "provider": {"provider": "auth0"},
        "templates": {"enrollment_message": "Enrol: {{code}}", "verification_message": "Code: {{code}}"},
        "roaming": {
            "userVerification": "required",
            "overrideRelyingParty": True,
            "relyingPartyIdentifier": "example.com",
        },
        "platform": {"overrideRelyingParty": False},
    }

    def apply() -> None:
        assert go.put("/guardian/policies", written["policy"]) == written["policy"]
        for name in ("sms", "otp", "recovery-code", "webauthn-roaming", "webauthn-platform"):
            assert go.put(f"/guardian/factors/{name}", {"enabled": True}) == {"enabled": True}
        go.get("/tenants/settings")
        for name, path in (
            ("provider", "phone/selected-provider"),
            ("types", "phone/message-types"),
            ("templates", "phone/templates"),
            ("roaming", "webauthn-roaming/settings"),
            ("platform", "webauthn-platform/settings"),
        ):
            assert go.put(f"/guardian/factors/{path}", written[name]) == written[name]

    apply()
    first = read()
    assert {name: first[name] for name in written} == written and first["consolidated"] is False
    on = {name for name, is_on in first["factors"].items() if is_on}
    assert on == {"sms", "otp", "recovery-code", "webauthn-roaming", "webauthn-platform"}
    apply()
    assert read() == first
    assert go.put("/guardian/policies", []) == []
    for name in FACTORS:
        assert go.put(f"/guardian/factors/{name}", {"enabled": False}) == {"enabled": False}
    after = read()
    assert after["policy"] == [] and after["factors"] == dict.fromkeys(FACTORS, False)


def test_a_connection_and_who_may_use_it(go: Go) -> None:
    made = go.post("/connections", {"name": "partners", "strategy": "auth0"})
    path = f"/connections/{made['id']}"
    assert go.get(path) == made and go.get(f"{path}/clients") == {"clients": []}
    some = go.get(path, fields="strategy,name", include_fields="true")
    assert (some["strategy"], some["name"]) == ("auth0", "partners")
    # The second plan: every option is read and written again, immutable members are not.
    options = made["options"] | {
        "passwordPolicy": "excellent",
        "password_history": {"enable": True, "size": 3},
    }
    body = {"options": options, "display_name": "Partners", "realms": ["partners"], "metadata": {"a": "b"}}
    changed = go.patch(path, body | {"is_domain_connection": False})
    assert {name: changed[name] for name in body} == body
    assert go.patch(path, body) == changed == go.get(path)
    switch = [{"client_id": "app", "status": True}, {"client_id": "mallory", "status": True}]
    for _ in range(2):
        assert go.ask("PATCH", f"{path}/clients", switch).status_code == 204
        assert go.get(f"{path}/clients") == {"clients": [{"client_id": "app"}, {"client_id": "mallory"}]}
    assert go.patch(path, body)["enabled_clients"] == ["app", "mallory"]
    assert "deleted_at" in go.delete(path, 202)
    assert go.ask("GET", path).status_code == 404  # taken for: it is gone, out of the state


def test_a_client_with_its_grant(go: Go) -> None:
    go.post(
        "/resource-servers",
        {"identifier": IDENTIFIER, "scopes": [{"value": "create:a"}, {"value": "read:a"}]},
    )
    written = {
        "name": "Back office",
        "grant_types": ["client_credentials"],
        "is_first_party": True,
        "custom_login_page_on": True,
        "jwt_configuration": {"lifetime_in_seconds": 600},
        "client_metadata": {"team": "security"},
    }
    made = go.post("/clients", written)
    path = f"/clients/{made['client_id']}"
    first = go.get(path)
    assert {"app_type", "client_secret"} & set(first) == set() and "alg" not in first["jwt_configuration"]
    for _ in range(2):
        assert go.patch(path, written) == first == go.get(path)
    refresh = {
        "rotation_type": "rotating",
        "expiration_type": "expiring",
        "leeway": 5,
        "token_lifetime": 86400,
    }
    changed = go.patch(path, {"refresh_token": first["refresh_token"] | refresh})
    assert changed["refresh_token"].items() >= refresh.items()
    assert go.patch(path, {"refresh_token": changed["refresh_token"]}) == changed

    wanted = {"client_id": made["client_id"], "audience": IDENTIFIER}
    assert go.get("/client-grants", **wanted, per_page=50, include_totals="true")["client_grants"] == []
    grant = go.post("/client-grants", wanted | {"scope": ["create:a", "read:a"]})
    listed = go.get("/client-grants", **wanted, per_page=50, include_totals="true")
    assert listed["client_grants"] == [grant] and listed["total"] == 1
    grant_path = f"/client-grants/{grant['id']}"
    assert go.patch(grant_path, {"scope": ["create:a", "read:a"]}) == grant == go.get(grant_path)
    for gone in (grant_path, path):
        go.delete(gone)
        assert go.ask("GET", gone).status_code == 404


def test_a_resource_server_and_its_scopes(go: Go) -> None:
    made = go.post("/resource-servers", {"identifier": IDENTIFIER})
    assert go.get(f"/resource-servers/{made['id']}") == made
    by_identifier = f"/resource-servers/{quote(IDENTIFIER, safe=':')}"
    scopes = [{"value": "create:a", "description": "Make a"}, {"value": "read:a"}]
    changed = go.patch(by_identifier, {"scopes": scopes})
    assert changed == made | {"scopes": scopes} == go.get(by_identifier)
    read_only = {"id", "identifier"}
    sent = {name: value for name, value in changed.items() if name not in read_only}
    assert go.patch(by_identifier, sent) == changed == go.get(f"/resource-servers/{made['id']}")
    policies = {"enforce_policies": True, "token_dialect": "access_token_authz"}
    assert go.patch(by_identifier, policies) == changed | policies == go.get(by_identifier)
    go.delete(by_identifier)
    assert go.ask("GET", by_identifier).status_code == 404


def test_tenant_settings(go: Go) -> None:
    written: dict[str, Any] = {
        "friendly_name": "Example",
        "support_email": "help@example.com",
        "support_url": "https://example.com/help",
        "default_directory": "guests",
        "session_lifetime": 720.5,
        "idle_session_lifetime": 72,
        "sandbox_version": "22",
        "enabled_locales": ["en", "de"],
        "error_page": {"html": "<html></html>", "show_log_link": False, "url": "https://example.com/error"},
        "flags": {"enable_public_signup_user_exists_error": True, "mfa_show_factor_list_on_enrollment": True},
    }
    changed = go.patch("/tenants/settings", written)
    assert {name: changed[name] for name in written if name != "flags"} == {
        name: value for name, value in written.items() if name != "flags"
    }
    assert changed["flags"].items() >= written["flags"].items()
    assert go.patch("/tenants/settings", written) == changed == go.get("/tenants/settings")
    emptied = {"error_page": None, "mtls": None, "default_token_quota": None}
    without = go.patch("/tenants/settings", emptied | {"default_directory": ""})
    kept = {name: value for name, value in changed.items() if name != "error_page"}
    assert without == kept | {"default_directory": ""}
    assert go.patch("/tenants/settings", without) == without == go.get("/tenants/settings")


@pytest.mark.parametrize(
    ("guard", "written"),
    [
        (
            "brute-force-protection",
            {"enabled": True, "max_attempts": 5, "mode": "count_per_identifier", "allowlist": ["127.0.0.1"]},
        ),
        (
            "suspicious-ip-throttling",
            {"shields": ["block"], "stage": {"pre-login": {"max_attempts": 5, "rate": 34560000}}},
        ),
        (
            "breached-password-detection",
            {
                "enabled": True,
                "shields": ["block"],
                "stage": {"pre-user-registration": {"shields": ["block"]}},
            },
        ),
        ("bot-detection", {"challenge_password_policy": "when_risky", "monitoring_mode_enabled": True}),
        ("captcha", {"active_provider_id": "simple_captcha"}),
    ],
)
def test_attack_protection(go: Go, guard: str, written: dict[str, Any]) -> None:
    guards = (
        "breached-password-detection",
        "brute-force-protection",
        "suspicious-ip-throttling",
        "bot-detection",
        "captcha",
    )
    path = f"/attack-protection/{guard}"
    before = go.get(path)
    changed = go.patch(path, written)
    assert set(changed) == set(before)
    for name, value in written.items():
        expected = before[name] | value if name == "stage" else value
        if name == "stage":
            expected = {stage: before[name][stage] | value.get(stage, {}) for stage in before[name]}
        assert changed[name] == expected
    everything = [go.get(f"/attack-protection/{name}") for name in guards]
    assert changed in everything and go.patch(path, changed) == changed == go.patch(path, written)
    assert [go.get(f"/attack-protection/{name}") for name in guards] == everything


@pytest.mark.parametrize("spelled", ["auth0%7C", "auth0%7c", "auth0|"])
def test_a_user_by_an_id_in_three_spellings(go: Go, spelled: str) -> None:
    new = {
        "user_id": "terraformed",
        "connection": "staff",
        "email": "t@example.com",
        "password": "pass$12$12word",
    }
    made = go.post("/users", new)
    assert made["user_id"] == "auth0|terraformed"
    path = f"/users/{spelled}terraformed"
    assert go.get(path) == made and go.get(f"{path}/roles", per_page=50, include_totals="true")["roles"] == []
    metadata = {"user_metadata": {"foo": "bar", "baz": "qux"}, "app_metadata": {"foo": "bar"}}
    changed = go.patch(path, metadata)
    again = go.patch(path, metadata)
    assert {**changed, "updated_at": ""} == {**again, "updated_at": ""}
    go.delete(path)
    assert go.ask("GET", path).status_code == 404


def test_a_body_where_none_belongs_is_not_read(go: Go, cast: Cast) -> None:
    """go-auth0 sends null with a GET; roles and permissions are removed with a body, as other tools send one."""
    headers = {"Authorization": f"Bearer {go.token}", "Content-Type": "application/json"}
    for body in (b"null", b"{}", b"[]", b"not even JSON"):
        answer = go.wire.client.get(f"{BASE}/connections", data=body, headers=headers)
        assert answer.status_code == 200, answer.text
        answer = go.wire.client.delete(f"{BASE}/users/auth0|nobody", data=body, headers=headers)
        assert answer.status_code == 204, answer.text
    answer = go.wire.client.patch(f"{BASE}/connections/{cast.staff.id}", data=b"null", headers=headers)
    assert answer.status_code == 400 and answer.json is not None
    assert answer.json["message"] == "Payload validation error: 'Missing body'."
