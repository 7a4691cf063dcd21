"""How often strangers may be asked for a passkey: each question is a row that waits for five minutes for its answer.

Nobody has proven anything when it is made, so it is counted for the address (`api_limit`), and for the application,
which bounds the rows of many addresses together. A bucket that stays full is told of once a minute and no oftener: the
log must not be what is filled instead.
"""

from dataclasses import dataclass

from sqlalchemy import Connection

from app import audit
from app.addresses import network_of
from app.context import Context
from app.errors import TooManyAttempts, limit_headers
from app.guards.protection import Protection, Rate, get_protection
from app.store import buckets
from app.store.clients import Client

TOO_MANY = "Too many requests for a passkey. Wait for a minute before retrying."
TOLD_SECONDS = 60.0


@dataclass(frozen=True)
class _Use:
    reason: str
    key: str
    source: str
    rate: Rate
    blocks: bool


def before(ctx: Context, client: Client) -> None:
    """Count a question, or refuse it. Raises TooManyAttempts, whose event is written as often as it is to be."""
    with ctx.db.read() as conn:
        protection = ctx.look_up(conn, get_protection)
    with ctx.db.write() as conn:
        # The address first: who has used up its own takes nothing from everybody's.
        refusal = next(filter(None, (_spend(conn, ctx, use) for use in _uses(ctx, protection, client))), None)
    if refusal is not None:
        raise refusal


def _uses(ctx: Context, protection: Protection, client: Client) -> list[_Use]:
    """An address may be exempt, or only watched; what an application's rows may grow to always holds."""
    throttling, limits = protection.throttling, protection.passkeys
    found = [_Use("passkey_limit_client", f"passkey/for/{client.id}", client.id, limits.per_client, True)]
    if throttling.is_enabled and not protection.is_exempt(ctx.ip):
        source = network_of(ctx.ip)
        key = f"passkey/from/{source}"
        found.insert(0, _Use("passkey_limit_address", key, source, limits.per_address, throttling.blocks))
    return found


def _spend(conn: Connection, ctx: Context, use: _Use) -> TooManyAttempts | None:
    rate = use.rate
    wait = buckets.spend(conn, use.key, size=rate.size, refill_seconds=rate.refill_seconds, now=ctx.now)
    if wait is None:
        return None
    told = f"{use.key}/told"
    if buckets.spend(conn, told, size=1, refill_seconds=TOLD_SECONDS, now=ctx.now) is None:
        limit = {"source": use.source, "max": rate.size}
        audit.record(conn, ctx, "api_limit", use.reason if use.blocks else "monitored", {"limit": limit})
    if not use.blocks:
        return None
    headers = limit_headers(ctx.now, limit=rate.size, retry_after_seconds=int(wait) + 1)
    refusal = TooManyAttempts(TOO_MANY, reason=use.reason, event="api_limit", headers=headers)
    refusal.recorded = True
    return refusal
