"""Pages of an application may call from the browser; other pages may not read the answers."""

import pytest

from app.store import clients
from tests.making import Cast
from tests.wire import APP, Wire

OURS = "https://app.example"
THEIRS = "https://other.example"


@pytest.fixture(autouse=True)
def origins(wire: Wire, cast: Cast) -> None:
    with wire.server.db.write() as conn:
        clients.set_origins(conn, "app", [OURS])
        clients.set_origins(conn, "mallory", [THEIRS])


def allowed(answer) -> str | None:  # type: ignore[no-untyped-def]
    found: str | None = answer.headers.get("Access-Control-Allow-Origin")
    return found


@pytest.mark.parametrize("path", ["/oauth/token", "/mfa/challenge", "/userinfo", "/.well-known/jwks.json"])
def test_preflight_answers_registered_origins(wire: Wire, path: str) -> None:
    for origin, expected in ((OURS, OURS), ("https://evil.example", None)):
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        answer = wire.client.options(path, headers=headers)
        assert (answer.status_code, allowed(answer)) == (204, expected)
        assert ("Auth0-Client" in answer.headers.get("Access-Control-Allow-Headers", "")) == bool(expected)


def test_refusals_carry_the_headers_too(wire: Wire) -> None:
    answer = wire.token(grant_type="nonsense", headers={"Origin": OURS})
    assert answer.status_code == 400 and allowed(answer) == OURS
    assert "Origin" in answer.headers["Vary"]


def test_another_application_s_page_cannot_read_the_answer(wire: Wire) -> None:
    answer = wire.post("/oauth/token", headers={"Origin": THEIRS}, grant_type="password", **APP)
    assert allowed(answer) is None


def test_no_origin_no_headers(wire: Wire) -> None:
    assert allowed(wire.get("/.well-known/jwks.json")) is None
    assert allowed(wire.client.get("/healthz", headers={"Origin": OURS})) is None
