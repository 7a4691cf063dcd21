"""An application's page in a real browser: its security key as a second factor, and as a passkey before everything."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from playwright.sync_api import Page

from app.store import clients, realms
from tests import making
from tests.browser import browsing, serving_page
from tests.databases import KINDS, Templates
from tests.evidence import size
from tests.live import Live, serving
from tests.making import PASSWORD, Cast

# What an application writes: the browser's own JSON goes in and out as it is.
PAGE = """<!doctype html><meta charset="utf-8"><title>Till</title><script>
async function post(path, body, token) {
  const headers = {"Content-Type": "application/json"}
  if (token) headers.Authorization = `Bearer ${token}`
  const answer = await fetch(BELAY + path, {method: "POST", headers, body: JSON.stringify(body)})
  return await answer.json()
}
const client = {client_id: "phone-app"}
async function begin() {
  return (await post("/oauth/token", {...client, grant_type: "password", realm: "guests", scope: "openid",
    username: USERNAME, password: PASSWORD})).mfa_token
}
async function finish(mfa_token, credential) {
  const grant_type = "urn:okta:params:oauth:grant-type:mfa-webauthn"
  return await post("/oauth/token", {...client, grant_type, mfa_token, authn_response: credential.toJSON()})
}
async function enrol(type) {
  const token = await begin()
  const shown = await post("/mfa/associate", {authenticator_types: [type]}, token)
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(shown.authn_params_public_key)
  return await finish(token, await navigator.credentials.create({publicKey}))
}
async function login() {
  const token = await begin()
  const shown = await post("/mfa/challenge", {...client, mfa_token: token, challenge_type: "webauthn"})
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(shown.authn_params_public_key)
  return await finish(token, await navigator.credentials.get({publicKey}))
}
async function exchange(shown, credential) {
  const grant_type = "urn:okta:params:oauth:grant-type:webauthn"
  return await post("/oauth/token", {...client, grant_type, scope: "openid", auth_session: shown.auth_session,
    authn_response: credential.toJSON()})
}
async function signUp(user_profile) {
  const shown = await post("/passkey/register", {...client, realm: "guests", user_profile})
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(shown.authn_params_public_key)
  return await exchange(shown, await navigator.credentials.create({publicKey}))
}
async function passkey() {
  const shown = await post("/passkey/challenge", {...client, realm: "guests"})
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(shown.authn_params_public_key)
  return await exchange(shown, await navigator.credentials.get({publicKey}))
}
</script>"""


@contextmanager
def on_page(live: Live, cast: Cast, transport: str, username: str | None = "") -> Iterator[Page]:
    """The application's page, whose origin the application is known by."""
    words = {"BELAY": live.base, "USERNAME": username, "PASSWORD": PASSWORD}
    script = f"<script>const {{BELAY, USERNAME, PASSWORD}} = {json.dumps(words)}\n"
    with serving_page(PAGE.replace("<script>", script)) as origin, browsing(transport=transport) as page:
        with live.server.db.write() as conn:
            clients.set_origins(conn, cast.phone_app.id, [origin])
        page.goto(origin)
        yield page


def claims_of(answer: Any) -> dict[str, Any]:
    assert "id_token" in answer, answer
    return dict(jwt.decode(answer["id_token"], options={"verify_signature": False}))


@pytest.mark.parametrize("kind", KINDS[: size(1, 2)])
def test_a_browser_registers_and_logs_in(templates: Templates, tmp_path: Path, kind: str) -> None:
    with serving(templates, kind, tmp_path, workers=2, host_name="localhost") as live:
        cast = making.make_cast(live.server)
        making.switch_on(live.server, "webauthn-roaming", "webauthn-platform")
        for type, transport in (("webauthn-roaming", "usb"), ("webauthn-platform", "internal")):
            user = making.make_user(live.server, cast.guests, f"{transport}@example.com")
            with on_page(live, cast, transport, user.email) as page:
                first: Any = page.evaluate("t => enrol(t)", type)
                assert "id_token" in first, first
                for _ in range(2):
                    again: Any = page.evaluate("login()")
                    assert claims_of(again)["amr"] == ["pwd", "hwk", "user", "mfa"]


@pytest.mark.parametrize("kind", KINDS[: size(1, 2)])
def test_a_browser_makes_an_account_with_a_passkey_and_logs_in_by_it(
    templates: Templates, tmp_path: Path, kind: str
) -> None:
    """A realm in which a verified passkey is both factors, so that nothing but the browser's key is asked for."""
    with serving(templates, kind, tmp_path, workers=2, host_name="localhost") as live:
        cast = making.make_cast(live.server)
        making.set_policy(
            live.server, cast.guests, {"mode": "always", "factors": {"passkey_satisfies": True}}
        )
        with live.server.db.write() as conn:
            options = cast.guests.options | {"authentication_methods": {"passkey": {"enabled": True}}}
            realms.update_realm(conn, cast.guests.id, options=options)
        for transport in ("usb", "internal"):
            with on_page(live, cast, transport) as page:
                person = {"email": f"{transport}@example.com", "name": transport}
                first = claims_of(page.evaluate("person => signUp(person)", person))
                for _ in range(2):
                    again = claims_of(page.evaluate("passkey()"))
                    assert again["sub"] == first["sub"] and again["amr"] == ["hwk", "user"]
                other = claims_of(
                    page.evaluate("person => signUp(person)", {"email": f"second.{transport}@example.com"})
                )
                assert other["sub"] != first["sub"]
