"""How tests talk: the wire's own words, over the application or over a socket."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pyotp
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from app import create_app
from app.channels.channel import Message
from app.channels.outbox import opened
from app.context import Context, Server
from app.store import outbox
from app.store.base import value_of
from app.store.events import Event, list_events
from tests.making import API, APP_SECRET, PASSWORD

PASSWORD_REALM = "http://auth0.com/oauth/grant-type/password-realm"
MFA_OTP = "http://auth0.com/oauth/grant-type/mfa-otp"
MFA_OOB = "http://auth0.com/oauth/grant-type/mfa-oob"
MFA_WEBAUTHN = "urn:okta:params:oauth:grant-type:mfa-webauthn"
MFA_RECOVERY = "http://auth0.com/oauth/grant-type/mfa-recovery-code"

APP = {"client_id": "app", "client_secret": APP_SECRET}
PHONE_APP = {"client_id": "phone-app"}


class Wire:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.client: FlaskClient = create_app(server).test_client()

    def post(self, path: str, *, headers: Any = None, **members: Any) -> TestResponse:
        """A form, as most SDKs send."""
        return self.client.post(path, data=members, headers=headers)

    def post_json(self, path: str, *, headers: Any = None, **members: Any) -> TestResponse:
        return self.client.post(path, json=members, headers=headers)

    def get(self, path: str, token: str | None = None) -> TestResponse:
        return self.client.get(path, headers=bearer(token))

    def token(self, *, headers: Any = None, **members: Any) -> TestResponse:
        return self.post("/oauth/token", headers=headers, **(APP | members))

    def password(
        self, username: str = "alice@example.com", password: str = PASSWORD, **members: Any
    ) -> TestResponse:
        return self.token(
            **({"grant_type": "password", "username": username, "password": password} | members)
        )

    def mfa_token(self, username: str = "alice@example.com", password: str = PASSWORD, **members: Any) -> str:
        """The password step of somebody who owes a factor."""
        answer = self.password(username, password, **members)
        assert answer.status_code == 403, answer.text
        assert answer.json is not None and answer.json["error"] == "mfa_required", answer.text
        return str(answer.json["mfa_token"])

    def otp(self, mfa_token: str, code: str, **members: Any) -> TestResponse:
        return self.token(**({"grant_type": MFA_OTP, "mfa_token": mfa_token, "otp": code} | members))

    def recovery(self, mfa_token: str, code: str, **members: Any) -> TestResponse:
        return self.token(
            **({"grant_type": MFA_RECOVERY, "mfa_token": mfa_token, "recovery_code": code} | members)
        )

    def refresh(self, refresh_token: str, **members: Any) -> TestResponse:
        return self.token(**({"grant_type": "refresh_token", "refresh_token": refresh_token} | members))

    def login(self, secret: str, **members: Any) -> dict[str, Any]:
        """Both steps of Alice's login; the tokens."""
        token = self.mfa_token(**members)
        return self.ok(self.otp(token, code_of(secret)))

    def associate(self, token: str, *types: str) -> TestResponse:
        return self.client.post(
            "/mfa/associate", json={"authenticator_types": list(types or ("otp",))}, headers=bearer(token)
        )

    def oob(self, mfa_token: str, oob_code: str, **members: Any) -> TestResponse:
        return self.token(**({"grant_type": MFA_OOB, "mfa_token": mfa_token, "oob_code": oob_code} | members))

    def webauthn(self, mfa_token: str, response: Any, **members: Any) -> TestResponse:
        sent = {"grant_type": MFA_WEBAUTHN, "mfa_token": mfa_token, "authn_response": response}
        return self.post_json("/oauth/token", **(APP | sent | members))

    def challenge(self, mfa_token: str, **members: Any) -> TestResponse:
        return self.post_json("/mfa/challenge", **(APP | {"mfa_token": mfa_token} | members))

    def messages(self) -> list[Message]:
        """What is on its way to people, oldest first."""
        ctx = Context(self.server, datetime.now(UTC), ip="")
        with self.server.db.read() as conn:
            rows = conn.execute(select(outbox.messages).order_by(outbox.messages.c.created_at))
            queued = [value_of(outbox.Queued, row) for row in rows]
        return [opened(ctx, message) for message in queued if message.state == "waiting"]

    def newest_code(self) -> str:
        return str(self.messages()[-1].code)

    def delete(self, authenticator_id: str, token: str) -> TestResponse:
        return self.client.delete(f"/mfa/authenticators/{quote(authenticator_id)}", headers=bearer(token))

    def events(self) -> Sequence[Event]:
        """The audit log, oldest first."""
        with self.server.db.read() as conn:
            return list_events(conn, limit=1000)

    @staticmethod
    def ok_list(answer: TestResponse) -> list[dict[str, Any]]:
        assert answer.status_code == 200, answer.text
        assert isinstance(answer.json, list)
        return answer.json

    @staticmethod
    def ok(answer: TestResponse) -> dict[str, Any]:
        assert answer.status_code == 200, answer.text
        assert answer.json is not None
        return dict(answer.json)


def told(answer: Any) -> str:
    """What an answer says, without the id by which an administrator finds its reason; each answer has its own."""
    return re.sub(r',"error_id":"[0-9a-f]{8}-[0-9a-f]{16}"', "", str(answer.text))


def bearer(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def code_of(secret: str) -> str:
    """What the authenticator app shows now."""
    return str(pyotp.TOTP(secret).now())


def refused(answer: TestResponse, status: int, error: str, description: str | None = None) -> None:
    """The answer is this refusal, in OAuth's shape."""
    assert answer.json is not None, answer.text
    assert (answer.status_code, answer.json["error"]) == (status, error), answer.text
    if description is not None:
        assert answer.json["error_description"] == description


FULL = {"audience": API, "scope": "openid profile email offline_access read:things"}
