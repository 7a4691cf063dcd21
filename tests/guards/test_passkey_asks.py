"""Questions for a passkey: strangers fill neither the table nor the log with them."""

from collections import Counter
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory
from sqlalchemy import func, select

from app.guards import passkey_asks
from app.guards.protection import THROTTLING
from app.store import clients, passkeys, realms
from tests import making
from tests.making import Cast
from tests.management.conftest import Admin, token_for
from tests.wire import Wire, refused

OVER = (429, "too_many_attempts", passkey_asks.TOO_MANY)
HERE, THERE = "198.51.100.1", "198.51.100.2"
PATHS = ("challenge", "register")
NEW = {"email": "new@example.com"}


@pytest.fixture
def admin(wire: Wire, cast: Cast, clock: FrozenDateTimeFactory) -> Admin:
    """Time stands still: what leaks out of a bucket is for the test to say."""
    with wire.server.db.write() as conn:
        options = cast.staff.options | {"authentication_methods": {"passkey": {"enabled": True}}}
        realms.update_realm(conn, cast.staff.id, options=options)
    return Admin(wire, token_for(wire))


def limit(admin: Admin, *, address: int = 1000, client: int = 1000, **members: Any) -> None:
    limits = {
        "per_address": {"burst": address, "per_minute": 60},
        "per_client": {"burst": client, "per_minute": 60},
    }
    shown = admin.patch(f"/{THROTTLING}", {"passkey_limit": limits} | members)
    assert shown["passkey_limit"] == limits


def ask(wire: Wire, path: str = "challenge", ip: str = HERE, **members: Any) -> Any:
    body = {"client_id": "app", "realm": "staff", "user_profile": NEW} | members
    return wire.client.post(f"/passkey/{path}", json=body, environ_overrides={"REMOTE_ADDR": ip})


def waiting(wire: Wire) -> int:
    """How many questions wait for their answer."""
    with wire.server.db.read() as conn:
        return int(conn.execute(select(func.count()).select_from(passkeys.passkey_challenges)).scalar_one())


def told(wire: Wire) -> list[tuple[str, Any]]:
    return [(event.reason, event.details["limit"]) for event in wire.events() if event.type == "api_limit"]


@pytest.mark.parametrize("path", PATHS)
def test_an_address_is_asked_so_often_and_no_other_one_is_hit(
    admin: Admin, wire: Wire, cast: Cast, clock: FrozenDateTimeFactory, path: str
) -> None:
    limit(admin, address=3)
    for number in range(3):
        wire.ok(ask(wire, PATHS[number % 2]))
    for _ in range(20):
        answer = ask(wire, path)
        refused(answer, *OVER)
    assert answer.headers["Retry-After"] == "2" and answer.headers["X-RateLimit-Limit"] == "3"
    assert waiting(wire) == 3
    assert told(wire) == [("passkey_limit_address", {"source": HERE, "max": 3})]
    wire.ok(ask(wire, path, THERE))
    clock.tick(1)
    wire.ok(ask(wire, path))
    refused(ask(wire, path), *OVER)
    assert len(told(wire)) == 1, "the same minute"
    clock.tick(60)
    for _ in range(5):
        ask(wire, path)
    assert len(told(wire)) == 2


def test_an_address_of_version_6_is_its_customers_network(admin: Admin, wire: Wire, cast: Cast) -> None:
    limit(admin, address=2)
    for number in range(2):
        wire.ok(ask(wire, ip=f"2001:db8::{number}"))
    refused(ask(wire, ip="2001:db8::f:0:0:1"), *OVER)
    wire.ok(ask(wire, ip="2001:db8:0:1::1"))


def test_an_application_is_asked_for_so_often_from_all_addresses_together(
    admin: Admin, wire: Wire, cast: Cast
) -> None:
    limit(admin, client=5)
    with wire.server.db.write() as conn:
        clients.update_client(conn, "phone-app", grant_types=cast.app.grant_types)
    for number in range(5):
        wire.ok(ask(wire, ip=f"198.51.100.{number}"))
    for number in range(30):
        refused(ask(wire, PATHS[number % 2], ip=f"203.0.113.{number}"), *OVER)
    assert waiting(wire) == 5
    assert told(wire) == [("passkey_limit_client", {"source": "app", "max": 5})]
    wire.ok(ask(wire, client_id="phone-app"))
    assert wire.ok(wire.password("bob@example.com")), "a password goes another way"


def test_one_address_does_not_use_up_what_an_application_has_for_all(
    admin: Admin, wire: Wire, cast: Cast
) -> None:
    limit(admin, address=2, client=4)
    for _ in range(10):
        ask(wire)
    for _ in range(2):
        wire.ok(ask(wire, ip=THERE))
    refused(ask(wire, ip="198.51.100.3"), *OVER)


@pytest.mark.parametrize("members", [{"enabled": False}, {"shields": []}, {"allowlist": [HERE]}])
def test_an_address_can_be_free_or_watched_but_an_application_s_rows_stay_bounded(
    admin: Admin, wire: Wire, cast: Cast, members: dict[str, Any]
) -> None:
    limit(admin, address=1, client=3, **members)
    for _ in range(3):
        wire.ok(ask(wire))
    refused(ask(wire), *OVER)
    watched = [("monitored", {"source": HERE, "max": 1})] if "shields" in members else []
    assert told(wire) == [*watched, ("passkey_limit_client", {"source": "app", "max": 3})]


def test_what_asks_nobody_is_not_counted_and_leaves_no_trace(admin: Admin, wire: Wire, cast: Cast) -> None:
    limit(admin, address=1)
    before = len(wire.events())
    statuses = Counter(
        ask(wire, path, **members).status_code
        for path in PATHS
        for members in ({"client_id": "nobody"}, {"realm": "nowhere"}, {"client_id": ""}, {"realm": 1})
    )
    statuses[ask(wire, "register", user_profile=1).status_code] += 1
    assert statuses == {400: 9}
    assert len(wire.events()) == before
    wire.ok(ask(wire))


def test_what_was_never_set_is_the_usual_limit(admin: Admin, wire: Wire, cast: Cast) -> None:
    making.usual_limits(wire.server)
    assert "passkey_limit" not in admin.get(f"/{THROTTLING}")
    answers = Counter(ask(wire).status_code for _ in range(105))
    assert answers == {200: 100, 429: 5} and waiting(wire) == 100
    wire.ok(ask(wire, ip=THERE))


@pytest.mark.parametrize("which", ["per_address", "per_client"])
def test_a_limit_that_is_none_cannot_be_written(admin: Admin, which: str) -> None:
    wrongs: tuple[object, ...] = ({"burst": 0}, {"per_minute": 0}, {"burst": "many"}, [], {"else": 1})
    for wrong in wrongs:
        body = {"passkey_limit": {which: wrong}}
        assert admin.ask("PATCH", f"/{THROTTLING}", body).status_code == 400, wrong
    admin.patch(f"/{THROTTLING}", {"passkey_limit": {which: None}})
    admin.patch(f"/{THROTTLING}", {"passkey_limit": None})
