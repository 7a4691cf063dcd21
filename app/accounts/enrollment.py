"""Enrolment by a ticket: an administrator lets somebody add an authenticator app without a login.

The ticket stands for the proof that a login would ask for, so it is used up only by a right code, and guesses at
codes count as everywhere.
"""

from sqlalchemy import Connection

from app import audit
from app.accounts.tickets import SPENT, open_ticket
from app.channels import notices
from app.context import Context
from app.errors import AccessDenied, InvalidGrant, Refusal
from app.factors import FACTORS, vocabulary
from app.factors.factor import Answer, Enrolling, Proof
from app.guards import second_factor
from app.guards.second_factor import Guess
from app.store import authenticators, tickets, users
from app.store.authenticators import Authenticator
from app.store.tenant import get_tenant
from app.store.tickets import Ticket
from app.store.users import User

KIND = "totp"
PENDING_LIMIT = 5
ENROLLED = "You have a second factor already."
SWITCHED_OFF = "Authenticator apps cannot be enrolled here."


def _mark(ticket: Ticket) -> str:
    """What a pending authenticator remembers of the ticket that it may be confirmed with."""
    return f"ticket:{ticket.id}"


def _check(ctx: Context, conn: Connection, ticket: Ticket, user: User) -> tuple[Authenticator, ...]:
    """What the person has. Raises AccessDenied."""
    if KIND not in vocabulary.enabled_kinds(ctx, conn):
        raise AccessDenied(SWITCHED_OFF, reason="factor_unavailable")
    owned = tuple(authenticators.list_authenticators(conn, user.id))
    if not ticket.details.get("allows_more") and any(a.confirmed_at for a in owned):
        raise AccessDenied(ENROLLED, reason="factor_exists")
    return owned


def begin(ctx: Context, token: str) -> dict[str, object]:
    """A new secret to put into an app. Raises InvalidGrant, AccessDenied."""
    with ctx.db.read() as conn:
        ticket, user, _ = open_ticket(ctx, conn, "enrollment", token)
        _check(ctx, conn, ticket, user)
        issuer_name = ctx.look_up(conn, get_tenant).name
    new = FACTORS[KIND].enroll(ctx, Enrolling(user, _mark(ticket), issuer_name))
    with ctx.db.write() as conn:
        if not users.is_unchanged(conn, user):
            raise InvalidGrant(SPENT, reason="changed_meanwhile")
        authenticators.add_authenticator(conn, new.authenticator)
        authenticators.drop_oldest_pending(conn, new.authenticator, PENDING_LIMIT)
        audit.record(conn, ctx, "gd_start_enroll", "ticket")
    return new.shown


def finish(ctx: Context, token: str, code: str) -> str | None:
    """Confirm with a code of the app; returns the recovery code that comes with a first factor.

    Raises InvalidGrant (also for a wrong code: the ticket stays good), AccessDenied, TooManyAttempts.
    """
    factor = FACTORS[KIND]
    with ctx.db.read() as conn:
        ticket, user, _ = open_ticket(ctx, conn, "enrollment", token)
        owned = _check(ctx, conn, ticket, user)
        gives_code = "recovery_code" in vocabulary.enabled_kinds(ctx, conn)
        issuer_name = ctx.look_up(conn, get_tenant).name
    ctx.facts.factor = KIND
    waiting = [
        a for a in owned if a.kind == KIND and a.transaction_id == _mark(ticket) and not a.confirmed_at
    ]
    guess = second_factor.before(ctx, user.id, waiting, event=factor.limit_event)
    proof, reason = None, "no_candidate"
    for authenticator in guess.tried:
        found = factor.verify(ctx, authenticator, Answer({"otp": code}))
        if isinstance(found, Proof):
            proof = found
            break
        reason = found
    if proof is None:
        _refuse(ctx, guess, InvalidGrant(factor.wrong_answer, reason=reason))
        return None
    with ctx.db.write() as conn:
        is_same = users.is_unchanged(conn, user)
        _check(ctx, conn, ticket, user)  # another ticket or login may have enrolled one meanwhile
        if not is_same or not tickets.consume_ticket(conn, ticket.id, ctx.now):
            raise InvalidGrant(SPENT, reason="ticket_spent")
        second_factor.succeeded(conn, guess, proof.authenticator)
        if not proof.consume(conn, ctx.now):
            raise InvalidGrant(factor.wrong_answer, reason="code_replayed")
        shown = _recovery_code(conn, ctx, user, ticket, issuer_name) if gives_code else None
        notices.put(conn, ctx, user, "factor_added", factor=factor.type)
        audit.record(conn, ctx, "gd_enrollment_complete", "ticket", {"enrolled": proof.authenticator.id})
    return shown


def _recovery_code(
    conn: Connection, ctx: Context, user: User, ticket: Ticket, issuer_name: str
) -> str | None:
    new = FACTORS["recovery_code"].enroll(ctx, Enrolling(user, _mark(ticket), issuer_name))
    if not authenticators.add_first_recovery_code(conn, new.authenticator):
        return None
    authenticators.confirm_recovery_code(conn, user.id, _mark(ticket), ctx.now)
    codes = new.shown["recovery_codes"]
    return str(codes[0]) if isinstance(codes, list) else None


def _refuse(ctx: Context, guess: Guess, refusal: Refusal) -> None:
    with ctx.db.write() as conn:
        second_factor.failed(conn, ctx, guess)
        audit.record(conn, ctx, "gd_auth_failed", refusal.reason)
    refusal.recorded = True
    raise refusal
