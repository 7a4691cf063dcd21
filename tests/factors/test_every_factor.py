"""What holds for every factor in the list; a new kind is tested the moment it is listed."""

from dataclasses import replace

import pytest

from app.context import Context
from app.errors import InvalidRequest
from app.factors import FACTORS
from app.factors.factor import Answer, Factor, Proof
from app.store import authenticators
from tests import phone
from tests.making import Cast

every_factor = pytest.mark.parametrize("factor", FACTORS.values(), ids=lambda factor: factor.kind)


@every_factor
def test_a_right_answer_is_consumed_once(ctx: Context, cast: Cast, factor: Factor) -> None:
    held = phone.hold(ctx, factor, cast.bob)
    answer = phone.answer(ctx, held)
    proofs = [factor.verify(ctx, held.authenticator, answer) for _ in range(2)]
    won = []
    for proof in proofs:
        assert isinstance(proof, Proof)
        with ctx.db.write() as conn:
            won.append(proof.consume(conn, ctx.now))
    assert won == [True, False]


@every_factor
@pytest.mark.parametrize("text", ["", " ", "x", "0" * 6, "A" * 24, "é" * 24, "1" * 5000, "{}", "null", "[1]"])
def test_a_wrong_answer_is_a_reason_and_no_proof(ctx: Context, cast: Cast, factor: Factor, text: str) -> None:
    if not factor.is_guessable:
        return  # the answer does not come with the client's words
    held = phone.hold(ctx, factor, cast.bob)
    right = phone.answer(ctx, held)
    handle = {name: value for name, value in right.members.items() if name == "oob_code"}
    wrong = replace(right, members=dict.fromkeys(right.members, text) | handle)
    try:
        found = factor.verify(ctx, held.authenticator, wrong)
    except InvalidRequest:
        return  # the client forgot it: no guess
    assert isinstance(found, str)


@every_factor
def test_a_disabled_authenticator_proves_nothing(ctx: Context, cast: Cast, factor: Factor) -> None:
    held = phone.hold(ctx, factor, cast.bob)
    proof = factor.verify(ctx, held.authenticator, phone.answer(ctx, held))
    assert isinstance(proof, Proof)
    with ctx.db.write() as conn:
        for _ in range(authenticators.FAILURE_CAP):
            authenticators.spend_guess(conn, [held.authenticator.id])
        authenticators.disable_exhausted(conn, [held.authenticator.id], ctx.now)
        assert not proof.consume(conn, ctx.now)


@every_factor
def test_another_person_s_answer_is_wrong(ctx: Context, cast: Cast, factor: Factor) -> None:
    held, foreign = phone.hold(ctx, factor, cast.bob), phone.hold(ctx, factor, cast.carol)
    assert isinstance(factor.verify(ctx, held.authenticator, phone.answer(ctx, foreign)), str)


@every_factor
def test_an_answer_to_an_expired_challenge_consumes_nothing(ctx: Context, cast: Cast, factor: Factor) -> None:
    if factor.challenge is None:
        return  # it is asked nothing
    held = phone.hold(ctx, factor, cast.bob)
    answer = phone.answer(ctx, held)
    proof = factor.verify(ctx, held.authenticator, answer)
    assert isinstance(proof, Proof) and answer.challenge is not None
    with ctx.db.write() as conn:
        assert not proof.consume(conn, answer.challenge.expires_at)


@every_factor
def test_an_answer_without_its_challenge_is_wrong(ctx: Context, cast: Cast, factor: Factor) -> None:
    if factor.challenge is None:
        return
    held = phone.hold(ctx, factor, cast.bob)
    answer = phone.answer(ctx, held)
    assert isinstance(factor.verify(ctx, held.authenticator, Answer(answer.members)), str)


@every_factor
def test_nothing_secret_is_kept_open(ctx: Context, cast: Cast, factor: Factor) -> None:
    held = phone.hold(ctx, factor, cast.carol)
    secrets = [str(value) for value in held.shown.values() if isinstance(value, str)]
    secrets += [text for value in held.shown.values() if isinstance(value, list) for text in value]
    kept = str(vars(held.authenticator)) + repr(held.authenticator)
    if factor.challenge is not None:
        begun = phone.begin(ctx, held)
        kept += str(vars(begun.challenge)) + repr(begun)
        secrets += [str(begun.shown["oob_code"])] if "oob_code" in begun.shown else []
        secrets += [str(begun.message[1].code or begun.message[1].payload["txtkn"])] if begun.message else []
    assert not any(secret in kept for secret in secrets)
