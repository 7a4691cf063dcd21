"""Requests of one address, so many in a second of one worker."""

from dataclasses import replace

from freezegun.api import FrozenDateTimeFactory

from app.context import Server
from tests import making
from tests.making import PASSWORD, Cast
from tests.wire import APP, Wire, refused

LIMIT = 20


def limited(server: Server) -> Wire:
    changes = {"auth_requests_per_second": LIMIT, "trusted_proxies": ()}
    return Wire(replace(server, settings=server.settings.model_copy(update=changes)))


def test_an_address_that_asks_too_much_is_told_when_to_come_again(
    server: Server, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    wire = limited(server)
    clock.tick(60)  # a second in which no other test asked
    for _ in range(LIMIT):
        assert wire.post("/oauth/revoke", token="x").status_code == 401
    answer = wire.password("bob@example.com")
    refused(answer, 429, "too_many_requests", "Global limit has been reached")
    second = int(answer.headers["X-RateLimit-Reset"])
    assert (answer.headers["X-RateLimit-Limit"], answer.headers["X-RateLimit-Remaining"]) == (str(LIMIT), "0")
    assert answer.headers["Retry-After"] == "1"
    refused(wire.challenge("mfa"), 429, "too_many_requests")
    assert wire.get("/.well-known/jwks.json").status_code == 200 == wire.get("/healthz").status_code
    before = len(wire.events())
    clock.tick(1)
    assert second == int(making.now().timestamp())
    assert wire.password("bob@example.com").status_code == 200
    assert len(wire.events()) == before + 1, "what was not looked at left no event"


def test_another_address_is_not_held_up(server: Server, cast: Cast, clock: FrozenDateTimeFactory) -> None:
    wire = limited(server)
    clock.tick(120)
    body = APP | {"grant_type": "password", "username": "bob@example.com", "password": PASSWORD}
    for address, expected in (("192.0.2.1", 429), ("198.51.100.1", 200)):
        for _ in range(LIMIT if expected == 429 else 0):
            wire.client.post("/oauth/revoke", environ_base={"REMOTE_ADDR": address})
        found = wire.client.post("/oauth/token", data=body, environ_base={"REMOTE_ADDR": address})
        assert found.status_code == expected, found.text
