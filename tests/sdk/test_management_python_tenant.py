"""auth0-python's ManagementClient as it is installed: what holds for the whole server, its keys and its logs."""

from typing import Any

import pytest
from auth0.management import ManagementClient
from auth0.management.core.api_error import ApiError
from auth0.management.errors import BadRequestError, ConflictError, NotFoundError

from app.crypto import random_id
from tests.sdk.site import Site
from tests.sdk.test_management_python import ONCE, log_in, told

FACTORS = [
    "sms",
    "push-notification",
    "otp",
    "email",
    "duo",
    "webauthn-roaming",
    "webauthn-platform",
    "recovery-code",
]


def test_guardian_factors_and_policies(management: ManagementClient) -> None:
    guardian = management.guardian
    assert [factor.name for factor in guardian.factors.list()] == FACTORS
    assert guardian.factors.set("sms", enabled=True).enabled is True
    assert {factor.name: factor.enabled for factor in guardian.factors.list()}["sms"] is True
    assert guardian.factors.set("sms", enabled=False).enabled is False
    assert guardian.policies.set(request=["all-applications"]) == ["all-applications"]
    assert guardian.policies.list() == ["all-applications"]
    assert guardian.policies.set(request=[]) == guardian.policies.list() == []
    with pytest.raises(BadRequestError) as error:
        guardian.policies.set(request=["sometimes"])
    assert told(error)[1] == "invalid_body"


def test_settings_of_phone_push_and_duo(management: ManagementClient) -> None:
    factors = management.guardian.factors
    assert factors.phone.get_selected_provider().provider in ("auth0", "twilio")
    assert factors.phone.set_provider(provider="twilio").provider == "twilio"
    assert factors.sms.get_selected_provider().provider == "twilio"
    twilio = factors.phone.set_twilio_provider(from_="+491701234567", sid="AC1", auth_token="secret")
    shown = factors.phone.get_twilio_provider()
    assert (twilio.sid, shown.sid, shown.from_, shown.auth_token) == ("AC1", "AC1", "+491701234567", None)
    factors.phone.set_message_types(message_types=["sms", "voice"])
    assert factors.phone.get_message_types().message_types == ["sms", "voice"]
    texts = {"enrollment_message": "Enrol with {{code}}", "verification_message": "Code {{code}}"}
    assert factors.phone.set_templates(**texts).dict() == factors.sms.get_templates().dict() == texts
    assert factors.push_notification.set_provider(provider="guardian").provider == "guardian"
    assert factors.push_notification.get_selected_provider().provider == "guardian"
    factors.duo.settings.set(ikey="i", skey="secret", host="api.example.com")
    duo = factors.duo.settings.get()
    assert (duo.ikey, duo.host, duo.skey) == ("i", "api.example.com", None)


def test_tenant_settings_merge(management: ManagementClient, managed_site: Site) -> None:
    settings = management.tenants.settings
    before = settings.get()
    assert before.default_directory == "staff" and before.session_lifetime == 168
    changed = settings.update(friendly_name="Example", support_email="help@example.com", session_lifetime=100)
    assert (changed.friendly_name, changed.session_lifetime) == ("Example", 100)
    flags: Any = {"revoke_refresh_token_grant": True}
    assert changed.flags is not None
    expected = changed.flags.dict() | flags
    assert settings.update(flags=flags).flags is not None
    assert settings.get().flags.dict() == expected
    some = settings.get(fields="friendly_name,support_email", include_fields=True)
    assert some.dict(exclude_unset=True) == {"friendly_name": "Example", "support_email": "help@example.com"}
    with pytest.raises(BadRequestError):
        settings.update(default_directory="nowhere")
    assert settings.update(default_directory="staff").default_directory == "staff"


def test_attack_protection_merges(management: ManagementClient) -> None:
    protection = management.attack_protection
    guard = protection.brute_force_protection
    assert guard.update(max_attempts=10, mode="count_per_identifier_and_ip").enabled is True
    assert guard.get().max_attempts == 10
    throttling = protection.suspicious_ip_throttling
    stage: Any = {"pre-login": {"max_attempts": 50}}
    changed = throttling.update(stage=stage)
    assert changed.stage is not None and changed.stage.pre_login is not None
    assert (changed.stage.pre_login.max_attempts, changed.stage.pre_login.rate) == (50, 864000)
    assert throttling.get().dict() == changed.dict()
    breached = protection.breached_password_detection
    assert breached.update(enabled=True, method="standard").dict() == breached.get().dict()
    assert breached.get().enabled is True
    assert protection.bot_detection.get() is not None and protection.captcha.get() is not None


def test_keys_rotate_and_the_previous_one_is_revoked(
    management: ManagementClient, managed_site: Site
) -> None:
    signing = management.keys.signing
    before = {state: key for key in signing.list() for state in ("current", "next") if getattr(key, state)}
    current, following = before["current"], before["next"]
    assert current.fingerprint is not None and len(current.fingerprint) == 59
    assert signing.rotate().kid == following.kid
    assert signing.get(str(following.kid)).current is True
    assert signing.get(str(current.kid)).previous is True
    with pytest.raises(ApiError) as error:  # the SDK has no class for a 400 here
        signing.revoke(str(following.kid))
    assert told(error)[::2] == (400, "Only the previous key can be revoked.")
    # The client's token is of that key: from now on it needs another.
    assert signing.revoke(str(current.kid)).kid == current.kid
    client_id, secret = managed_site.administrator()
    with managed_site.management(client_id=client_id, client_secret=secret) as fresh:
        assert fresh.keys.signing.get(str(current.kid)).revoked is True


def test_logs_are_paged_searched_and_followed(management: ManagementClient, managed_site: Site) -> None:
    user = managed_site.person()
    log_in(managed_site, str(user.email))
    log_in(managed_site, str(user.email), password="wrong password")
    pager = management.logs.list(search=f'user_id:"{user.id}"', sort="date:1")
    assert pager.response is not None and pager.response.total is not None
    found = list(pager)
    assert {event.type for event in found} >= {"sepft", "fp"}
    one = management.logs.get(str(found[0].log_id))
    assert one.log_id == found[0].log_id and one.user_id == user.id and one.connection == "staff"
    of_user = management.users.logs.list(user.id)
    assert {event.log_id for event in of_user} == {event.log_id for event in found}
    with pytest.raises(NotFoundError) as error:
        management.logs.get("999999999999999999")
    assert told(error)[1] == "inexistent_log"


def test_the_mail_provider_and_templates(management: ManagementClient) -> None:
    provider, templates = management.emails.provider, management.email_templates
    credentials: Any = {
        "smtp_host": "mail.example.com",
        "smtp_port": 587,
        "smtp_user": "belay",
        "smtp_pass": "secret",
    }
    provider.create(name="smtp", credentials=credentials, default_from_address="no-reply@example.com")
    shown = provider.get(fields="name,enabled,credentials,settings,default_from_address", include_fields=True)
    assert (shown.name, shown.enabled, shown.default_from_address) == ("smtp", True, "no-reply@example.com")
    assert shown.credentials is not None
    del credentials["smtp_pass"]
    assert shown.credentials.dict(exclude_none=True) == credentials
    assert provider.get().dict(exclude_unset=True) == {"name": "smtp", "enabled": True}
    with pytest.raises(ConflictError) as error:
        provider.create(name="smtp", credentials=credentials, request_options=ONCE)
    assert told(error)[2] == "Email provider is already configured."
    assert provider.update(enabled=False).enabled is False
    provider.delete()
    with pytest.raises(NotFoundError) as gone:
        provider.get()
    assert told(gone)[1:] == ("inexistent_email_provider", "There is not a configured email provider")

    with pytest.raises(ApiError) as missing:  # the SDK has no class for a 404 here
        templates.get("mfa_oob_code")
    assert told(missing) == (404, "inexistent_email_template", "The template does not exist.")
    text: Any = {"body": "{{ code }}", "from_": "no-reply@example.com", "subject": "Code", "syntax": "liquid"}
    made: Any = templates.create(template="mfa_oob_code", enabled=True, **text)
    assert (made.template, made.from_, made.enabled) == ("mfa_oob_code", "no-reply@example.com", True)
    assert templates.update("mfa_oob_code", subject="Your code").subject == "Your code"
    assert templates.get("mfa_oob_code").body == "{{ code }}"
    replaced: Any = templates.set("mfa_oob_code", template="mfa_oob_code", enabled=False, **text)
    assert (replaced.subject, replaced.enabled) == ("Code", False)


def test_stats_and_addresses_that_are_not_blocked(management: ManagementClient, managed_site: Site) -> None:
    log_in(managed_site, str(managed_site.person().email))
    assert management.stats.get_active_users_count() >= 1
    today = management.stats.get_daily()[-1]
    assert today.logins is not None and today.logins >= 1
    with pytest.raises(NotFoundError):
        management.anomaly.blocks.check_ip("203.0.113.7")
    management.anomaly.blocks.unblock_ip("203.0.113.7")


def set_up(management: ManagementClient, word: str) -> dict[str, Any]:
    """What a configuration tool does: look, then create or change; afterwards everything as it is shown."""
    clients, connections = management.clients, management.connections
    members: Any = {"grant_types": ["client_credentials"], "client_metadata": {"team": word}}
    named = {client.name: client.client_id for client in clients.list(per_page=100)}
    client_id = str(named.get(word) or clients.create(name=word, **members).client_id)
    clients.update(client_id, **members)
    options: Any = {"passwordPolicy": "excellent", "mfa": {"active": True, "return_enroll_settings": True}}
    known: list[Any] = list(connections.list(name=word)) or [connections.create(name=word, strategy="auth0")]
    connection_id = str(known[0].id)
    connections.update(connection_id, options=options, enabled_clients=[client_id])
    identifier, scopes = f"https://{word.lower()}.example.com/v1", [{"value": "read:a", "description": "a"}]
    apis: Any = management.resource_servers
    if not list(apis.list(identifiers=[identifier])):
        apis.create(identifier=identifier, name=word)
    apis.update(identifier, scopes=scopes, token_lifetime=3600)
    grants: Any = management.client_grants
    wanted = {"client_id": client_id, "audience": identifier}
    granted = list(grants.list(**wanted)) or [grants.create(**wanted, scope=["read:a"])]
    grants.update(str(granted[0].id), scope=["read:a"])
    role = [*management.roles.list(name_filter=word)] or [management.roles.create(name=word)]
    right: Any = [{"resource_server_identifier": identifier, "permission_name": "read:a"}]
    management.roles.permissions.add(str(role[0].id), permissions=right)
    management.guardian.factors.set("otp", enabled=True)
    flags: Any = {"mfa_show_factor_list_on_enrollment": True}
    management.tenants.settings.update(flags=flags, enabled_locales=["en", "de"])
    management.attack_protection.brute_force_protection.update(enabled=True, allowlist=["192.0.2.0/24"])
    return {
        "client": clients.get(client_id).dict(),
        "connection": connections.get(connection_id).dict(),
        "api": apis.get(identifier).dict(),
        "grants": [grant.dict() for grant in grants.list(**wanted)],
        "roles": [found.dict() for found in management.roles.list(name_filter=word)],
        "permissions": [p.dict() for p in management.roles.permissions.list(str(role[0].id))],
        "factors": [factor.dict() for factor in management.guardian.factors.list()],
        "settings": management.tenants.settings.get().dict(),
        "guard": management.attack_protection.brute_force_protection.get().dict(),
    }


def test_the_same_set_up_twice_changes_nothing(management: ManagementClient) -> None:
    word = f"w{random_id()}"
    assert set_up(management, word) == set_up(management, word)
