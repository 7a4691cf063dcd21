"""How a step of a login ends: what was counted is settled, and what was proven is used up, in one transaction."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from app import audit
from app.asking import Person
from app.channels import alerts, notices
from app.context import Context
from app.directories.directory import ACCOUNT_REASONS, PASSWORD_REASONS
from app.errors import AccessDenied, InvalidGrant, Refusal, TemporarilyUnavailable, Unauthorized
from app.factors import ANSWERABLE, FACTORS
from app.factors.factor import Proof
from app.guards import password_attempt, second_factor
from app.guards.password_attempt import Attempt
from app.guards.second_factor import Guess
from app.policy import CLOSED
from app.store import authenticators, users
from app.store.events import SECONDS_TO_PASS
from app.tokens import mfa_token
from app.tokens.mfa_token import MALFORMED, Open

PASSWORD_OVER = "password must be changed"  # noqa: S105 - a text


@dataclass(frozen=True)
class Redeemed:
    """A proven second factor and the transaction that it completes: both are used up together."""

    transaction: Open
    proof: Proof
    guess: Guess


@dataclass(frozen=True)
class Opened:
    """What opened a login instead of a password, and is used up with the first decision on it."""

    consume: Callable[[Connection, datetime], bool]
    wrong_answer: str


class Lost(Exception):
    """Another request was first; the transaction is rolled back."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal


@contextmanager
def last_transaction(
    ctx: Context,
    person: Person,
    lost: Refusal,
    *,
    completes: bool = True,
    attempt: Attempt | None = None,
    redeemed: Redeemed | None = None,
    opened: Opened | None = None,
) -> Iterator[Connection]:
    """Where a login is decided: the person is as they were when they were looked at, and stays so; what was
    `redeemed` is used up in it.

    A login may have waited for seconds to hash; a new password, a block or a reset in that time wins. Rows are
    locked in one order everywhere: user, transaction, guesses, authenticators, attempts.
    """
    guess = redeemed.guess if redeemed is not None else None
    try:
        with ctx.db.write() as conn:
            is_same = (
                users.log_in(conn, person.user, ctx.ip, ctx.now)
                if completes
                else users.is_unchanged(conn, person.user)
            )
            if not is_same:
                raise Lost(lost)
            if opened is not None and not opened.consume(conn, ctx.now):
                raise Lost(InvalidGrant(opened.wrong_answer, reason="challenge_used"))
            if redeemed is not None:
                _use_up(conn, ctx, person, redeemed)
            yield conn
    except Lost as found:
        refuse(ctx, found.refusal, right=attempt, guess=guess)
    except IntegrityError:  # the client or the realm was deleted meanwhile
        refuse(ctx, lost, right=attempt, guess=guess)


def _use_up(conn: Connection, ctx: Context, person: Person, redeemed: Redeemed) -> None:
    """The transaction and the proof, both or neither. Raises Lost."""
    proof = redeemed.proof
    device = proof.authenticator
    wrong_answer = ANSWERABLE[device.kind].wrong_answer
    is_first_use = device.confirmed_at is None
    if is_first_use and _was_enrolled_meanwhile(conn, person):
        raise Lost(InvalidGrant(wrong_answer, reason="enrolled_meanwhile"))
    if not mfa_token.consume(conn, redeemed.transaction, ctx.now):
        raise Lost(InvalidGrant(MALFORMED, reason="transaction_used"))
    if redeemed.transaction.began_at is not None:
        waited = (ctx.now - redeemed.transaction.began_at).total_seconds()
        ctx.facts.details[SECONDS_TO_PASS] = max(0, int(waited))
    second_factor.succeeded(conn, redeemed.guess, device)
    if not proof.consume(conn, ctx.now):
        raise Lost(InvalidGrant(wrong_answer, reason="code_replayed"))
    if is_first_use:
        authenticators.confirm_recovery_code(conn, person.user.id, device.transaction_id, ctx.now)
        ctx.facts.details["enrolled"] = device.id
        if person.user.mfa_counts is not None:
            users.note_reset(conn, person.user.id, None)
        notices.put(conn, ctx, person.user, "factor_added", factor=FACTORS[device.kind].type)
        alerts.count_enrollment(conn, ctx, person.user.realm_id, person.user.id)
    if proof.new_recovery_code is not None:
        notices.put(conn, ctx, person.user, "recovery_code_used")


def _was_enrolled_meanwhile(conn: Connection, person: Person) -> bool:
    """Of two logins that enrol a first factor at once, one wins: the other had no factor to prove beside it."""
    known = {a.id for a in person.owned if a.confirmed_at is not None}
    return any(
        a.id not in known for a in authenticators.list_authenticators(conn, person.user.id) if a.confirmed_at
    )


def refuse(
    ctx: Context,
    refusal: Refusal,
    *,
    wrong: Attempt | None = None,
    right: Attempt | None = None,
    guess: Guess | None = None,
) -> NoReturn:
    """Settle what was counted and say no: with a `wrong` password, a `right` one, or a factor `guess`.

    A guess stays counted even where it was right and something else says no: only issued tokens forgive.
    """
    with ctx.db.write() as conn:
        if guess is not None:
            second_factor.failed(conn, ctx, guess)
        audit.record(conn, ctx, refusal.event or ctx.facts.failure_event, refusal.reason, refusal.details)
        if wrong is not None:
            password_attempt.failed(conn, ctx, wrong)
        if right is not None:
            password_attempt.undecided(conn, right)
    refusal.recorded = True
    raise refusal


def denial(reason: str) -> Refusal:
    """What a person hears whose password was right and who still may not in."""
    if reason == "user_blocked" or reason in ACCOUNT_REASONS:
        return Unauthorized("user is blocked", reason=reason, event="f")
    if reason in PASSWORD_REASONS:
        return Unauthorized(PASSWORD_OVER, reason=reason, event="f")
    return AccessDenied(CLOSED.get(reason, "The login is not allowed."), reason=reason, event="f")


def take_back(ctx: Context, attempt: Attempt, refusal: TemporarilyUnavailable) -> NoReturn:
    """Nobody failed. If that cannot be written, the attempt stays counted."""
    if refusal.recorded:
        raise refusal
    with ctx.db.write() as conn:
        audit.record(conn, ctx, refusal.event or "f", refusal.reason, refusal.details)
        password_attempt.undecided(conn, attempt)
    refusal.recorded = True
    raise refusal
