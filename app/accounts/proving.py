"""Looks at an answer that was counted: which of the authenticators it may be tried on does it prove?"""

import logging

from app.context import Context
from app.crypto import SealBroken
from app.errors import Refusal, TemporarilyUnavailable
from app.factors.factor import Answer, Factor, Proof
from app.guards import second_factor
from app.guards.second_factor import Guess

log = logging.getLogger("belay.proving")


def prove(ctx: Context, factor: Factor, guess: Guess, answer: Answer) -> Proof | str:
    """A Proof, or the private reason why it is none.

    Raises TemporarilyUnavailable where a secret cannot be opened, and whatever a factor will not look at. The guess is
    taken back then, unless it was compared with another secret before: one that is broken must not make it free.
    """
    reason, was_compared = "no_candidate", False
    for authenticator in guess.tried:
        try:
            found = factor.verify(ctx, authenticator, answer)
        except (SealBroken, OSError) as error:
            log.error("the secret of %s cannot be opened: %s", authenticator.id, error)
            _take_back(ctx, guess, was_compared=was_compared)
            raise TemporarilyUnavailable(reason="secret_unreadable") from None
        except Refusal:
            _take_back(ctx, guess, was_compared=was_compared)
            raise
        if isinstance(found, Proof):
            return found
        reason, was_compared = found or reason, True
    return reason


def _take_back(ctx: Context, guess: Guess, *, was_compared: bool) -> None:
    if guess.is_counted and not was_compared:
        with ctx.db.write() as conn:
            second_factor.undecided(conn, guess)
