"""@auth0/auth0-auth-js as it is published, over TLS: discovery, both steps of a login, the own factors."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyotp
import pytest
import trustme

from app.crypto import random_id
from tests import making
from tests.making import API, APP_SECRET, PASSWORD
from tests.sdk.auth_js import AuthJs, SdkError, auth_js
from tests.sdk.site import Site
from tests.wire import FULL, code_of

MANAGE = "enroll read:authenticators remove:authenticators"


@pytest.fixture(scope="module")
def sdk(secure_site: Site, authority: Path) -> Iterator[AuthJs]:
    options = {"clientSecret": APP_SECRET}
    with auth_js(secure_site.domain, authority / "ca.pem", "app", **options) as found:
        yield found


def password_step(sdk: AuthJs, username: str | None, **options: object) -> dict[str, Any]:
    """The login of somebody who owes a factor: what the SDK makes of `mfa_required`."""
    with pytest.raises(SdkError) as error:
        sdk.call("getTokenByPassword", username=username, password=PASSWORD, **options)
    told = error.value.told
    assert told["name"] == "TokenByPasswordError" and told["statusCode"] == 403, told
    assert told["isMfaRequired"] and told["mfa_token"], told
    return told


def next_code(secret: str) -> str:
    """The code of the coming half minute, which is accepted early: a code serves once, and no test sleeps."""
    return pyotp.TOTP(secret).at(making.now() + timedelta(seconds=30))


def refused(error: pytest.ExceptionInfo[SdkError]) -> tuple[str, str]:
    return error.value.told["error"], error.value.told["error_description"]


def test_discovers_the_server_by_its_exact_issuer(sdk: AuthJs, secure_site: Site) -> None:
    metadata = sdk.call("getServerMetadata")
    assert metadata["issuer"] == secure_site.issuer == f"https://{secure_site.domain}/"
    assert metadata["token_endpoint"] == f"{secure_site.issuer}oauth/token"
    assert metadata["revocation_endpoint"] == f"{secure_site.issuer}oauth/revoke"


def test_a_password_is_enough_with_a_realm_and_without(sdk: AuthJs, secure_site: Site) -> None:
    bob = secure_site.person()
    login = {"username": bob.email, "password": PASSWORD}
    for tokens in (
        sdk.call("getTokenByPassword", scope="openid", **login),
        sdk.call("getTokenByPassword", scope="openid", realm="staff", **login),
    ):
        assert tokens["claims"]["sub"] == bob.id and tokens["claims"]["aud"] == "app"
        assert tokens["tokenType"].lower() == "bearer" and "refreshToken" not in tokens
    profile = sdk.call("getUserInfo", accessToken=tokens["accessToken"], expectedSubject=bob.id)
    assert profile["sub"] == bob.id
    with pytest.raises(SdkError) as error:
        sdk.call("getTokenByPassword", realm="guests", **login)
    assert refused(error) == ("invalid_grant", "Wrong email or password.")


def test_enrols_at_the_first_login_and_is_challenged_at_the_second(sdk: AuthJs, secure_site: Site) -> None:
    carol = secure_site.person("guests")
    first = password_step(sdk, carol.email, realm="guests", **FULL)
    assert {"type": "otp"} in first["mfa_requirements"]["enroll"]
    token = {"mfaToken": first["mfa_token"]}
    assert sdk.call("mfa.listAuthenticators", **token) == []
    enrolled = sdk.call("mfa.enrollAuthenticator", authenticatorTypes=["otp"], **token)
    assert enrolled["authenticatorType"] == "otp" and len(enrolled["recoveryCodes"]) == 1
    secret = pyotp.parse_uri(enrolled["barcodeUri"]).secret
    assert secret == enrolled["secret"]
    tokens = sdk.call("mfa.verify", factorType="otp", otp=code_of(secret), **token)
    assert tokens["claims"]["sub"] == carol.id and tokens["refreshToken"]

    second = {"mfaToken": password_step(sdk, carol.email, realm="guests")["mfa_token"]}
    listed = sdk.call("mfa.listAuthenticators", **second)
    assert [(a["authenticatorType"], a["active"]) for a in listed] == [("otp", True), ("recovery-code", True)]
    chosen = {"authenticatorId": enrolled["id"], "challengeType": "otp"}
    assert sdk.call("mfa.challengeAuthenticator", **chosen, **second) == {"challengeType": "otp"}
    again = sdk.call("mfa.verify", factorType="otp", otp=next_code(secret), **second)
    assert again["claims"]["sub"] == carol.id


def test_is_told_why_the_second_step_fails(sdk: AuthJs, secure_site: Site) -> None:
    alice, secret = secure_site.enrolled_person()
    token = {"mfaToken": password_step(sdk, alice.email, scope="openid")["mfa_token"]}
    with pytest.raises(SdkError) as error:
        sdk.call("mfa.verify", factorType="otp", otp="12345", **token)
    assert error.value.told["name"] == "MfaVerifyError"
    assert refused(error) == ("invalid_grant", "Invalid otp_code.")
    with pytest.raises(SdkError) as error:
        sdk.call("mfa.challengeAuthenticator", challengeType="oob", **token)
    assert (error.value.told["name"], refused(error)[0]) == (
        "MfaChallengeError",
        "unsupported_challenge_type",
    )
    with pytest.raises(SdkError) as error:
        sdk.call("mfa.enrollAuthenticator", authenticatorTypes=["otp"], **token)
    assert error.value.told["name"] == "MfaEnrollmentError"
    assert refused(error) == ("access_denied", "User is already enrolled.")
    with pytest.raises(SdkError) as error:
        sdk.call("mfa.listAuthenticators", mfaToken="unknown")
    assert error.value.told["name"] == "MfaListAuthenticatorsError"
    assert sdk.call("mfa.verify", factorType="otp", otp=code_of(secret), **token)["claims"]


def test_a_recovery_code_brings_the_next_one(sdk: AuthJs, secure_site: Site) -> None:
    alice, _ = secure_site.enrolled_person()
    code = making.give_recovery_code(secure_site.live.server, alice, random_id(24).upper())
    for _ in range(2):
        token = password_step(sdk, alice.email)["mfa_token"]
        proof = {"factorType": "recovery-code", "recoveryCode": code, "mfaToken": token}
        tokens = sdk.call("mfa.verify", audience=API, **proof)
        assert len(tokens["recoveryCode"]) == 24 and tokens["recoveryCode"] != code
        code = tokens["recoveryCode"]
    with pytest.raises(SdkError) as error:
        sdk.call("mfa.verify", **proof)
    assert refused(error) == ("invalid_grant", "Malformed mfa_token")


def test_the_own_factors_are_managed_with_a_token_for_them(sdk: AuthJs, secure_site: Site) -> None:
    alice, secret = secure_site.enrolled_person()
    audience = f"{secure_site.issuer}mfa/"
    stored = password_step(sdk, alice.email, audience=audience, scope=MANAGE)["mfa_token"]
    tokens = sdk.call("mfa.verify", factorType="otp", otp=code_of(secret), mfaToken=stored)
    token = {"mfaToken": tokens["accessToken"]}
    enrolled = sdk.call("mfa.enrollAuthenticator", authenticatorTypes=["otp"], **token)
    assert sdk.call("mfa.verify", factorType="otp", otp=code_of(enrolled["secret"]), **token)["accessToken"]
    active = [a["id"] for a in sdk.call("mfa.listAuthenticators", **token) if a["type"] == "otp"]
    assert len(active) == 2 and enrolled["id"] in active
    assert sdk.call("mfa.deleteAuthenticator", authenticatorId=enrolled["id"], **token) is None
    with pytest.raises(SdkError) as error:
        sdk.call("mfa.deleteAuthenticator", authenticatorId=enrolled["id"], **token)
    assert error.value.told["name"] == "MfaDeleteAuthenticatorError"
    active = [a["id"] for a in sdk.call("mfa.listAuthenticators", **token) if a["type"] == "otp"]
    assert len(active) == 1


def test_refreshes_and_revokes(sdk: AuthJs, secure_site: Site) -> None:
    bob = secure_site.person()
    login = sdk.call("getTokenByPassword", username=bob.email, password=PASSWORD, **FULL)
    refreshed = sdk.call("getTokenByRefreshToken", refreshToken=login["refreshToken"])
    assert refreshed["scope"] == FULL["scope"] and refreshed["claims"]["sub"] == bob.id
    current = refreshed["refreshToken"]
    narrowed = sdk.call("getTokenByRefreshToken", refreshToken=current, scope="openid offline_access")
    assert narrowed["scope"] == "openid offline_access"
    hint = {"tokenTypeHint": "refresh_token"}
    assert sdk.call("revokeToken", token=narrowed["refreshToken"], **hint) is None
    with pytest.raises(SdkError) as error:
        sdk.call("getTokenByRefreshToken", refreshToken=narrowed["refreshToken"])
    assert error.value.told["name"] == "TokenByRefreshTokenError" and error.value.told["statusCode"] == 403
    assert refused(error) == ("invalid_grant", "Unknown or invalid refresh token.")


def test_proves_itself_with_its_private_key(secure_site: Site, authority: Path) -> None:
    bob, client_id = secure_site.person(), random_id()
    key = {"clientAssertionSigningKey": secure_site.client_with_key(client_id)}
    with auth_js(secure_site.domain, authority / "ca.pem", client_id, **key) as sdk:
        login = sdk.call("getTokenByPassword", username=bob.email, password=PASSWORD, **FULL)
        assert login["claims"]["aud"] == client_id
        refreshed = sdk.call("getTokenByRefreshToken", refreshToken=login["refreshToken"])
        assert sdk.call("revokeToken", token=refreshed["refreshToken"]) is None


def test_a_server_of_an_unknown_authority_is_not_talked_to(secure_site: Site, tmp_path: Path) -> None:
    stranger = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(stranger))
    with (
        auth_js(secure_site.domain, stranger, "app", clientSecret=APP_SECRET) as sdk,
        pytest.raises(SdkError) as error,
    ):
        sdk.call("getServerMetadata")
    assert error.value.told["reason"] == "UNABLE_TO_VERIFY_LEAF_SIGNATURE"
