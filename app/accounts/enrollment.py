"""Enrolment by a ticket: an administrator lets somebody add a second factor without a login.

The ticket stands for the proof that a login would ask for, so it is used up only by a right answer, and guesses and
messages count as everywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from app import audit
from app.accounts import challenging, proving
from app.accounts.tickets import SPENT, open_ticket
from app.channels import alerts, notices
from app.context import Context
from app.crypto import digest
from app.errors import AccessDenied, InvalidGrant, Refusal
from app.factors import FACTORS, vocabulary
from app.factors.factor import Answer, Challenging, Enrolling, Factor, demands_of
from app.guards import second_factor
from app.guards.second_factor import Guess
from app.policy import CLOSED, policy_of
from app.store import authenticators, challenges, tickets, users
from app.store.authenticators import Authenticator
from app.store.challenges import Challenge
from app.store.realms import Realm
from app.store.roles import list_roles_of
from app.store.tenant import get_tenant
from app.store.tickets import Ticket
from app.store.users import User

PENDING_LIMIT = 5
ENROLLED = "You have a second factor already."
SWITCHED_OFF = "There is no second factor that could be enrolled here."
NOT_THIS_ONE = "This second factor cannot be enrolled here."
RUN_OUT = "This took too long. Please begin again."


@dataclass(frozen=True)
class Opened:
    """A ticket that is good, and what its holder may enrol with it."""

    ticket: Ticket
    user: User
    realm: Realm
    owned: tuple[Authenticator, ...]
    factors: tuple[Factor, ...]
    issuer_name: str

    @property
    def mark(self) -> str:
        """What a pending authenticator remembers of the ticket that it may be confirmed with."""
        return f"ticket:{self.ticket.id}"

    def factor(self, kind: str) -> Factor:
        """Raises AccessDenied."""
        for factor in self.factors:
            if factor.kind == kind:
                return factor
        raise AccessDenied(NOT_THIS_ONE, reason="factor_unavailable")


def open_for_enrollment(ctx: Context, conn: Connection, token: str) -> Opened:
    """Raises InvalidGrant, AccessDenied."""
    ticket, user, realm = open_ticket(ctx, conn, "enrollment", token)
    owned = tuple(authenticators.list_authenticators(conn, user.id))
    if not ticket.details.get("allows_more") and any(a.confirmed_at for a in owned):
        raise AccessDenied(ENROLLED, reason="factor_exists")
    kinds = vocabulary.enabled_kinds(ctx, conn) & _allowed_kinds(ctx, conn, user, realm)
    if ticket.details.get("kinds"):
        kinds &= set(ticket.details["kinds"])
    factors = tuple(
        f for f in FACTORS.values() if f.kind in kinds and f.is_challengeable and f.is_ready(ctx, conn)
    )
    if not factors:
        raise AccessDenied(SWITCHED_OFF, reason="factor_unavailable")
    return Opened(ticket, user, realm, owned, factors, ctx.look_up(conn, get_tenant).name)


def _allowed_kinds(ctx: Context, conn: Connection, user: User, realm: Realm) -> set[str]:
    """What the realm's policy lets somebody enrol with a ticket. Raises AccessDenied."""
    policy = policy_of(realm.mfa_policy, ctx.look_up(conn, get_tenant).mfa_policies)
    terms = policy.terms
    if terms.enrollment.self_service == "closed":
        raise AccessDenied(CLOSED["enrollment_closed"], reason="enrollment_closed")
    roles = tuple(role.id for role in list_roles_of(conn, user.id)) if terms.mentions_roles else ()
    kinds = {kind for kind in FACTORS if vocabulary.policy_name(kind) in terms.allows(roles)}
    return kinds - policy.shunned_ways


def begin(ctx: Context, token: str, kind: str, members: Mapping[str, str]) -> dict[str, object]:
    """A new authenticator, and what its owner must be shown. Raises InvalidGrant, AccessDenied, InvalidRequest."""
    with ctx.db.read() as conn:
        opened = open_for_enrollment(ctx, conn, token)
        factor, user = opened.factor(kind), opened.user
        ctx.facts.factor = kind
        enrolling = Enrolling(user, opened.mark, opened.issuer_name, members, opened.owned)
        new = factor.enroll(ctx, enrolling)
        device, begun = new.authenticator, None
        if factor.challenge is not None:
            demands = demands_of(opened.realm)
            asked = Challenging(user, (device,), opened.mark, None, opened.issuer_name, demands)
            begun = factor.challenge(ctx, conn, asked)
    with ctx.db.write() as conn:
        if not users.is_unchanged(conn, user):
            raise InvalidGrant(SPENT, reason="changed_meanwhile")
        authenticators.add_authenticator(conn, device)
        authenticators.drop_oldest_pending(conn, device, PENDING_LIMIT)
        if begun is not None:
            challenging.ask(conn, ctx, factor, device, opened.realm, begun)
        audit.record(conn, ctx, "gd_start_enroll", "ticket")
    return new.shown | (begun.shown if begun else {})


def finish(ctx: Context, token: str, kind: str, members: Mapping[str, str], handle: str = "") -> str | None:
    """Confirm with a right answer; returns the recovery code that comes with a first factor.

    Raises InvalidGrant (also for a wrong answer: the ticket stays good), AccessDenied, InvalidRequest.
    """
    with ctx.db.read() as conn:
        opened = open_for_enrollment(ctx, conn, token)
        factor = opened.factor(kind)
        ctx.facts.factor = kind
        challenge = _answered(ctx, conn, opened, handle) if factor.challenge is not None else None
        gives_code = "recovery_code" in vocabulary.enabled_kinds(ctx, conn)
    waiting = [
        a
        for a in opened.owned
        if a.kind == kind and a.transaction_id == opened.mark and not a.confirmed_at
        if challenge is None or a.id == challenge.authenticator_id
    ]
    if not waiting:
        raise InvalidGrant(RUN_OUT, reason="no_candidate")
    user = opened.user
    guess = second_factor.before(
        ctx, user.id, waiting, event=factor.limit_event, is_counted=factor.is_guessable
    )
    proof = proving.prove(ctx, factor, guess, Answer(members, challenge))
    if isinstance(proof, str):
        _refuse(ctx, guess, InvalidGrant(factor.wrong_answer, reason=proof))
    try:
        with ctx.db.write() as conn:
            is_same = users.is_unchanged(conn, user)
            open_for_enrollment(ctx, conn, token)  # another ticket or login may have enrolled one meanwhile
            if not is_same or not tickets.consume_ticket(conn, opened.ticket.id, ctx.now):
                raise InvalidGrant(SPENT, reason="ticket_spent")
            second_factor.succeeded(conn, guess, proof.authenticator)
            if not proof.consume(conn, ctx.now):
                raise InvalidGrant(factor.wrong_answer, reason="code_replayed")
            users.note_reset(conn, user.id, None)
            shown = _recovery_code(conn, ctx, opened) if gives_code else None
            notices.put(conn, ctx, user, "factor_added", factor=factor.type)
            alerts.count_enrollment(conn, ctx, user.realm_id, user.id)
            enrolled: dict[str, object] = {"enrolled": proof.authenticator.id}
            audit.record(conn, ctx, "gd_enrollment_complete", "ticket", enrolled)
    except IntegrityError:  # the same security key was registered at the same moment
        raise InvalidGrant(factor.wrong_answer, reason="credential_known") from None
    return shown


def _answered(ctx: Context, conn: Connection, opened: Opened, handle: str) -> Challenge:
    """Raises InvalidGrant."""
    found = challenges.find_challenge(conn, digest(handle))
    if found is None or found.transaction_id != opened.mark or found.expires_at <= ctx.now:
        raise InvalidGrant(RUN_OUT, reason="challenge_expired" if found else "unknown_challenge")
    return found


def _recovery_code(conn: Connection, ctx: Context, opened: Opened) -> str | None:
    user, mark = opened.user, opened.mark
    new = FACTORS["recovery_code"].enroll(ctx, Enrolling(user, mark, opened.issuer_name))
    if not authenticators.add_first_recovery_code(conn, new.authenticator):
        return None
    authenticators.confirm_recovery_code(conn, user.id, mark, ctx.now)
    codes = new.shown["recovery_codes"]
    return str(codes[0]) if isinstance(codes, list) else None


def _refuse(ctx: Context, guess: Guess, refusal: Refusal) -> NoReturn:
    with ctx.db.write() as conn:
        second_factor.failed(conn, ctx, guess)
        audit.record(conn, ctx, "gd_auth_failed", refusal.reason)
    refusal.recorded = True
    raise refusal
