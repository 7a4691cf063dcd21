"""Reminds people who still do without a second factor how long they may."""

from sqlalchemy import Connection

from app.channels import notices
from app.context import Context
from app.policy import Allow, Decision, Period
from app.policy_terms import Terms
from app.store import buckets
from app.store.users import User

IN_GRACE = "in_grace"
HOUR_SECONDS = 3600.0


def remind(
    conn: Connection, ctx: Context, user: User, terms: Terms, decision: Decision, period: Period | None
) -> None:
    """A mail with what is left of the grace that lets somebody in, at most once in so many hours; never for zero.

    A policy that only reports asks nobody for anything.
    """
    if not isinstance(decision, Allow) or decision.reasons[-1:] != (IN_GRACE,):
        return
    every_hours = terms.enrollment.grace.remind_every_hours
    if period is None or every_hours == 0 or terms.enforcement != "enforce":
        return
    key, seconds = f"notice/grace/{user.id}", every_hours * HOUR_SECONDS
    if buckets.spend(conn, key, size=1, refill_seconds=seconds, now=ctx.now) is not None:
        return
    if period.ends_at is not None:
        is_sent = notices.put(conn, ctx, user, "grace_until", until=f"{period.ends_at:%Y-%m-%d %H:%M} UTC")
    else:
        left = max(0, (period.skips_left or 0) - (decision.spends is not None))
        is_sent = notices.put(conn, ctx, user, "grace_skips", left=str(left))
    if is_sent:
        ctx.facts.details["reminded"] = True
