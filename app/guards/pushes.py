"""How often a phone rings: who knows a password must not wear its owner down until a tap says yes (push bombing).

At most one push is open for a person, five go out within a minute, and ten, with one more each hour, until the phone
says yes to one. A no, or silence, gives nothing back. Called with the person's row locked, so that requests at once
come one after the other.
"""

from datetime import timedelta

from sqlalchemy import Connection

from app.context import Context
from app.errors import TooManyAttempts, limit_headers
from app.store import authenticators, buckets, challenges, outbox
from app.store.authenticators import Authenticator

CHANNEL = "push"
MINUTE = timedelta(minutes=1)
A_MINUTE = 5
IN_VAIN = (10, 3600.0)
OPEN_FOR = timedelta(minutes=5)  # at most
ALONE_FOR = MINUTE  # as long as this another login's push is not taken away

TOO_MANY = "Too many push notifications sent to the user. Wait for some minutes before retrying."


def before(conn: Connection, ctx: Context, *, user_id: str, transaction_id: str) -> None:
    """Count one push, or refuse it. Raises TooManyAttempts, and the transaction takes nothing."""
    asked = outbox.list_asked(conn, user_id, CHANNEL, ctx.now - OPEN_FOR)
    others = [a for a in asked if a.state == "open" and a.transaction_id != transaction_id]
    held_until = [a.created_at + ALONE_FOR for a in others if a.created_at + ALONE_FOR > ctx.now]
    if held_until:
        _refuse(ctx, "push_open", (max(held_until) - ctx.now).total_seconds())
    recent = sorted(a.created_at for a in asked if a.created_at > ctx.now - MINUTE)
    if len(recent) >= A_MINUTE:
        _refuse(ctx, "push_limit_minute", (recent[-A_MINUTE] + MINUTE - ctx.now).total_seconds())
    size, refill_seconds = IN_VAIN
    wait = buckets.spend(conn, _key(user_id), size=size, refill_seconds=refill_seconds, now=ctx.now)
    if wait is not None:
        _refuse(ctx, "push_limit", wait)
    for older in others:
        challenges.void_challenge(conn, older.id, ctx.now)


def approved(conn: Connection, user_id: str) -> None:
    buckets.empty(conn, _key(user_id))


def rejected(conn: Connection, ctx: Context, device: Authenticator) -> None:
    """A no counts like a wrong answer: a phone that only ever says no is disabled at the cap."""
    authenticators.spend_guess(conn, [device.id])
    authenticators.disable_exhausted(conn, [device.id], ctx.now)


def _key(user_id: str) -> str:
    return f"push/{user_id}"


def _refuse(ctx: Context, reason: str, wait_seconds: float) -> None:
    headers = limit_headers(ctx.now, limit=IN_VAIN[0], retry_after_seconds=int(wait_seconds) + 1)
    limit = {"a_minute": A_MINUTE, "in_vain": IN_VAIN[0], "wait_seconds": int(wait_seconds)}
    details: dict[str, object] = {"limit": limit}
    raise TooManyAttempts(
        TOO_MANY, reason=reason, event="gd_send_pn_failure", headers=headers, details=details
    )
