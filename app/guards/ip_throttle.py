"""Failures from one address, whoever they are about: a bucket each for logins and for signups (`limit_mu`).

A login holds its place in the bucket until it is decided: right ones give it back, wrong ones leave it to leak out. A
signup keeps its place whatever becomes of it. IPv6 addresses count by their /64.
"""

from dataclasses import dataclass

from sqlalchemy import Connection

from app import audit
from app.addresses import network_of
from app.context import Context
from app.errors import Refusal, TooManyAttempts, limit_headers
from app.guards.guard import Pending
from app.guards.protection import Protection, Rate, get_protection
from app.store import buckets

BLOCKED = (
    "We have detected suspicious login behavior and further attempts will be blocked. "
    "Please contact the administrator."
)
UNFORWARDED = (
    "A confidential client's failures come from one address, its own server's: its users share one limit, and one "
    "attacker can lock them all out. Switch on its trust in the token endpoint's IP header and send "
    "auth0-forwarded-for with each login, or send Belay-End-User, or put the server's address on the allow-list."
)


@dataclass(frozen=True)
class Turn:
    """One place in the bucket of an address."""

    source: str
    key: str
    rate: Rate
    blocks: bool
    unforwarded_client: str | None = None
    """The confidential client whose own address this is, because it does not name its users'."""


def login_turn(protection: Protection, ip: str, unforwarded_client: str | None) -> Turn:
    rules = protection.throttling
    return Turn(network_of(ip), _key("login", ip), rules.logins, rules.blocks, unforwarded_client)


def _key(kind: str, ip: str) -> str:
    return f"{kind}/from/{network_of(ip)}"


def reserve(conn: Connection, ctx: Context, turn: Turn) -> None:
    """Hold a place, in the transaction of all guards. Raises Pending, TooManyAttempts."""
    rate = turn.rate
    if buckets.hold(
        conn,
        turn.key,
        size=rate.size,
        refill_seconds=rate.refill_seconds,
        now=ctx.now,
        is_limited=turn.blocks,
    ):
        return
    found = buckets.look(conn, turn.key, refill_seconds=rate.refill_seconds, now=ctx.now)
    if _is_pending(found, rate):
        raise Pending
    raise _refusal(ctx, turn.source, rate, found.level)


def is_pending(conn: Connection, ctx: Context, turn: Turn) -> bool:
    found = buckets.look(conn, turn.key, refill_seconds=turn.rate.refill_seconds, now=ctx.now)
    return turn.blocks and _is_pending(found, turn.rate)


def _is_pending(found: buckets.Level, rate: Rate) -> bool:
    return found.level - found.pending + 1 <= rate.size < found.level + 1


def _refusal(ctx: Context, source: str, rate: Rate, level: float) -> Refusal:
    wait = max(1.0, (level + 1 - rate.size) * rate.refill_seconds)
    return TooManyAttempts(
        BLOCKED,
        reason="ip_throttled",
        event="limit_mu",
        headers=limit_headers(ctx.now, limit=rate.size, retry_after_seconds=int(wait) + 1),
        details={"limit": {"source": source, "count": round(level, 1), "max": rate.size}},
    )


def failed(conn: Connection, ctx: Context, turn: Turn) -> None:
    level = buckets.keep(conn, turn.key)
    size = turn.rate.size
    if not turn.blocks and size <= level < size + 1:
        audit.record(conn, ctx, "limit_mu", "monitored", {"limit": {"source": turn.source, "max": size}})
    half = (size + 1) // 2
    if turn.unforwarded_client is not None and half <= level < half + 1:
        details: dict[str, object] = {"warning": UNFORWARDED, "source": turn.source, "failures": half}
        audit.record(conn, ctx, "w", "no_forwarded_address", details)


def undecided(conn: Connection, turn: Turn) -> None:
    buckets.release(conn, turn.key)


def give_back(conn: Connection, turn: Turn) -> None:
    """What counted for good was no failure after all."""
    buckets.give_back(conn, turn.key)


def before_signup(ctx: Context) -> None:
    """Count a signup, or refuse it. Raises TooManyAttempts."""
    with ctx.db.read() as conn:
        protection = ctx.look_up(conn, get_protection)
    rules, rate = protection.throttling, protection.throttling.signups
    if not rules.is_enabled or protection.is_exempt(ctx.ip):
        return
    key = _key("signup", ctx.ip)
    with ctx.db.write() as conn:
        wait = buckets.spend(conn, key, size=rate.size, refill_seconds=rate.refill_seconds, now=ctx.now)
        if wait is not None and not rules.blocks:
            limit = {"source": network_of(ctx.ip), "max": rate.size}
            audit.record(conn, ctx, "limit_mu", "monitored", {"limit": limit})
    if wait is not None and rules.blocks:
        raise _refusal(ctx, network_of(ctx.ip), rate, rate.size - 1 + wait / rate.refill_seconds)


def is_blocked(conn: Connection, ctx: Context, ip: str) -> bool:
    """Whether nothing more is tried from there, neither logins nor signups."""
    protection = ctx.look_up(conn, get_protection)
    rules = protection.throttling
    if not rules.is_enabled or not rules.blocks or protection.is_exempt(ip):
        return False
    for kind, rate in (("login", rules.logins), ("signup", rules.signups)):
        found = buckets.look(conn, _key(kind, ip), refill_seconds=rate.refill_seconds, now=ctx.now)
        if found.level + 1 > rate.size and not _is_pending(found, rate):
            return True
    return False


def unblock(conn: Connection, ip: str) -> None:
    for kind in ("login", "signup"):
        buckets.empty(conn, _key(kind, ip))
