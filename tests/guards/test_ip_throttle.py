"""Failures from one address: a bucket for logins, one for signups, and the administrator's way out."""

from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from app.context import Context
from app.guards import ip_throttle
from app.guards.protection import THROTTLING
from app.store import buckets
from tests.making import PASSWORD, Cast
from tests.management.conftest import Admin, token_for
from tests.management.conftest import refused as refused_by_api
from tests.wire import PHONE_APP, Wire, refused, told

OVER = (429, "too_many_attempts", ip_throttle.BLOCKED)
WRONG = (403, "invalid_grant", "Wrong email or password.")


@pytest.fixture
def admin(wire: Wire, cast: Cast) -> Admin:
    return Admin(wire, token_for(wire))


def throttle(
    admin: Admin, attempts: int = 3, rate: int = 60_000, stage: str = "pre-login", **members: Any
) -> None:
    admin.patch(f"/{THROTTLING}", {"stage": {stage: {"max_attempts": attempts, "rate": rate}}} | members)


def fail(wire: Wire, times: int, **members: Any) -> None:
    for number in range(times):
        refused(wire.password(f"nobody{number}@example.com", "wrong", **members), *WRONG)


def sign_up(wire: Wire, number: int) -> int:
    members = {"client_id": "app", "connection": "staff", "email": f"new{number}@example.com"}
    return wire.client.post(
        "/dbconnections/signup", json=members | {"password": "Correct h0rse battery"}
    ).status_code


def test_an_address_that_failed_too_often_waits_for_its_next_try(
    admin: Admin, wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    throttle(admin)
    fail(wire, 2)
    wire.ok(wire.password("bob@example.com"))  # right ones cost nothing
    fail(wire, 1)
    answer = wire.password("bob@example.com")
    refused(answer, *OVER)
    assert answer.headers["Retry-After"] == "61" and answer.headers["X-RateLimit-Limit"] == "3"
    event = wire.events()[-1]
    assert (event.type, event.reason) == ("limit_mu", "ip_throttled")
    assert event.details["limit"] == {"source": "127.0.0.1", "count": 3.0, "max": 3}
    clock.tick(60)
    wire.ok(wire.password("bob@example.com"))
    fail(wire, 1)
    refused(wire.password("bob@example.com"), *OVER)


def test_an_address_of_version_6_is_its_customers_network(admin: Admin, wire: Wire, cast: Cast) -> None:
    admin.patch("/clients/app", {"is_token_endpoint_ip_header_trusted": True})
    throttle(admin)
    for number in range(3):
        fail(wire, 1, headers={"auth0-forwarded-for": f"2001:db8::{number}"})
    refused(wire.password("bob@example.com", headers={"auth0-forwarded-for": "2001:db8::f:0:0:1"}), *OVER)
    assert admin.ask("GET", "/anomaly/blocks/ips/2001:db8::ffff").status_code == 200
    wire.ok(wire.password("bob@example.com", headers={"auth0-forwarded-for": "2001:db8:0:1::1"}))
    wire.ok(wire.password("bob@example.com"))


def test_a_refused_address_learns_nothing_of_anybody(
    admin: Admin, wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    admin.patch(f"/users/{cast.bob.id}", {"blocked": True})
    throttle(admin)
    fail(wire, 3)
    names = ("bob@example.com", "alice@example.com", "nobody@example.com", "no\u0007body", "n" * 300)
    answers = [wire.password(name, word) for name in names for word in (PASSWORD, "wrong")]
    headers = {
        "Retry-After",
        "X-RateLimit-Limit",
        "X-RateLimit-Remaining",
        "X-RateLimit-Reset",
        "Content-Length",
    }
    seen = {(told(a), tuple(sorted((h, a.headers[h]) for h in headers))) for a in answers}
    assert len(seen) == 1 and answers[0].status_code == 429


def test_an_administrator_looks_and_unblocks(admin: Admin, wire: Wire, cast: Cast) -> None:
    throttle(admin)
    path = "/anomaly/blocks/ips/127.0.0.1"
    refused_by_api(admin.ask("GET", path), 404, "inexistent_ip_block")
    fail(wire, 3)
    answer = admin.ask("GET", path)
    assert (answer.status_code, answer.data) == (200, b"")
    admin.delete(path)
    refused_by_api(admin.ask("GET", path), 404, "inexistent_ip_block")
    wire.ok(wire.password("bob@example.com"))
    assert admin.ask("DELETE", "/anomaly/blocks/ips/nonsense").status_code == 400


@pytest.mark.parametrize("members", [{"enabled": False}, {"shields": []}, {"allowlist": ["127.0.0.0/8"]}])
def test_it_can_be_off_watching_or_exempting(
    admin: Admin, wire: Wire, cast: Cast, members: dict[str, Any]
) -> None:
    throttle(admin, **members)
    fail(wire, 5)
    wire.ok(wire.password("bob@example.com"))
    assert admin.ask("GET", "/anomaly/blocks/ips/127.0.0.1").status_code == 404
    noted = [event.reason for event in wire.events() if event.type == "limit_mu"]
    assert noted == (["monitored"] if members == {"shields": []} else [])


def test_signups_are_counted_apart_and_successful_ones_too(
    admin: Admin, wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    throttle(admin, stage="pre-user-registration", rate=1200)
    assert [sign_up(wire, number) for number in range(4)] == [200, 200, 200, 429]
    assert wire.events()[-1].type == "limit_mu"
    wire.ok(wire.password("new0@example.com", "Correct h0rse battery"))
    assert admin.ask("GET", "/anomaly/blocks/ips/127.0.0.1").status_code == 200
    clock.tick(1.3)
    assert sign_up(wire, 9) == 200
    malformed = {"client_id": "app", "connection": "staff", "email": "z@example.com"}
    assert wire.client.post("/dbconnections/signup", json=malformed).status_code == 400
    clock.tick(1.3)
    assert sign_up(wire, 10) == 200, "a malformed request counts nowhere"


def test_a_back_end_that_does_not_name_its_users_is_warned_of(admin: Admin, wire: Wire, cast: Cast) -> None:
    throttle(admin, attempts=10)
    fail(wire, 7)
    (warning,) = [event for event in wire.events() if event.type == "w"]
    assert (warning.reason, warning.client_id) == ("no_forwarded_address", "app")
    assert "auth0-forwarded-for" in str(warning.details["warning"])
    admin.delete("/anomaly/blocks/ips/127.0.0.1")
    for _ in range(7):  # a public client's address is its user's
        wire.token(
            **{"grant_type": "password", "username": "x", "password": "y"} | PHONE_APP | {"client_secret": ""}
        )
    assert [event.type for event in wire.events()].count("w") == 1


def test_a_use_whose_process_died_leaks_out_like_a_failure(wire: Wire, ctx: Context) -> None:
    rate = {"size": 2, "refill_seconds": 100.0, "now": ctx.now}
    with wire.server.db.write() as conn:
        assert buckets.hold(conn, "k", **rate) and buckets.hold(conn, "k", **rate)  # type: ignore[arg-type]
        assert not buckets.hold(conn, "k", **rate)  # type: ignore[arg-type]
        assert buckets.look(conn, "k", refill_seconds=100.0, now=ctx.now) == buckets.Level(2.0, 2)
        buckets.release(conn, "k")
        assert buckets.hold(conn, "k", **rate)  # type: ignore[arg-type]
        assert buckets.keep(conn, "k") == 1.0
