"""Guesses at second factors: a leaking bucket per person over all factors, and a cap per authenticator.

Neither hangs on the `mfa_token`, the client or the address: all of these an attacker who knows the password can have
as many of as he likes. Ten guesses, then one each six minutes; fifty wrong in a row disable the authenticator. With
three valid codes in a million that is at most 1.5e-4 for a guesser until an administrator must help. Codes to a contact
that opens enrolment have no authenticator: of those, fifty wrong in a row leave one guess a month.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from app.channels import alerts, notices
from app.context import Context
from app.errors import InvalidRequest, limit_headers
from app.store import authenticators, buckets
from app.store.authenticators import FAILURE_CAP, Authenticator
from app.store.users import find_user

BUCKET_SIZE = 10
DAY_SECONDS = 86400.0
REFILL_SECONDS = 360.0  # one guess comes back; a success gives back its own and never an earlier one

OF_PERSON = (BUCKET_SIZE, REFILL_SECONDS)
OF_CONTACTS = (FAILURE_CAP, 30 * DAY_SECONDS)

TOO_MANY = "Too many failed codes. Wait for some minutes before retrying."


@dataclass(frozen=True)
class Guess:
    """One answer, counted before it is looked at, and the authenticators that it may be tried on."""

    user_id: str
    tried: tuple[Authenticator, ...]
    is_counted: bool = True
    """An answer that nobody can guess, given on a device of its own, is not."""
    contact: str | None = None
    """The bucket of codes to the person's contacts, which have no rows to be counted on."""
    veil: str | None = None
    """The bucket of a veiled login, beside the person's."""
    refused: str = ""
    """Why a veiled login's answer is wrong, whatever it is."""


def before(
    ctx: Context,
    user_id: str,
    candidates: Sequence[Authenticator],
    *,
    event: str,
    is_counted: bool = True,
    are_kept: bool = True,
) -> Guess:
    """Count one guess; for all contacts together where those are the candidates. Raises InvalidRequest (429)."""
    if not is_counted:
        return Guess(user_id, tuple(candidates), is_counted=False)
    contact = None if are_kept else _contact_key(user_id)
    limit = OF_PERSON
    with ctx.db.write() as conn:
        wait = _spend(conn, ctx, user_id)
        ids = [a.id for a in candidates]
        open_ids = set(ids)
        if are_kept:
            open_ids = authenticators.spend_guess(conn, ids) if wait is None else set()
        elif wait is None:
            limit = size, refill = OF_CONTACTS
            wait = buckets.spend(conn, _contact_key(user_id), size=size, refill_seconds=refill, now=ctx.now)
        if wait is None and not open_ids:
            authenticators.disable_exhausted(conn, [a.id for a in candidates], ctx.now)
            wait = REFILL_SECONDS
        if wait is not None:
            _tell(conn, ctx, user_id)
    if wait is not None:
        raise _too_many(ctx, wait, event, limit)
    return Guess(user_id, tuple(a for a in candidates if a.id in open_ids), contact=contact)


def _spend(conn: Connection, ctx: Context, user_id: str) -> float | None:
    return buckets.spend(
        conn, person_key(user_id), size=BUCKET_SIZE, refill_seconds=REFILL_SECONDS, now=ctx.now
    )


def person_key(user_id: str) -> str:
    """The bucket that holds a person's guesses over all factors."""
    return f"guess/person/{user_id}"


def _contact_key(user_id: str) -> str:
    return f"guess/contact/{user_id}"


def _too_many(ctx: Context, wait: float, event: str, limit: tuple[int, float] = OF_PERSON) -> InvalidRequest:
    size, refill = limit
    details: dict[str, object] = {
        "limit": {"max": size, "then_one_each_seconds": refill, "wait_seconds": int(wait)}
    }
    headers = limit_headers(ctx.now, limit=size, retry_after_seconds=int(wait) + 1)
    return InvalidRequest(
        TOO_MANY, reason="guess_limit", event=event, status=429, headers=headers, details=details
    )


def before_veiled(
    ctx: Context,
    veil: str,
    user_id: str | None,
    candidates: Sequence[Authenticator],
    stand_in: Authenticator,
    *,
    event: str,
) -> Guess:
    """Count one guess at a login of which it must not be told whose it is, if anybody's. Raises InvalidRequest (429).

    What refuses openly is the bucket that decoys share. The person's own limits hold as well and say nothing: over
    them any answer is wrong. The statements are as many for nobody, and the stand-in is looked at.
    """
    key, refused = f"veiled/{veil}", ""
    with ctx.db.write() as conn:
        is_free = buckets.hold(conn, key, size=BUCKET_SIZE, refill_seconds=REFILL_SECONDS, now=ctx.now)
        if is_free and user_id is not None:
            wait = _spend(conn, ctx, user_id)
            refused = "guess_limit" if wait is not None else "" if candidates else "not_enrolled"
        elif is_free:
            buckets.spend(conn, f"{key}/nobody", size=1000, refill_seconds=0.001, now=ctx.now)
            refused = "blind_token"
        if not is_free:
            level = buckets.look(conn, key, refill_seconds=REFILL_SECONDS, now=ctx.now).level
        elif refused:
            authenticators.spend_guess(conn, [stand_in.id])
        else:
            open_ids = authenticators.spend_guess(conn, [a.id for a in candidates])
            candidates = [a for a in candidates if a.id in open_ids]
            refused = "" if candidates else "authenticator_disabled"
        if not is_free or refused == "guess_limit":
            _tell(conn, ctx, user_id or veil)
    if not is_free:
        raise _too_many(ctx, max(1.0, (level + 1 - BUCKET_SIZE) * REFILL_SECONDS), event)
    tried = (stand_in,) if refused else tuple(candidates)
    return Guess(user_id or stand_in.user_id, tried, veil=key, refused=refused)


def _tell(conn: Connection, ctx: Context, user_id: str) -> None:
    """Whoever guesses at a second factor has the password already: its owner should know, once a day."""
    key = f"notice/guess/{user_id}"
    if buckets.spend(conn, key, size=1, refill_seconds=DAY_SECONDS, now=ctx.now) is None:
        user = find_user(conn, user_id)
        if user is not None:
            with suppress(IntegrityError), conn.begin_nested():  # nobody is told who was deleted meanwhile
                notices.put(conn, ctx, user, "factor_guessed")
                alerts.tell(conn, ctx, user.realm_id, "otp_guessing", user_id)


def failed(conn: Connection, ctx: Context, guess: Guess) -> None:
    if guess.veil is not None:
        buckets.keep(conn, guess.veil)
    if guess.is_counted:
        authenticators.disable_exhausted(conn, [a.id for a in guess.tried], ctx.now)


def undecided(conn: Connection, guess: Guess) -> None:
    """The answer was never looked at: the guess is taken back."""
    if guess.veil is not None:
        buckets.release(conn, guess.veil)
    if guess.contact is not None:
        buckets.give_back(conn, guess.contact)
    if guess.is_counted and not guess.refused:
        buckets.give_back(conn, person_key(guess.user_id))
        authenticators.give_back_guess(conn, [a.id for a in guess.tried])


def succeeded(conn: Connection, guess: Guess, right: Authenticator) -> None:
    """The guess was right for one of them (whose row forgets its failures when it is consumed)."""
    if guess.veil is not None:
        buckets.release(conn, guess.veil)
    if guess.contact is not None:
        buckets.empty(conn, guess.contact)
    if guess.is_counted:
        buckets.give_back(conn, person_key(guess.user_id))
        authenticators.give_back_guess(conn, [a.id for a in guess.tried if a.id != right.id])


def reopen_contacts(conn: Connection, user_id: str) -> None:
    """An administrator helps: wrong codes to a person's contacts are forgotten."""
    buckets.empty(conn, _contact_key(user_id))


def forget(conn: Connection, user_id: str) -> None:
    """An administrator unblocks: all guesses of a person are forgotten."""
    buckets.empty(conn, person_key(user_id))
    reopen_contacts(conn, user_id)
