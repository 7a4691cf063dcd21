"""One-time passwords: the RFC's vectors, the window to the millisecond, and the spellings of a code."""

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
