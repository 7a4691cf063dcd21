"""Logins of one person from one address: twenty at once, then ten a minute, successful ones included (`limit_sul`).

It keeps a program that logs in for every request from taking all the turns to hash.
"""

from dataclasses import dataclass

from sqlalchemy import Connection

from app import audit
from app.context import Context
from app.crypto import digest
from app.errors import TooManyAttempts, limit_headers
from app.guards.protection import BruteForce
from app.store import buckets

TOO_MANY = "Too many logins in a short time. Wait for a minute before retrying."


@dataclass(frozen=True)
class Login:
    key: str
    rules: BruteForce


def login_of(rules: BruteForce, identity: str, source: str) -> Login:
    return Login(f"login/by/{digest(f'{identity} {source}')}", rules)


def reserve(conn: Connection, ctx: Context, login: Login) -> None:
    """Count it, in the transaction of all guards. Raises TooManyAttempts."""
    rate = login.rules.logins
    wait = buckets.spend(conn, login.key, size=rate.size, refill_seconds=rate.refill_seconds, now=ctx.now)
    if wait is None:
        return
    level = rate.size - 1 + wait / rate.refill_seconds
    limit = {"count": round(level, 1), "max": rate.size, "then_one_each_seconds": rate.refill_seconds}
    if not login.rules.blocks:
        audit.record(conn, ctx, "limit_sul", "monitored", {"limit": limit})
        return
    raise TooManyAttempts(
        TOO_MANY,
        reason="login_rate",
        event="limit_sul",
        headers=limit_headers(ctx.now, limit=rate.size, retry_after_seconds=int(wait) + 1),
        details={"limit": limit},
    )
