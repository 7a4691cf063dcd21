"""Guesses at second factors: a leaking bucket per person over all factors, and a cap per authenticator.

Neither hangs on the `mfa_token`, the client or the address: all of these an attacker who knows the password can have
as many of as he likes. Ten guesses, then one each six minutes; fifty wrong in a row disable the authenticator. With
three valid codes in a million that is at most 1.5e-4 for a guesser until an administrator must help.
"""

from collections.abc import Sequence

from sqlalchemy import Connection

from app.context import Context
from app.errors import InvalidRequest, limit_headers
from app.store import attempts, authenticators
from app.store.authenticators import Authenticator

BUCKET_SIZE = 10
REFILL_SECONDS = 360.0  # one guess comes back; a success gives back its own and never an earlier one

TOO_MANY = "Too many failed codes. Wait for some minutes before retrying."


def before(
    ctx: Context, user_id: str, candidates: Sequence[Authenticator], *, event: str
) -> list[Authenticator]:
    """Count one guess and return the authenticators that it may be tried on. Raises InvalidRequest (429)."""
    with ctx.db.write() as conn:
        wait = attempts.spend_factor_guess(
            conn, user_id, size=BUCKET_SIZE, refill_seconds=REFILL_SECONDS, now=ctx.now
        )
        open_ids = authenticators.spend_guess(conn, [a.id for a in candidates]) if wait is None else set()
        if wait is None and not open_ids:
            authenticators.disable_exhausted(conn, [a.id for a in candidates], ctx.now)
            wait = REFILL_SECONDS
    if wait is not None:
        headers = limit_headers(ctx.now, limit=BUCKET_SIZE, retry_after_seconds=int(wait) + 1)
        raise InvalidRequest(TOO_MANY, reason="guess_limit", event=event, status=429, headers=headers)
    return [a for a in candidates if a.id in open_ids]


def failed(conn: Connection, ctx: Context, tried: Sequence[Authenticator]) -> None:
    authenticators.disable_exhausted(conn, [a.id for a in tried], ctx.now)


def undecided(conn: Connection, user_id: str, tried: Sequence[Authenticator]) -> None:
    """The answer was never looked at: the guess is taken back."""
    attempts.give_back_factor_guess(conn, user_id)
    authenticators.give_back_guess(conn, [a.id for a in tried])


def succeeded(conn: Connection, user_id: str, right: Authenticator, tried: Sequence[Authenticator]) -> None:
    """The guess was right for one of them (whose row forgets its failures when it is consumed)."""
    attempts.give_back_factor_guess(conn, user_id)
    authenticators.give_back_guess(conn, [a.id for a in tried if a.id != right.id])
