"""auth0-python as it is installed: its login, its refusals, its checks of our tokens."""

from pathlib import Path
from typing import Any

import pytest
from auth0.authentication import GetToken, RevokeToken, Users
from auth0.authentication.exceptions import Auth0Error, RateLimitError, TokenValidationError
from auth0.authentication.token_verifier import AsymmetricSignatureVerifier, TokenVerifier

from app.crypto import random_id
from tests import making
from tests.making import API, APP_SECRET, PASSWORD
from tests.sdk.site import Site
from tests.wire import FULL, MFA_OTP, code_of

APP: dict[str, Any] = {"client_id": "app", "client_secret": APP_SECRET, "protocol": "http", "timeout": 30.0}
# The SDK signs with a time that Python 3.12 calls deprecated.
SIGNS = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")


@pytest.fixture
def tokens(site: Site) -> GetToken:
    return GetToken(site.domain, **APP)


def refused(error: pytest.ExceptionInfo[Auth0Error]) -> tuple[int, str, str]:
    return error.value.status_code, error.value.error_code, error.value.message


def test_logs_in_at_a_realm_and_at_the_default_directory(site: Site, tokens: GetToken) -> None:
    bob = str(site.person().email)
    at_realm = tokens.login(bob, PASSWORD, realm="staff", **FULL)
    assert set(at_realm) == {"access_token", "id_token", "refresh_token", "expires_in", "token_type"}
    by_default = tokens.login(bob, PASSWORD, grant_type="password", scope="openid")
    assert by_default["expires_in"] == 86400 and by_default["token_type"] == "Bearer"
    with pytest.raises(Auth0Error) as error:  # its default grant wants a realm and sends null
        tokens.login(bob, PASSWORD)
    assert refused(error) == (400, "invalid_request", "Missing required parameter: realm")


def test_is_told_of_a_wrong_password_and_of_a_wrong_secret(site: Site, tokens: GetToken) -> None:
    bob = str(site.person().email)
    with pytest.raises(Auth0Error) as error:
        tokens.login(bob, "not his password", realm="staff")
    assert refused(error) == (403, "invalid_grant", "Wrong email or password.")
    with pytest.raises(Auth0Error) as error:
        GetToken(site.domain, **(APP | {"client_secret": "wrong"})).login(bob, PASSWORD, realm="staff")
    assert refused(error) == (401, "access_denied", "Unauthorized")


def test_carries_the_mfa_token_to_the_second_step(site: Site, tokens: GetToken) -> None:
    alice, secret = site.enrolled_person()
    with pytest.raises(Auth0Error) as error:
        tokens.login(str(alice.email), PASSWORD, realm="staff", **FULL)
    assert (error.value.status_code, error.value.error_code) == (403, "mfa_required")
    assert error.value.content is not None
    proof = {"mfa_token": error.value.content["mfa_token"], "otp": code_of(secret)}
    url = f"{site.issuer}oauth/token"
    completed = tokens.authenticated_post(url, {"client_id": "app", "grant_type": MFA_OTP} | proof)
    assert completed["id_token"] and completed["refresh_token"]
    assert Users(site.domain, protocol="http").userinfo(completed["access_token"])["sub"] == alice.id


def test_gets_a_token_for_itself(site: Site) -> None:
    api, client_id = f"https://{random_id()}.example.com", random_id()
    making.make_api(site.live.server, api)
    making.make_client(site.live.server, client_id, secret=APP_SECRET)
    tokens = GetToken(site.domain, **(APP | {"client_id": client_id}))
    with pytest.raises(Auth0Error) as error:
        tokens.client_credentials(api)
    assert refused(error)[:2] == (403, "access_denied")
    making.grant_scopes(site.live.server, client_id, api, "read:things")
    granted = tokens.client_credentials(api)
    assert set(granted) == {"access_token", "expires_in", "scope", "token_type"}
    assert granted["scope"] == "read:things"


def test_refreshes_with_the_whole_scope_and_with_less(site: Site, tokens: GetToken) -> None:
    login = tokens.login(str(site.person().email), PASSWORD, realm="staff", **FULL)
    refreshed = tokens.refresh_token(login["refresh_token"])
    assert refreshed["scope"] == FULL["scope"] and refreshed["id_token"]
    assert refreshed["refresh_token"] != login["refresh_token"]
    narrowed = tokens.refresh_token(refreshed["refresh_token"], scope="openid offline_access")
    assert narrowed["scope"] == "openid offline_access"
    with pytest.raises(Auth0Error) as error:
        tokens.refresh_token(login["refresh_token"])
    assert refused(error) == (403, "invalid_grant", "Unknown or invalid refresh token.")


def test_revokes_a_refresh_token(site: Site, tokens: GetToken) -> None:
    login = tokens.login(str(site.person().email), PASSWORD, realm="staff", **FULL)
    revoke = RevokeToken(site.domain, **APP)
    assert revoke.revoke_refresh_token(login["refresh_token"]) == ""
    with pytest.raises(Auth0Error) as error:
        tokens.refresh_token(login["refresh_token"])
    assert refused(error) == (403, "invalid_grant", "Unknown or invalid refresh token.")
    assert revoke.revoke_refresh_token("unknown") == ""


def test_reads_the_profile(site: Site, tokens: GetToken) -> None:
    bob, users = site.person(), Users(site.domain, protocol="http")
    login = tokens.login(str(bob.email), PASSWORD, realm="staff", scope="openid email")
    assert users.userinfo(login["access_token"]) == {
        "sub": bob.id,
        "email": bob.email,
        "email_verified": True,
    }
    with pytest.raises(Auth0Error) as error:
        users.userinfo("not a token")
    assert error.value.status_code == 401


def test_verifies_our_id_token_with_our_published_keys(site: Site, tokens: GetToken) -> None:
    bob, other = site.person(), site.person()
    id_token, others = (
        tokens.login(str(user.email), PASSWORD, realm="staff", scope="openid")["id_token"]
        for user in (bob, other)
    )
    keys = AsymmetricSignatureVerifier(f"{site.issuer}.well-known/jwks.json")
    claims = TokenVerifier(keys, issuer=site.issuer, audience="app").verify(id_token, max_age=60)
    assert claims["sub"] == bob.id
    with pytest.raises(TokenValidationError, match="aud"):
        TokenVerifier(keys, issuer=site.issuer, audience="mallory").verify(id_token)
    forged = id_token.rpartition(".")[0] + "." + others.rpartition(".")[2]
    with pytest.raises(TokenValidationError, match="signature"):
        TokenVerifier(keys, issuer=site.issuer, audience="app").verify(forged)


def test_sees_the_block_after_ten_wrong_passwords_as_a_rate_limit(site: Site, tokens: GetToken) -> None:
    bob = str(site.person().email)
    for _ in range(10):
        with pytest.raises(Auth0Error) as error:
            tokens.login(bob, "not his password", realm="staff")
        assert refused(error) == (403, "invalid_grant", "Wrong email or password.")
    with pytest.raises(RateLimitError) as limited:
        tokens.login(bob, PASSWORD, realm="staff")
    assert limited.value.error_code == "too_many_attempts"
    assert limited.value.message.startswith("Your account has been blocked after multiple consecutive login")
    assert isinstance(limited.value.reset_at, int)


def test_is_believed_about_the_address_of_its_user(site: Site) -> None:
    bob, client_id = str(site.person().email), random_id()
    making.make_client(
        site.live.server, client_id, secret=APP_SECRET, realm_names=("staff",), trusts_forwarded_ip=True
    )
    tokens = GetToken(site.domain, **(APP | {"client_id": client_id}))
    for _ in range(10):
        with pytest.raises(Auth0Error):
            tokens.login(bob, "not his password", realm="staff", forwarded_for="203.0.113.7")
    with pytest.raises(RateLimitError):
        tokens.login(bob, PASSWORD, realm="staff", forwarded_for="203.0.113.7")
    assert tokens.login(bob, PASSWORD, realm="staff", forwarded_for="198.51.100.9")["access_token"]


@SIGNS
def test_proves_itself_with_its_private_key(
    secure_site: Site, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority / "ca.pem"))
    client_id = random_id()
    key = secure_site.client_with_key(client_id)
    tokens = GetToken(secure_site.domain, client_id, client_assertion_signing_key=key, timeout=30.0)
    login = tokens.login(str(secure_site.person().email), PASSWORD, realm="staff", **FULL)
    refreshed = tokens.refresh_token(login["refresh_token"])
    assert refreshed["scope"] == FULL["scope"]
    revoke = RevokeToken(secure_site.domain, client_id, client_assertion_signing_key=key, timeout=30.0)
    assert revoke.revoke_refresh_token(refreshed["refresh_token"]) == ""


@SIGNS
def test_is_refused_with_another_private_key(
    secure_site: Site, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority / "ca.pem"))
    client_id = random_id()
    secure_site.client_with_key(client_id)
    other_key = secure_site.client_with_key(random_id())
    tokens = GetToken(secure_site.domain, client_id, client_assertion_signing_key=other_key)
    with pytest.raises(Auth0Error) as error:
        tokens.login(str(secure_site.person().email), PASSWORD, realm="staff", audience=API)
    assert refused(error)[:2] == (401, "invalid_client")
