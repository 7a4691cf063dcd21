"""Ten wrong passwords in a row, and what ends the block. Parallel guessing is in tests/races."""

from freezegun.api import FrozenDateTimeFactory

from app import accounts
from app.context import Context
from app.guards.brute_force import BLOCKED
from app.store import clients, realms
from tests.making import CAROLS_PASSWORD, PASSWORD, Cast
from tests.wire import Wire, code_of, refused

OVER = (429, "too_many_attempts", BLOCKED)


def fail(wire: Wire, times: int, username: str = "bob@example.com", **members: str) -> None:
    for _ in range(times):
        answer = wire.password(username, "wrong", **members)
        refused(answer, 403, "invalid_grant", "Wrong email or password.")


def test_after_ten_failures_the_right_password_is_refused_too(wire: Wire, cast: Cast) -> None:
    fail(wire, 10)
    answer = wire.password("bob@example.com")
    refused(answer, *OVER)
    assert int(answer.headers["Retry-After"]) > 0
    assert wire.events()[-1].type == "limit_wc"


def test_a_success_before_the_tenth_forgives(wire: Wire, cast: Cast) -> None:
    fail(wire, 9)
    wire.ok(wire.password("bob@example.com"))
    fail(wire, 10)


def test_a_right_password_without_the_factor_forgives_nothing(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    fail(wire, 9, "alice@example.com")
    token = wire.mfa_token()
    fail(wire, 1, "alice@example.com")
    refused(wire.password(), *OVER)
    wire.ok(wire.otp(token, code_of(cast.alice_totp)))  # tokens are issued: forgiven
    wire.mfa_token()


def test_every_spelling_and_alias_shares_one_count(wire: Wire, cast: Cast) -> None:
    for name in ("alice", "ALICE@example.com", "+491701234567", "Alice ", "alice@EXAMPLE.com"):
        fail(wire, 2, name)
    refused(wire.password("alice"), *OVER)


def test_names_that_nobody_has_are_blocked_alike(wire: Wire, cast: Cast) -> None:
    fail(wire, 10, "nobody@example.com")
    refused(wire.password("NOBODY@example.com"), *OVER)


def test_another_address_and_another_realm_count_for_themselves(wire: Wire, cast: Cast) -> None:
    fail(wire, 10, "alice@example.com")
    wire.mfa_token(password=CAROLS_PASSWORD, realm="guests")
    with wire.server.db.write() as conn:
        clients.update_client(conn, "app", trusts_forwarded_ip=True)
    answer = wire.password(headers={"auth0-forwarded-for": "203.0.113.9"})
    refused(answer, 403, "mfa_required")


def test_a_v6_customer_is_one_address(wire: Wire, cast: Cast) -> None:
    with wire.server.db.write() as conn:
        clients.update_client(conn, "app", trusts_forwarded_ip=True)
    for number in range(10):
        wire.password(
            "bob@example.com", "wrong", headers={"auth0-forwarded-for": f"2001:db8:1:2::{number:x}"}
        )
    answer = wire.password("bob@example.com", headers={"auth0-forwarded-for": "2001:db8:1:2:ffff::1"})
    refused(answer, *OVER)


def test_it_ends_by_unblocking_by_a_new_password_and_after_thirty_days(
    wire: Wire, cast: Cast, ctx: Context, clock: FrozenDateTimeFactory
) -> None:
    fail(wire, 10)
    with wire.server.db.write() as conn:
        assert accounts.unblock(conn, ctx, cast.staff, "BOB@example.com") == 1
    wire.ok(wire.password("bob@example.com"))
    clock.tick(120)  # eleven tries a minute are more than one address may make for long
    fail(wire, 10)
    new_hash = accounts.hash_new_password(wire.server, PASSWORD)
    with wire.server.db.write() as conn:
        accounts.set_password(conn, ctx, cast.bob, new_hash)
    wire.ok(wire.password("bob@example.com"))
    clock.tick(120)
    fail(wire, 10)
    clock.tick(30 * 86400 + 1)
    wire.ok(wire.password("bob@example.com"))


def test_malformed_requests_do_not_count(wire: Wire, cast: Cast) -> None:
    for _ in range(12):
        assert wire.password("bob@example.com", "").status_code == 400
    wire.ok(wire.password("bob@example.com"))


def test_a_realm_can_do_without(wire: Wire, cast: Cast) -> None:
    with wire.server.db.write() as conn:
        realms.update_realm(conn, cast.staff.id, has_brute_force_protection=False)
    fail(wire, 12)
    wire.ok(wire.password("bob@example.com"))
