"""What holds for every factor in the list; a new kind is tested the moment it is listed."""

import pyotp
import pytest

from app.context import Context, Server
from app.factors import FACTORS
from app.factors.factor import Factor, Proof
from app.store import authenticators
from app.store.authenticators import Authenticator
from tests.making import Cast

every_factor = pytest.mark.parametrize("factor", FACTORS.values(), ids=lambda factor: factor.kind)


def enrolled(ctx: Context, cast: Cast, factor: Factor) -> tuple[Authenticator, str]:
    """A confirmed authenticator of Bob's, and a right answer for it."""
    enrollment = factor.enroll(ctx, cast.bob, transaction_id="t", issuer_name="Belay")
    with ctx.db.write() as conn:
        authenticators.add_authenticator(conn, enrollment.authenticator)
        if factor.kind == "recovery_code":
            authenticators.confirm_recovery_code(conn, cast.bob.id, "t", ctx.now)
    return reload(ctx, enrollment.authenticator.id, cast), answer_of(ctx, enrollment.shown)


def reload(ctx: Context, authenticator_id: str, cast: Cast) -> Authenticator:
    with ctx.db.read() as conn:
        return next(
            a for a in authenticators.list_authenticators(conn, cast.bob.id) if a.id == authenticator_id
        )


def answer_of(ctx: Context, shown: dict[str, object]) -> str:
    if "secret" in shown:
        return str(pyotp.TOTP(str(shown["secret"])).at(ctx.now))
    codes = shown["recovery_codes"]
    assert isinstance(codes, list)
    return str(codes[0])


@every_factor
def test_a_right_answer_is_consumed_once(server: Server, ctx: Context, cast: Cast, factor: Factor) -> None:
    authenticator, answer = enrolled(ctx, cast, factor)
    proofs = [factor.verify(ctx, authenticator, answer) for _ in range(2)]
    won = []
    for proof in proofs:
        assert isinstance(proof, Proof)
        with ctx.db.write() as conn:
            won.append(proof.consume(conn, ctx.now))
    assert won == [True, False]
    assert not isinstance(factor.verify(ctx, reload(ctx, authenticator.id, cast), answer), Proof)


@every_factor
@pytest.mark.parametrize("answer", ["", " ", "x", "0" * 6, "A" * 24, "é" * 24, "1" * 5000])
def test_a_wrong_answer_is_a_reason_and_no_proof(
    server: Server, ctx: Context, cast: Cast, factor: Factor, answer: str
) -> None:
    authenticator, _ = enrolled(ctx, cast, factor)
    assert isinstance(factor.verify(ctx, authenticator, answer), str)


@every_factor
def test_a_disabled_authenticator_proves_nothing(
    server: Server, ctx: Context, cast: Cast, factor: Factor
) -> None:
    authenticator, answer = enrolled(ctx, cast, factor)
    proof = factor.verify(ctx, authenticator, answer)
    assert isinstance(proof, Proof)
    with ctx.db.write() as conn:
        for _ in range(authenticators.FAILURE_CAP):
            authenticators.spend_guess(conn, [authenticator.id])
        authenticators.disable_exhausted(conn, [authenticator.id], ctx.now)
        assert not proof.consume(conn, ctx.now)


@every_factor
def test_another_person_s_answer_is_wrong(server: Server, ctx: Context, cast: Cast, factor: Factor) -> None:
    authenticator, _ = enrolled(ctx, cast, factor)
    foreign = factor.enroll(ctx, cast.alice, transaction_id="t", issuer_name="Belay")
    assert isinstance(factor.verify(ctx, authenticator, answer_of(ctx, foreign.shown)), str)


@every_factor
def test_nothing_secret_is_kept_open(server: Server, ctx: Context, cast: Cast, factor: Factor) -> None:
    enrollment = factor.enroll(ctx, cast.bob, transaction_id="t", issuer_name="Belay")
    secrets = [str(value) for value in enrollment.shown.values() if isinstance(value, str)]
    secrets += [text for value in enrollment.shown.values() if isinstance(value, list) for text in value]
    kept = str(vars(enrollment.authenticator)) + repr(enrollment.authenticator)
    assert not any(secret in kept for secret in secrets)
