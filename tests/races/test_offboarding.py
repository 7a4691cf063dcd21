"""Whoever is shut out by the management API is out on every worker with the very next request (T54)."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest

from app.accounts.setup import MANAGEMENT_SCOPES
from app.crypto import random_id
from tests import making
from tests.evidence import report, size
from tests.live import Answer, Live, form_request, raw_request
from tests.making import API, Cast
from tests.wire import MFA_OTP, code_of

pytestmark = [pytest.mark.races]

SECRET = "secret-of-an-application-" + "x" * 30
AT_ONCE = 12  # requests after the change, spread over four workers
ROUNDS = size(1, 10)


@dataclass
class Leaver:
    """Somebody with an authenticator, logged in and once more in the middle of a login, in a realm of their own."""

    live: Live
    admin: str
    realm_id: str
    client_id: str
    user_id: str
    refresh_token: str
    access_token: str
    mfa_token: str
    code: str

    def manage(self, method: str, path: str, body: Any = None) -> Answer:
        headers = {"Authorization": f"Bearer {self.admin}", "Content-Type": "application/json"}
        raw = b"" if body is None else json.dumps(body).encode()
        answer = self.live.send(raw_request(method, f"/api/v2{path}", self.live.host, raw, headers))
        assert answer.status < 300, answer.text
        return answer

    def remove_factor(self) -> Answer:
        [factor] = self.manage("GET", f"{self.user}/authentication-methods").json
        return self.manage("DELETE", f"{self.user}/authentication-methods/{quote(factor['id'])}")

    @property
    def user(self) -> str:
        return f"/users/{quote(self.user_id)}"


@pytest.fixture(scope="module")
def admin(live: Live, cast: Cast) -> str:
    making.make_client(live.server, "admin", secret=SECRET)
    audience = f"{live.server.settings.issuer}api/v2/"
    making.grant_scopes(live.server, "admin", audience, *MANAGEMENT_SCOPES)
    answer = live.post(
        "/oauth/token",
        grant_type="client_credentials",
        client_id="admin",
        client_secret=SECRET,
        audience=audience,
    )
    return str(answer.json["access_token"])


def joined(live: Live, admin: str) -> Leaver:
    name = random_id(8)
    realm = making.make_realm(live.server, name, "when_enrolled")
    client = making.make_client(live.server, f"app-{name}", secret=SECRET, realm_names=(name,))
    user = making.make_user(live.server, realm, f"{name}@example.com")
    login = {
        "grant_type": "password",
        "realm": name,
        "username": f"{name}@example.com",
        "password": making.PASSWORD,
        "client_id": client.id,
        "client_secret": SECRET,
        "scope": "openid offline_access",
        "audience": API,
    }
    tokens = live.post("/oauth/token", **login).json
    secret = making.enroll_totp(live.server, user)
    mfa_token = live.post("/oauth/token", **login).json["mfa_token"]
    return Leaver(
        live,
        admin,
        realm.id,
        client.id,
        user.id,
        tokens["refresh_token"],
        tokens["access_token"],
        mfa_token,
        code_of(secret),
    )


CHANGES: dict[str, Callable[[Leaver], Answer]] = {
    "blocked": lambda one: one.manage("PATCH", one.user, {"blocked": True}),
    "deleted": lambda one: one.manage("DELETE", one.user),
    "a new password": lambda one: one.manage("PATCH", one.user, {"password": "An entirely new passw0rd"}),
    "factors removed": lambda one: one.manage("DELETE", f"{one.user}/authenticators"),
    "the factor removed": Leaver.remove_factor,
    "access revoked": lambda one: one.manage("POST", f"{one.user}/revoke-access", {}),
    "connection switched off": lambda one: one.manage(
        "PATCH", f"/connections/{one.realm_id}", {"authentication": {"active": False}}
    ),
    "connection taken from the application": lambda one: one.manage(
        "PATCH", f"/connections/{one.realm_id}/clients", [{"client_id": one.client_id, "status": False}]
    ),
    "connection deleted": lambda one: one.manage("DELETE", f"/connections/{one.realm_id}"),
    "application switched off": lambda one: one.manage(
        "PATCH", f"/clients/{one.client_id}", {"enabled": False}
    ),
    "application deleted": lambda one: one.manage("DELETE", f"/clients/{one.client_id}"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_next_request_anywhere_obeys(live: Live, admin: str, change: str) -> None:
    for _ in range(ROUNDS):
        one = joined(live, admin)
        client = {"client_id": one.client_id, "client_secret": SECRET}
        refresh = form_request(
            live, "/oauth/token", client | {"grant_type": "refresh_token", "refresh_token": one.refresh_token}
        )
        otp = form_request(
            live,
            "/oauth/token",
            client | {"grant_type": MFA_OTP, "mfa_token": one.mfa_token, "otp": one.code},
        )
        userinfo = raw_request(
            "GET", "/userinfo", live.host, b"", {"Authorization": f"Bearer {one.access_token}"}
        )
        assert live.send(userinfo).status == 200
        CHANGES[change](one)
        answers = live.at_once([refresh, otp, userinfo] * (AT_ONCE // 3))
        assert all(400 <= answer.status < 500 for answer in answers), [a.text for a in answers]
    report(
        f"offboarding: {change}",
        tried=f"{ROUNDS} people, {ROUNDS * AT_ONCE} requests at once, 4 workers",
        held="0 answered with tokens or claims",
    )


def test_a_policy_that_became_stricter_holds_at_the_next_refresh(live: Live, admin: str) -> None:
    name = random_id(8)
    realm = making.make_realm(live.server, name, "inherit")
    making.make_client(live.server, f"app-{name}", secret=SECRET, realm_names=(name,))
    making.make_user(live.server, realm, f"{name}@example.com")
    client = {"client_id": f"app-{name}", "client_secret": SECRET}
    login = client | {
        "grant_type": "password",
        "realm": name,
        "username": f"{name}@example.com",
        "password": making.PASSWORD,
        "scope": "openid offline_access",
    }
    token = live.post("/oauth/token", **login).json["refresh_token"]
    one = Leaver(live, admin, realm.id, f"app-{name}", "", token, "", "", "")
    try:
        one.manage("PUT", "/guardian/policies", ["all-applications"])
        refresh = form_request(
            live, "/oauth/token", client | {"grant_type": "refresh_token", "refresh_token": token}
        )
        answers = live.at_once([refresh] * AT_ONCE)
        assert {(answer.status, answer.json["error"]) for answer in answers} == {(403, "mfa_required")}
    finally:
        one.manage("PUT", "/guardian/policies", [])


def test_a_factor_that_the_policy_takes_no_more_completes_no_login(live: Live, admin: str) -> None:
    making.switch_on(live.server, "webauthn-roaming")
    one = joined(live, admin)
    policy = {"mode": "always", "factors": {"allowed": ["webauthn-roaming"]}}
    one.manage("PUT", f"/connections/{one.realm_id}/mfa-policy", policy)
    client = {"client_id": one.client_id, "client_secret": SECRET}
    otp = {"grant_type": MFA_OTP, "mfa_token": one.mfa_token, "otp": one.code}
    refresh = {"grant_type": "refresh_token", "refresh_token": one.refresh_token}
    requests = [form_request(live, "/oauth/token", client | members) for members in (otp, refresh)]
    answers = live.at_once(requests * (AT_ONCE // 2))
    assert all(400 <= answer.status < 500 for answer in answers), [a.text for a in answers]
