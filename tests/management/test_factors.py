"""Second factors of one person, and the switches of all, as administrators work them."""

from base64 import b64encode

import pyotp
import pytest
from webauthn.helpers import bytes_to_base64url, encode_cbor

from tests import making
from tests.making import CAROLS_PASSWORD, Cast
from tests.management.conftest import Admin, refused
from tests.security_key import BE, UP, UV, SecurityKey, cose_of
from tests.wire import Wire, code_of


def test_a_factor_that_an_administrator_gives_counts_at_once(admin: Admin, wire: Wire, cast: Cast) -> None:
    secret = pyotp.random_base32()
    bob = f"/users/{cast.bob.id}"
    made = admin.post(
        f"{bob}/authentication-methods", {"type": "totp", "totp_secret": secret, "name": "phone"}
    )
    assert made["totp_secret"] == secret and made["confirmed"] is True and made["id"].startswith("totp|dev_")
    token = wire.mfa_token("bob@example.com")
    wire.ok(wire.otp(token, code_of(secret)))
    listed = admin.get(f"{bob}/authentication-methods", include_totals="true")
    assert set(listed) == {"start", "limit", "total", "authenticators"}
    shown = listed["authenticators"][0]
    assert shown["type"] == "totp" and "last_auth_at" in shown and "totp_secret" not in shown
    again = admin.ask("POST", f"{bob}/authentication-methods", {"type": "totp", "totp_secret": secret})
    refused(again, 409, "authentication_method_already_exists")
    renamed = admin.patch(f"{bob}/authentication-methods/{made['id']}", {"name": "tablet"})
    assert renamed["name"] == "tablet"
    admin.delete(f"{bob}/authentication-methods/{made['id']}")
    refused(
        admin.ask("DELETE", f"{bob}/authentication-methods/{made['id']}"),
        404,
        "inexistent_authentication_method",
        "The authentication method could not be found.",
    )
    wire.ok(wire.password("bob@example.com"))


def test_a_phone_is_shown_and_removed(admin: Admin, wire: Wire, cast: Cast) -> None:
    phone = making.enroll_push(wire.server, cast.bob)
    bob = f"/users/{cast.bob.id}"
    (method,) = admin.get(f"{bob}/authentication-methods")
    assert (method["type"], method["name"], method["link_id"]) == ("push", phone.name, phone.id)
    assert method["authentication_methods"] == [{"type": "push", "id": f"push|{phone.id}"}]
    (found,) = admin.get(f"{bob}/enrollments")
    assert (found["id"], found["type"], found["auth_method"]) == (phone.id, "pn", "guardian")
    assert found["identifier"] == phone.identifier
    assert "public_key" not in str(method) + str(found)
    admin.delete(f"/guardian/enrollments/{phone.id}")
    wire.ok(wire.password("bob@example.com"))


def test_apples_signing_key_is_kept_and_never_shown(admin: Admin) -> None:
    path = "/guardian/factors/push-notification/providers/apns"
    given = {"bundle_id": "com.example", "key_id": "K", "team_id": "T", "sandbox": True, "p8": "secret"}
    admin.put(path, given)
    assert admin.get(path) == {name: value for name, value in given.items() if name != "p8"}


@pytest.mark.parametrize("secret", ["", "short", "not base 32 at all!!", "1" * 32])
def test_a_secret_that_is_none_is_refused(admin: Admin, cast: Cast, secret: str) -> None:
    body = {"type": "totp", "totp_secret": secret}
    refused(admin.ask("POST", f"/users/{cast.bob.id}/authentication-methods", body), 400, "invalid_body")


def test_factors_that_are_not_here_yet_say_so(admin: Admin, cast: Cast) -> None:
    body = {"type": "passkey", "key_id": "x", "name": "x"}
    answer = admin.ask("POST", f"/users/{cast.bob.id}/authentication-methods", body)
    refused(answer, 400, "operation_not_supported")


def test_the_reset_playbook_works_with_stock_calls(admin: Admin, wire: Wire, cast: Cast) -> None:
    tokens = wire.login(cast.alice_totp, scope="openid offline_access")
    alice = f"/users/{cast.alice.id}"
    listed = admin.get(f"{alice}/refresh-tokens")
    assert len(listed["tokens"]) == 1 and listed["tokens"][0]["client_id"] == "app"
    assert listed["tokens"][0]["device"]["last_ip"] == "127.0.0.1"
    admin.delete(f"{alice}/authenticators")
    assert admin.ask("POST", f"{alice}/multifactor/actions/invalidate-remember-browser").status_code == 204
    assert admin.ask("DELETE", f"{alice}/refresh-tokens").status_code == 202
    assert admin.ask("POST", f"{alice}/revoke-access", {}).status_code == 202
    assert wire.refresh(tokens["refresh_token"]).status_code == 403
    assert wire.get("/userinfo", tokens["access_token"]).status_code == 401
    assert admin.get(f"{alice}/authentication-methods") == [] and admin.get(f"{alice}/enrollments") == []
    refused(
        admin.ask("POST", f"{alice}/recovery-code-regeneration"),
        404,
        "inexistent_enrollment",
        "Enrollment not found.",
    )
    wire.ok(wire.password("alice@example.com"))
    assert {"gd_unenroll", "srrt", "sapi"} <= {event.type for event in wire.events()}


def test_a_regenerated_recovery_code_takes_the_place_of_the_old(admin: Admin, wire: Wire, cast: Cast) -> None:
    code = admin.ask("POST", f"/users/{cast.alice.id}/recovery-code-regeneration").json
    assert code is not None and len(code["recovery_code"]) == 24
    assert wire.recovery(wire.mfa_token(), cast.alice_recovery).status_code == 403
    wire.ok(wire.recovery(wire.mfa_token(), code["recovery_code"]))


def test_enrolments_are_found_by_device_alone(admin: Admin, cast: Cast) -> None:
    found = admin.get(f"/users/{cast.alice.id}/enrollments")
    assert [(each["status"], each["auth_method"]) for each in found] == [("confirmed", "authenticator")]
    assert admin.get(f"/guardian/enrollments/{found[0]['id']}")["id"] == found[0]["id"]
    admin.delete(f"/guardian/enrollments/{found[0]['id']}")
    refused(admin.ask("GET", f"/guardian/enrollments/{found[0]['id']}"), 404, "inexistent_enrollment")


def test_all_eight_factors_are_listed_and_switched(admin: Admin) -> None:
    listed = admin.get("/guardian/factors")
    assert [each["name"] for each in listed] == [
        "sms",
        "push-notification",
        "otp",
        "email",
        "duo",
        "webauthn-roaming",
        "webauthn-platform",
        "recovery-code",
    ]
    assert {each["name"] for each in listed if each["enabled"]} == {"otp", "recovery-code"}
    assert admin.put("/guardian/factors/sms", {"enabled": True}) == {"enabled": True}
    assert next(each for each in admin.get("/guardian/factors") if each["name"] == "sms")["enabled"] is True
    refused(admin.ask("PUT", "/guardian/factors/carrier-pigeon", {"enabled": True}), 400, "invalid_uri")


def test_a_factor_that_is_switched_off_is_not_enrolled_and_those_who_have_it_keep_it(
    admin: Admin, wire: Wire, cast: Cast
) -> None:
    admin.put("/guardian/factors/otp", {"enabled": False})
    answer = wire.password("alice@example.com", CAROLS_PASSWORD, realm="guests")
    assert answer.json is not None and answer.json["mfa_requirements"] == {"enroll": []}
    assert wire.associate(answer.json["mfa_token"], "otp").status_code == 400
    wire.login(cast.alice_totp)


def test_a_recovery_code_comes_only_where_it_is_switched_on(admin: Admin, wire: Wire, cast: Cast) -> None:
    admin.put("/guardian/factors/recovery-code", {"enabled": False})
    token = wire.mfa_token("alice@example.com", CAROLS_PASSWORD, realm="guests")
    assert "recovery_codes" not in wire.ok(wire.associate(token, "otp"))


def test_the_tenants_policy_holds_for_the_next_login(admin: Admin, wire: Wire, cast: Cast) -> None:
    made = admin.post("/connections", {"name": "new", "strategy": "auth0", "enabled_clients": ["app"]})
    admin.post("/users", {"connection": "new", "email": "n@example.com", "password": "A long passw0rd"})
    wire.ok(wire.password("n@example.com", "A long passw0rd", realm="new"))
    assert admin.put("/guardian/policies", ["all-applications"]) == ["all-applications"]
    assert wire.password("n@example.com", "A long passw0rd", realm="new").status_code == 403
    assert admin.put("/guardian/policies", []) == [] and admin.get("/guardian/policies") == []
    wire.ok(wire.password("n@example.com", "A long passw0rd", realm="new"))
    refused(admin.ask("PUT", "/guardian/policies", ["sometimes"]), 400, "invalid_body")
    assert made["name"] == "new"


def test_settings_of_providers_are_kept_and_their_secrets_are_not_shown(admin: Admin, wire: Wire) -> None:
    path = "/guardian/factors/phone/providers/twilio"
    assert admin.get(path) == {}
    shown = admin.put(path, {"from": "+15550100", "sid": "AC1", "auth_token": "hush-hush"})
    assert shown == {"from": "+15550100", "sid": "AC1"} == admin.get("/guardian/factors/sms/providers/twilio")
    assert "hush" not in str([event.details for event in wire.events()])
    assert admin.get("/guardian/factors/phone/message-types") == {"message_types": []}
    admin.put("/guardian/factors/phone/message-types", {"message_types": ["voice"]})
    assert admin.get("/guardian/factors/phone/message-types") == {"message_types": ["voice"]}
    settings = admin.get("/guardian/factors/webauthn-roaming/settings")
    assert settings == {"userVerification": "preferred", "overrideRelyingParty": False}


def test_a_security_key_is_brought_along_shown_and_used(admin: Admin, wire: Wire, cast: Cast) -> None:
    key = SecurityKey(flags=UP | UV | BE, counter=0)
    public_key = b64encode(encode_cbor(cose_of(key.private_key, key.alg))).decode()
    methods = f"/users/{cast.bob.id}/authentication-methods"
    given = {
        "type": "webauthn-roaming",
        "name": "Blue",
        "key_id": b64encode(key.id).decode(),
        "public_key": public_key,
    }
    made = admin.post(methods, given)
    assert made["key_id"] == bytes_to_base64url(key.id) and made["confirmed"] is True
    assert made["relying_party_identifier"] == "127.0.0.1" and "credential_device_type" not in made
    refused(admin.ask("POST", methods, given), 409, "authentication_method_already_exists")
    other = f"/users/{cast.carol.id}/authentication-methods"
    refused(admin.ask("POST", other, given), 409, "authentication_method_already_exists")
    token = wire.mfa_token("bob@example.com")
    options = wire.ok(wire.challenge(token, challenge_type="webauthn"))["authn_params_public_key"]
    wire.ok(wire.webauthn(token, key.get(options)))
    (shown,) = admin.get(methods)
    assert (shown["type"], shown["credential_device_type"]) == ("webauthn-roaming", "multi_device")
    (enrollment,) = admin.get(f"/users/{cast.bob.id}/enrollments")
    assert enrollment["auth_method"] == "webauthn-roaming"
    assert admin.get(f"/guardian/enrollments/{enrollment['id']}")["status"] == "confirmed"


@pytest.mark.parametrize(
    "change", [{"key_id": ""}, {"key_id": "é" * 20}, {"public_key": "AAAA"}, {"public_key": None}]
)
def test_a_security_key_that_cannot_be_one_is_refused(
    admin: Admin, cast: Cast, change: dict[str, str | None]
) -> None:
    key = SecurityKey()
    public_key = bytes_to_base64url(encode_cbor(cose_of(key.private_key, key.alg)))
    given = {"type": "webauthn-roaming", "key_id": bytes_to_base64url(key.id), "public_key": public_key}
    refused(
        admin.ask("POST", f"/users/{cast.bob.id}/authentication-methods", given | change), 400, "invalid_body"
    )
