"""What an export with auth0-deploy-cli asks, in its order: it ends at the first refusal that it does not expect."""

from collections.abc import Iterator
from typing import Any

from tests.making import Cast
from tests.management.conftest import Admin

ALL: dict[str, Any] = {"page": 0, "per_page": 100, "include_totals": "true"}
FIRST: dict[str, Any] = {"include_totals": "true", "take": 50}
PROVIDER = {"fields": "name,enabled,credentials,settings,default_from_address", "include_fields": "true"}
TEMPLATES = (
    "verify_email_by_code verify_email blocked_account mfa_oob_code stolen_credentials welcome_email user_invitation "
    "password_reset async_approval change_password enrollment_email reset_email_by_code reset_email"
).split()
PROMPTS = (
    "login login-id login-password login-passwordless login-email-verification signup signup-id signup-password "
    "phone-identifier-enrollment phone-identifier-challenge email-identifier-challenge reset-password consent "
    "customized-consent custom-form logout mfa mfa-push mfa-otp mfa-voice mfa-phone mfa-webauthn mfa-sms mfa-email "
    "mfa-recovery-code status device-flow email-verification email-otp-challenge organizations invitation common "
    "passkeys captcha brute-force-protection"
).split()
TRIGGERS = (
    "post-login credentials-exchange pre-user-registration post-user-registration post-change-password "
    "send-phone-message password-reset-post-challenge custom-phone-provider custom-email-provider "
    "custom-token-exchange event-stream password-hash-migration mcp-tool"
).split()
# What a plan may lack, and what nobody has set up.
TOLERATED = {
    "/emails/provider": 404,
    "/branding/themes/default": 404,
    "/supplemental-signals": 403,
    "/rate-limit-policies": 403,
    "/connections-directory-provisionings": 403,
} | {f"/email-templates/{name}": 404 for name in TEMPLATES}


def calls(connection_ids: list[str], locales: list[str]) -> Iterator[tuple[str, dict[str, Any], set[str]]]:
    """Path, query, and the members that an object which comes back must have."""
    totals = {"start", "limit", "total"}
    yield "/rules", ALL, totals | {"rules"}
    yield "/rules-configs", {}, set()
    yield "/hooks", ALL, totals | {"hooks"}
    yield "/clients", ALL | {"is_global": "true"}, totals | {"clients"}
    yield "/tenants/settings", {}, {"friendly_name", "flags"}
    yield "/resource-servers", ALL, totals | {"resource_servers"}
    yield "/clients", ALL | {"is_global": "false"}, totals | {"clients"}
    yield "/connections", FIRST | {"strategy": "auth0"}, {"connections"}
    yield "/actions/actions", {"page": 0, "per_page": 100}, {"actions", "per_page"}
    for connection_id in connection_ids:
        yield f"/connections/{connection_id}/clients", {"take": 100}, {"clients"}
    yield "/connections-directory-provisionings", {"take": 50}, set()
    yield "/connections", FIRST, {"connections"}
    yield "/emails/provider", PROVIDER, set()
    for name in TEMPLATES:
        yield f"/email-templates/{name}", {}, set()
    yield "/client-grants", FIRST, {"client_grants"}
    yield "/guardian/factors", {}, set()
    yield "/guardian/factors/push-notification/providers/sns", {}, set()
    yield "/guardian/factors/sms/providers/twilio", {}, set()
    yield "/guardian/factors/sms/templates", {}, {"enrollment_message", "verification_message"}
    yield "/guardian/policies", {}, set()
    yield "/guardian/factors/phone/selected-provider", {}, {"provider"}
    yield "/guardian/factors/phone/message-types", {}, {"message_types"}
    yield "/roles", ALL | {"type": "tenant"}, totals | {"roles"}
    yield "/branding", {}, set()
    yield "/custom-domains", {}, set()
    yield "/branding/phone/providers", {}, {"providers"}
    yield "/branding/phone/templates", {}, {"templates"}
    yield "/prompts", {}, {"universal_login_experience", "identifier_first"}
    for locale in locales:
        for prompt in PROMPTS:
            yield f"/prompts/{prompt}/custom-text/{locale}", {}, set()
    for prompt in (
        "login",
        "login-id",
        "login-password",
        "signup",
        "signup-id",
        "signup-password",
        "passkeys",
    ):
        yield f"/prompts/{prompt}/partials", {}, set()
    yield "/prompts/rendering", ALL, totals | {"configs"}
    yield "/actions/modules", {"page": 0, "per_page": 100}, {"modules"}
    yield "/actions/triggers", {}, {"triggers"}
    for trigger in TRIGGERS:
        yield f"/actions/triggers/{trigger}/bindings", {"page": 0, "per_page": 50}, {"bindings"}
    yield "/organizations", FIRST, {"organizations"}
    for guard in ("brute-force-protection", "breached-password-detection", "suspicious-ip-throttling"):
        yield f"/attack-protection/{guard}", {}, {"enabled", "shields"}
    yield "/attack-protection/bot-detection", {}, {"challenge_password_policy"}
    yield "/attack-protection/captcha", {}, {"active_provider_id"}
    yield "/risk-assessments/settings/new-device", {}, {"remember_for"}
    yield "/risk-assessments/settings", {}, {"enabled"}
    yield "/log-streams", {}, set()
    yield "/branding/themes/default", {}, set()
    yield "/flows", ALL, totals | {"flows"}
    yield "/forms", ALL, totals | {"forms"}
    yield "/flows/vault/connections", ALL | {"per_page": 50}, totals | {"connections"}
    yield "/self-service-profiles", ALL, totals | {"self_service_profiles"}
    yield "/network-acls", ALL, totals | {"network_acls"}
    yield "/user-attribute-profiles", {"take": 10}, {"user_attribute_profiles"}
    yield "/connection-profiles", {"take": 10}, {"connection_profiles"}
    yield "/token-exchange-profiles", {"take": 50}, {"token_exchange_profiles"}
    yield "/supplemental-signals", {}, set()
    yield "/rate-limit-policies", {"take": 50}, set()
    yield "/event-streams", {"take": 50}, {"eventStreams"}


def test_an_export_meets_no_refusal_but_the_tolerated_ones(admin: Admin, cast: Cast) -> None:
    locales = admin.get("/tenants/settings")["enabled_locales"]
    for path, query, members in calls([cast.staff.id, cast.guests.id], locales):
        answer = admin.ask("GET", path, **query)
        assert answer.status_code == TOLERATED.get(path, 200), (path, answer.text)
        assert answer.json is not None and answer.content_type.startswith("application/json")
        if members:
            assert members <= set(answer.json), path
        if "take" in query:
            assert not {"start", "limit", "total"} & set(answer.json), path


def test_what_an_export_takes_for_granted(admin: Admin, cast: Cast) -> None:
    [everything] = admin.get("/clients", **ALL, is_global="true")["clients"]
    assert everything["name"] == "All Applications" and everything["global"] is True
    others = admin.get("/clients", **ALL, is_global="false")["clients"]
    assert others and not any(client["global"] for client in others)
    listed = admin.get("/connections", **FIRST, strategy="auth0")["connections"]
    assert {connection["name"] for connection in listed} == {"staff", "guests"}
    refusal = admin.ask("GET", "/rate-limit-policies").json
    assert refusal is not None and refusal["errorCode"] == "insufficient_scope"


def test_an_import_of_what_was_exported_changes_nothing(admin: Admin, cast: Cast) -> None:
    """Members that cannot be written are left out as the tool does."""
    for listed, read_only in (
        ("/connections", {"id", "name", "strategy"}),
        ("/resource-servers", {"id", "identifier", "is_system"}),
        ("/roles", {"id", "type"}),
        ("/client-grants", {"id", "client_id", "audience", "subject_type"}),
    ):
        admin.post("/roles", {"name": f"for {listed}"}, 200)
        for before in admin.get(listed):
            if before.get("is_system"):
                continue
            path = f"{listed}/{before['id']}"
            sent = {name: value for name, value in before.items() if name not in read_only}
            assert admin.patch(path, sent) == before == admin.get(path), path
    for path in (
        "/tenants/settings",
        "/attack-protection/brute-force-protection",
        "/attack-protection/breached-password-detection",
        "/attack-protection/suspicious-ip-throttling",
        "/attack-protection/bot-detection",
        "/attack-protection/captcha",
        "/branding",
    ):
        before = admin.get(path)
        assert admin.patch(path, before) == before == admin.get(path)
