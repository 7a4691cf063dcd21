"""An application's page in a real browser enrols the browser's security key and logs in with it."""

import json
from pathlib import Path
from typing import Any

import jwt
import pytest

from app.store import clients
from tests import making
from tests.browser import browsing, serving_page
from tests.databases import KINDS, Templates
from tests.evidence import size
from tests.live import serving
from tests.making import PASSWORD

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
</script>"""


@pytest.mark.parametrize("kind", KINDS[: size(1, 2)])
def test_a_browser_registers_and_logs_in(templates: Templates, tmp_path: Path, kind: str) -> None:
    with serving(templates, kind, tmp_path, workers=2, host_name="localhost") as live:
        cast = making.make_cast(live.server)
        making.switch_on(live.server, "webauthn-roaming", "webauthn-platform")
        for type, transport in (("webauthn-roaming", "usb"), ("webauthn-platform", "internal")):
            user = making.make_user(live.server, cast.guests, f"{transport}@example.com")
            words = {"BELAY": live.base, "USERNAME": user.email, "PASSWORD": PASSWORD}
            html = PAGE.replace(
                "<script>", f"<script>const {{BELAY, USERNAME, PASSWORD}} = {json.dumps(words)}\n"
            )
            with serving_page(html) as origin, browsing(transport=transport) as page:
                with live.server.db.write() as conn:
                    clients.set_origins(conn, cast.phone_app.id, [origin])
                page.goto(origin)
                first: Any = page.evaluate("t => enrol(t)", type)
                assert "id_token" in first, first
                for _ in range(2):
                    again: Any = page.evaluate("login()")
                    claims = jwt.decode(again["id_token"], options={"verify_signature": False})
                    assert claims["amr"] == ["pwd", "hwk", "user", "mfa"]
