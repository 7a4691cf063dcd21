"""A management client with every scope, and its token."""

from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app import accounts
from app.accounts.setup import MANAGEMENT_SCOPES
from app.context import Context, Server
from tests import making
from tests.making import Cast
from tests.wire import Wire, bearer

ADMIN_SECRET = "admin-secret-" + "s" * 40


class Admin:
    """Speaks to `/api/v2` with a token."""

    def __init__(self, wire: Wire, token: str) -> None:
        self.wire, self.token = wire, token

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> TestResponse:
        return self.wire.client.open(
            f"/api/v2{path}", method=method, json=body, query_string=query, headers=bearer(self.token)
        )

    def get(self, path: str, **query: Any) -> Any:
        answer = self.ask("GET", path, **query)
        assert answer.status_code == 200, answer.text
        return answer.json

    def post(self, path: str, body: Any, status: int = 201) -> Any:
        answer = self.ask("POST", path, body)
        assert answer.status_code == status, answer.text
        return answer.json

    def patch(self, path: str, body: Any) -> Any:
        answer = self.ask("PATCH", path, body)
        assert answer.status_code == 200, answer.text
        return answer.json

    def put(self, path: str, body: Any) -> Any:
        answer = self.ask("PUT", path, body)
        assert answer.status_code == 200, answer.text
        return answer.json

    def delete(self, path: str, status: int = 204, body: Any = None, **query: Any) -> Any:
        answer = self.ask("DELETE", path, body, **query)
        assert answer.status_code == status, answer.text
        return answer.json if answer.data else None


def refused(answer: TestResponse, status: int, code: str | None, message: str | None = None) -> None:
    """The answer is this refusal, in the management envelope."""
    assert answer.json is not None, answer.text
    assert (answer.status_code, answer.json["statusCode"]) == (status, status), answer.text
    assert answer.json.get("errorCode") == code, answer.text
    if message is not None:
        assert answer.json["message"] == message


def token_for(wire: Wire, *scopes: str, client_id: str = "admin") -> str:
    """A token of a client that was granted these scopes, or all."""
    server = wire.server
    ctx = Context(server, making.now(), ip="")
    making.make_client(server, client_id, secret=ADMIN_SECRET)
    with server.db.write() as conn:
        audience = f"{server.settings.issuer}api/v2/"
        accounts.grant_scopes(conn, ctx, client_id, audience, scopes or MANAGEMENT_SCOPES)
    granted = wire.ok(
        wire.token(
            grant_type="client_credentials",
            client_id=client_id,
            client_secret=ADMIN_SECRET,
            audience=audience,
        )
    )
    return str(granted["access_token"])


@pytest.fixture
def admin(wire: Wire, cast: Cast) -> Admin:
    return Admin(wire, token_for(wire))


@pytest.fixture
def with_scopes(wire: Wire, cast: Cast) -> Callable[..., Admin]:
    return lambda *scopes: Admin(wire, token_for(wire, *scopes, client_id="narrow"))


__all__ = ["Server"]
