"""One-time passwords: the RFC's vectors, the window to the millisecond, and the spellings of a code."""

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyotp
import pytest
from freezegun import freeze_time

from app.context import Context, Server
from app.crypto import SealBroken, owner_of
from app.factors import totp
from app.factors.factor import Answer, Proof
from app.store.authenticators import Authenticator
from tests.conftest import NOON
from tests.making import Cast
from tests.wire import Wire, code_of, refused

RFC_6238 = [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")]


def authenticator(server: Server, secret: str, counter: int = -1) -> Authenticator:
    sealed = server.keyring.seal(secret.encode(), owner_of("authenticators", "totp|dev_x"))
    return Authenticator("totp|dev_x", "auth0|x", "totp", NOON, sealed_secret=sealed, counter=counter)


def otp(code: str) -> Answer:
    return Answer({"otp": code})


def at(server: Server, seconds: float) -> Context:
    return Context(server, datetime.fromtimestamp(seconds, UTC), ip="")


@pytest.mark.parametrize(("seconds", "code"), RFC_6238)
def test_the_vectors_of_rfc_6238(server: Server, seconds: int, code: str) -> None:
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # "12345678901234567890"
    assert isinstance(totp.verify(at(server, seconds), authenticator(server, secret), otp(code)), Proof)


BOUNDARIES = [(-30.001, False), (-30.0, True), (0.0, True), (29.999, True), (59.999, True), (60.0, False)]


@pytest.mark.parametrize(("offset", "is_right"), BOUNDARIES)
def test_one_step_of_tolerance_and_not_a_millisecond_more(
    server: Server, offset: float, is_right: bool
) -> None:
    secret = pyotp.random_base32()
    step_began = NOON.timestamp()  # noon is the beginning of a step
    code = pyotp.TOTP(secret).at(NOON)
    result = totp.verify(at(server, step_began + offset), authenticator(server, secret), otp(code))
    assert isinstance(result, Proof) == is_right


SPELLINGS = [
    ("123 456", True),
    (" 123456 ", True),
    ("12345", False),
    ("1234567", False),
    ("+123456", False),
    ("-12345", False),
    ("１２３４５６", False),
    ("١٢٣٤٥٦", False),
    ("123\t456", False),
    ("0x1e240", False),
    ("1e5", False),
]


@pytest.mark.parametrize(("spelled", "is_form"), SPELLINGS)
def test_only_spaces_are_forgiven(server: Server, spelled: str, is_form: bool) -> None:
    result = totp.verify(at(server, 59), authenticator(server, pyotp.random_base32()), otp(spelled))
    assert (result != "malformed_code") == is_form


def test_a_step_is_not_accepted_again_nor_one_before_it(server: Server) -> None:
    secret = pyotp.random_base32()
    step = int(NOON.timestamp()) // 30
    for counter, expected in ((step - 1, Proof), (step, str), (step + 1, str)):
        result = totp.verify(
            at(server, NOON.timestamp()),
            authenticator(server, secret, counter),
            otp(pyotp.TOTP(secret).at(NOON)),
        )
        assert isinstance(result, expected)


def test_a_clock_set_back_revives_no_code(wire: Wire, cast: Cast) -> None:
    with freeze_time(NOON):
        wire.ok(wire.otp(wire.mfa_token(), code_of(cast.alice_totp)))
    with freeze_time(NOON - timedelta(seconds=60)):
        answer = wire.otp(wire.mfa_token(), code_of(cast.alice_totp))
        refused(answer, 403, "invalid_grant", "Invalid otp_code.")


def test_a_seed_does_not_open_in_another_row(server: Server) -> None:
    moved = Authenticator(
        "totp|dev_y",
        "auth0|y",
        "totp",
        NOON,
        sealed_secret=authenticator(server, pyotp.random_base32()).sealed_secret,
    )
    with pytest.raises(SealBroken):
        totp.verify(at(server, 59), moved, otp("123456"))


# RFC 6238, appendix B: seeds of 20, 32 and 64 bytes, eight digits.
SEED = "1234567890" * 7
VECTORS = [
    ("SHA1", 20, 59, "94287082"),
    ("SHA1", 20, 20000000000, "65353130"),
    ("SHA256", 32, 59, "46119246"),
    ("SHA256", 32, 20000000000, "77737706"),
    ("SHA512", 64, 59, "90693936"),
    ("SHA512", 64, 20000000000, "47863826"),
]


def elsewhere(server: Server, secret: str, **details: object) -> Authenticator:
    return replace(authenticator(server, secret), details=details)


@pytest.mark.parametrize(("algorithm", "size", "seconds", "code"), VECTORS)
def test_other_hashes_and_eight_digits(
    server: Server, algorithm: str, size: int, seconds: int, code: str
) -> None:
    secret = base64.b32encode(SEED[:size].encode()).decode().rstrip("=")
    device = elsewhere(server, secret, algorithm=algorithm, digits=8)
    assert isinstance(totp.verify(at(server, seconds), device, otp(code)), Proof)
    assert totp.verify(at(server, seconds), device, otp(code[2:])) == "malformed_code"


def test_sixty_seconds(server: Server) -> None:
    secret = pyotp.random_base32()
    device = elsewhere(server, secret, period=60)
    code = pyotp.TOTP(secret, interval=60).at(NOON)
    for offset, is_right in ((-60.001, False), (-60, True), (119.999, True), (120, False)):
        result = totp.verify(at(server, NOON.timestamp() + offset), device, otp(code))
        assert isinstance(result, Proof) == is_right


@pytest.mark.parametrize("secret", ["JBSWY3DPEHPK3PXP", "GEZDGNBVGY3TQOJQGEZD"])
def test_a_short_secret_from_elsewhere_works_and_is_marked(server: Server, secret: str) -> None:
    """80 and 100 bits, which pyotp will not touch."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    expected = pyotp.HOTP(base64.b32encode(key + b"\0" * 44).decode()).at(
        4
    )  # HMAC pads a key with zeros anyway
    ctx = at(server, 4 * 30)
    assert isinstance(totp.verify(ctx, authenticator(server, secret), otp(expected)), Proof)
    assert ctx.facts.details == {"short_secret": "totp|dev_x"}


@pytest.mark.parametrize("steps", [-20, -5, -2, 2, 7, 20])
def test_the_right_device_with_a_wrong_clock_is_refused_and_recognised(server: Server, steps: int) -> None:
    secret = pyotp.random_base32()
    code = pyotp.TOTP(secret).at(NOON, counter_offset=steps)
    ctx = at(server, NOON.timestamp())
    assert totp.verify(ctx, authenticator(server, secret), otp(code)) == "clock_off"
    assert ctx.facts.details == {"clock_off": {"authenticator": "totp|dev_x", "steps": steps}}


def test_a_clock_that_is_eleven_minutes_off_is_a_wrong_code(server: Server) -> None:
    secret = pyotp.random_base32()
    code = pyotp.TOTP(secret).at(NOON, counter_offset=21)
    assert totp.verify(at(server, NOON.timestamp()), authenticator(server, secret), otp(code)) == "wrong_code"
