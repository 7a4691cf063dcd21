"""The way back for somebody who lost a second factor: everything removed and ended, and a pass to enrol anew.

A pass stands for an administrator who knows the person. It opens enrolment in one login, and only where there is no
factor: beside one that is there, it proves nothing.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from app import audit
from app.accounts import changes, people
from app.context import Context
from app.crypto import digest, random_id
from app.factors.recovery_code import new_code
from app.store import refresh_families, tickets, users
from app.store.tickets import ACCESS_PASS, Ticket
from app.store.users import User

SHORTEST_SECONDS, LONGEST_SECONDS = 60, 7 * 86400
DEFAULT_SECONDS = 3600


def make_pass(
    conn: Connection, ctx: Context, user: User, *, seconds: int, reason: str, by: str
) -> tuple[Ticket, str]:
    """A pass and its text, which is told this once. It takes the place of one that was not used yet."""
    text = new_code()
    ticket = Ticket(
        f"pas_{random_id(22)}",
        digest(text),
        ACCESS_PASS,
        user.id,
        ctx.now,
        ctx.now + timedelta(seconds=seconds),
        {"reason": reason, "made_by": by},
    )
    tickets.void_tickets(conn, user.id, ACCESS_PASS)
    tickets.add_ticket(conn, ticket, voids=False)
    ctx.facts.user_id = user.id
    told = {"id": ticket.id, "seconds": seconds, "reason": reason}
    changes.record(conn, ctx, "access_pass_created", user.id, after=told)
    return ticket, text


def void_passes(conn: Connection, ctx: Context, user: User) -> None:
    """Passes that nobody has used yet are good for nothing any more."""
    unused = [known.id for known in tickets.list_tickets(conn, user.id, ACCESS_PASS) if not known.consumed_at]
    tickets.void_tickets(conn, user.id, ACCESS_PASS)
    ctx.facts.user_id = user.id
    changes.record(conn, ctx, "access_pass_voided", user.id, before=unused)


@dataclass(frozen=True)
class Reset:
    removed: list[str]
    """Kinds of what was confirmed."""
    ended_refresh_tokens: int
    access_pass: str | None = None
    expires_at: datetime | None = None


def reset_mfa(
    conn: Connection,
    ctx: Context,
    user: User,
    *,
    reason: str,
    by: str,
    pass_seconds: int | None = None,
    only: Collection[str] = (),
    ends_access: bool = True,
) -> Reset:
    """Remove every factor, or those of some kinds `only`, end every token and open login, and make a pass where one is
    wanted.
    """
    users.lock_user(conn, user.id)
    ended = refresh_families.revoke_families(conn, user.id, ctx.now) if ends_access else 0
    kinds = people.reset_factors(conn, ctx, user, only, ends_access=ends_access)
    tickets.void_tickets(conn, user.id, ACCESS_PASS)
    if ends_access:
        audit.record(conn, ctx, "srrt", "mfa_reset", {"ended": ended})
    changes.record(conn, ctx, "mfa_reset", user.id, after={"reason": reason, "removed": kinds, "by": by})
    if pass_seconds is None:
        return Reset(kinds, ended)
    ticket, text = make_pass(conn, ctx, user, seconds=pass_seconds, reason=reason, by=by)
    return Reset(kinds, ended, text, ticket.expires_at)
