"""What administrators set for brute-force protection, and that it is obeyed from the next request on."""

from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from app.context import Context
from app.guards import brute_force, login_rate
from app.guards.protection import BREACHES, BRUTE_FORCE, THROTTLING, get_protection
from app.store import clients, realms
from app.store.documents import Document, put_document
from tests.making import Cast
from tests.management.conftest import Admin, token_for
from tests.wire import Wire, refused

WRONG = (403, "invalid_grant", "Wrong email or password.")
OVER = (429, "too_many_attempts", brute_force.BLOCKED)
TOO_FAST = (429, "too_many_attempts", login_rate.TOO_MANY)
BOB = "bob@example.com"


@pytest.fixture
def admin(wire: Wire, cast: Cast) -> Admin:
    return Admin(wire, token_for(wire))


def protect(admin: Admin, **members: Any) -> None:
    shown = admin.patch(f"/{BRUTE_FORCE}", members)
    assert {name: shown[name] for name in members} == members


def trust_forwarded(wire: Wire) -> None:
    with wire.server.db.write() as conn:
        clients.update_client(conn, "app", trusts_forwarded_ip=True)


def from_ip(ip: str) -> dict[str, Any]:
    return {"headers": {"auth0-forwarded-for": ip}}


def fail(wire: Wire, times: int, username: str = BOB, **members: Any) -> None:
    for _ in range(times):
        refused(wire.password(username, "wrong", **members), *WRONG)


def types(wire: Wire) -> list[str]:
    return [event.type for event in wire.events()]


def test_the_threshold_is_obeyed_and_raising_it_ends_blocks(admin: Admin, wire: Wire, cast: Cast) -> None:
    protect(admin, max_attempts=3)
    fail(wire, 3)
    answer = wire.password(BOB)
    refused(answer, *OVER)
    assert answer.headers["X-RateLimit-Limit"] == "3"
    assert wire.events()[-1].details["limit"] == {
        "identifier": BOB,
        "source": "127.0.0.1",
        "count": 3,
        "max": 3,
    }
    protect(admin, max_attempts=4)
    wire.ok(wire.password(BOB))


def test_failures_of_a_person_count_from_everywhere_where_that_is_set(
    admin: Admin, wire: Wire, cast: Cast
) -> None:
    trust_forwarded(wire)
    protect(admin, mode="count_per_identifier", max_attempts=4)
    for number in range(4):
        fail(wire, 1, **from_ip(f"203.0.113.{number}"))
    refused(wire.password(BOB, **from_ip("198.51.100.9")), *OVER)
    blocks = admin.get("/user-blocks", identifier=BOB)["blocked_for"]
    assert blocks == [{"identifier": BOB, "connection": "staff"}], "no address where it does not matter"
    protect(admin, mode="count_per_identifier_and_ip")
    assert admin.get("/user-blocks", identifier=BOB)["blocked_for"] == []
    wire.ok(wire.password(BOB, **from_ip("198.51.100.9")))


def test_an_exempt_address_is_not_counted_at_all(
    admin: Admin, wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    trust_forwarded(wire)
    protect(admin, allowlist=["203.0.113.0/24", "2001:db8::/32"], max_attempts=2)
    for ip in ("203.0.113.7", "2001:db8::7", "::ffff:203.0.113.9"):
        fail(wire, 25, **from_ip(ip))
        wire.ok(wire.password(BOB, **from_ip(ip)))
    fail(wire, 2, **from_ip("203.0.114.7"))
    refused(wire.password(BOB, **from_ip("203.0.114.7")), *OVER)


def test_without_shields_the_guard_only_notes(admin: Admin, wire: Wire, cast: Cast) -> None:
    protect(admin, shields=[], max_attempts=3)
    fail(wire, 5)
    noted = [event for event in wire.events() if event.type == "limit_wc"]
    assert [event.reason for event in noted] == ["monitored"], "once, when it would have blocked"
    assert admin.get("/user-blocks", identifier=BOB)["blocked_for"] == []
    wire.ok(wire.password(BOB))
    protect(admin, enabled=False)
    fail(wire, 25)
    wire.ok(wire.password(BOB))


def test_a_block_is_told_once_and_the_link_ends_it(admin: Admin, wire: Wire, cast: Cast) -> None:
    protect(admin, max_attempts=3)
    fail(wire, 3)
    fail(wire, 3, "nobody@example.com")
    for _ in range(3):
        refused(wire.password(BOB), *OVER)
    (message,) = wire.messages()
    assert message.destination == BOB and "blocked" in message.subject
    path = "/ticket/unblock" + message.text.partition("/ticket/unblock")[2].split()[0]
    page = wire.client.get(path)
    assert page.status_code == 200 and BOB in page.text
    refused(wire.password(BOB), *OVER)  # looking is not asking
    token = {"ticket": path.partition("ticket=")[2]}
    assert (
        wire.client.post("/ticket/password", data=token | {"password": "x", "again": "x"}).status_code == 403
    )
    assert wire.client.post("/ticket/unblock", data=token).status_code == 200
    assert wire.client.post("/ticket/unblock", data=token).status_code == 403
    assert "ublkdu" in types(wire)
    wire.ok(wire.password(BOB))
    protect(admin, shields=["block"])
    fail(wire, 3)
    assert len(wire.messages()) <= 1, "nobody is told where that is not wished"


def test_whoever_has_no_confirmed_address_is_not_written_to(
    admin: Admin, wire: Wire, cast: Cast, ctx: Context
) -> None:
    admin.patch(f"/users/{cast.bob.id}", {"email_verified": False})
    protect(admin, max_attempts=2)
    fail(wire, 2)
    assert wire.messages() == []
    with wire.server.db.write() as conn:  # somebody who is deleted meanwhile
        gone = cast.bob.__class__(**{**cast.bob.__dict__, "id": "auth0|gone"})
        brute_force._tell(conn, ctx, gone)
    assert wire.messages() == []


def test_twenty_logins_then_ten_a_minute_successes_included(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    for _ in range(20):
        wire.ok(wire.password(BOB))
    answer = wire.password(BOB)
    refused(answer, *TOO_FAST)
    assert 1 <= int(answer.headers["Retry-After"]) <= 7 and answer.headers["X-RateLimit-Limit"] == "20"
    assert wire.events()[-1].type == "limit_sul"
    wire.mfa_token("alice@example.com")  # somebody else is not concerned
    clock.tick(60)
    for _ in range(10):
        wire.ok(wire.password("BOB@example.com"))
    refused(wire.password(BOB), *TOO_FAST)
    for _ in range(20):
        wire.password("nobody@example.com", "wrong")
        clock.tick(1)
    refused(
        wire.password("nobody@example.com", "wrong"), *OVER
    )  # a refused try takes no place of the other limit


def test_the_limit_on_logins_belongs_to_the_realms_switch(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    with wire.server.db.write() as conn:
        realms.update_realm(conn, cast.staff.id, has_brute_force_protection=False)
    for _ in range(25):
        wire.ok(wire.password(BOB))


def test_the_limit_on_logins_can_be_set(admin: Admin, wire: Wire, cast: Cast) -> None:
    assert "login_limit" not in admin.get(f"/{BRUTE_FORCE}")
    protect(admin, login_limit={"burst": 2, "per_minute": 10})
    wire.ok(wire.password(BOB))
    wire.ok(wire.password(BOB))
    refused(wire.password(BOB), *TOO_FAST)
    told = wire.events()[-1].details["limit"]
    assert told == {"count": 2, "max": 2, "then_one_each_seconds": 6.0}
    protect(admin, shields=["user_notification"])
    wire.ok(wire.password(BOB))
    assert [e.reason for e in wire.events() if e.type == "limit_sul"] == ["login_rate", "monitored"]


def test_settings_that_no_guard_could_read_are_refused(admin: Admin) -> None:
    for path, members in (
        (BRUTE_FORCE, {"allowlist": ["nowhere"]}),
        (BRUTE_FORCE, {"max_attempts": 0}),
        (BRUTE_FORCE, {"login_limit": {"burst": 1, "per_minute": 0}}),
        (THROTTLING, {"stage": {"pre-login": {"rate": 1}}}),
        (BREACHES, {"stage": {"pre-user-registration": "block"}}),
        (BREACHES, {"stage": {"pre-change-password": {"shields": [1]}}}),
    ):
        assert admin.ask("PATCH", f"/{path}", members).status_code == 400, members
    admin.patch(f"/{BREACHES}", {"enabled": None, "stage": None, "shields": None})


def test_settings_written_as_null_are_the_usual_ones(wire: Wire, cast: Cast) -> None:
    usual = {}
    with wire.server.db.write() as conn:
        usual["before"] = get_protection(conn)
        nothing = dict.fromkeys(("enabled", "shields", "mode", "allowlist", "max_attempts", "login_limit"))
        put_document(conn, Document(BRUTE_FORCE, nothing))
        usual["after"] = get_protection(conn)
    assert usual["before"] == usual["after"]
