"""Guesses at second factors: on the person and the authenticator, never on the token. Races are in tests/races."""

from freezegun.api import FrozenDateTimeFactory

from app.store import authenticators
from app.store.authenticators import FAILURE_CAP
from tests.making import Cast
from tests.wire import Wire, code_of, refused

TOO_MANY = (429, "invalid_request", "Too many failed codes. Wait for some minutes before retrying.")


def guess(wire: Wire, times: int) -> None:
    token = wire.mfa_token()
    for _ in range(times):
        refused(wire.otp(token, "000000"), 403, "invalid_grant", "Invalid otp_code.")


def test_ten_guesses_then_one_each_six_minutes(wire: Wire, cast: Cast, clock: FrozenDateTimeFactory) -> None:
    guess(wire, 10)
    answer = wire.otp(wire.mfa_token(), code_of(cast.alice_totp))
    refused(answer, *TOO_MANY)
    assert 350 <= int(answer.headers["Retry-After"]) <= 361
    assert wire.events()[-1].type == "gd_otp_rate_limit_exceed"
    clock.tick(360)
    wire.ok(wire.otp(wire.mfa_token(), code_of(cast.alice_totp)))


def test_who_guesses_has_the_password_and_its_owner_is_told_once_a_day(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    guess(wire, 10)
    assert wire.messages() == []
    token = wire.mfa_token()
    for _ in range(3):
        refused(wire.otp(token, "000000"), *TOO_MANY)
    (message,) = wire.messages()
    assert message.destination == "alice@example.com" and "knows your password" in message.subject


def test_a_success_does_not_refill_the_bucket(wire: Wire, cast: Cast, clock: FrozenDateTimeFactory) -> None:
    guess(wire, 9)
    wire.ok(wire.otp(wire.mfa_token(), code_of(cast.alice_totp)))
    guess(wire, 1)
    clock.tick(30)
    refused(wire.otp(wire.mfa_token(), code_of(cast.alice_totp)), *TOO_MANY)


def test_every_factor_draws_from_the_same_bucket(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    guess(wire, 5)
    token = wire.mfa_token()
    for _ in range(5):
        refused(wire.recovery(token, "WRONG"), 403, "invalid_grant", "MFA Authorization rejected.")
    refused(wire.recovery(token, cast.alice_recovery), *TOO_MANY)
    refused(wire.otp(token, code_of(cast.alice_totp)), *TOO_MANY)


def test_after_fifty_in_a_row_the_authenticator_is_disabled_and_no_way_around(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    for _ in range(FAILURE_CAP):
        clock.tick(400)
        guess(wire, 1)
    clock.tick(400)
    token = wire.mfa_token()
    refused(wire.otp(token, code_of(cast.alice_totp)), 401, "unsupported_challenge_type")
    refused(wire.associate(token), 403, "access_denied", "User is already enrolled.")
    with wire.server.db.read() as conn:
        [totp] = [a for a in authenticators.list_authenticators(conn, cast.alice.id) if a.kind == "totp"]
    assert totp.failures == FAILURE_CAP and totp.disabled_at is not None
    wire.ok(wire.recovery(token, cast.alice_recovery))


def test_a_success_resets_the_count_towards_disabling(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    guess(wire, 5)
    wire.ok(wire.otp(wire.mfa_token(), code_of(cast.alice_totp)))
    with wire.server.db.read() as conn:
        assert [a.failures for a in authenticators.list_authenticators(conn, cast.alice.id)] == [0, 0]


def test_at_most_ten_logins_are_open(wire: Wire, cast: Cast, clock: FrozenDateTimeFactory) -> None:
    tokens = []
    for _ in range(12):
        clock.tick(1)
        tokens.append(wire.mfa_token())
    refused(wire.otp(tokens[1], "000000"), 403, "invalid_grant", "Malformed mfa_token")
    wire.ok(wire.otp(tokens[2], code_of(cast.alice_totp)))
