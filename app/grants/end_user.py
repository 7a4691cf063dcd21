"""`Belay-End-User`: what a back end says about its end user, signed with a key that is registered for the client.

A JWT of a minute, for one request: `rqh` is the SHA-256 of this very body. Unlike a bare header it cannot be set by
anybody who gets past a proxy, so limits, events and the address of the login follow it before any other header. One
that does not hold is refused and not ignored: the mistake shows at once, and nobody is counted under a wrong address.
"""

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.addresses import read_address
from app.context import Context
from app.errors import InvalidRequest
from app.grants.client_auth import (
    MAX_ASSERTION_CHARACTERS,
    MAX_JTI_CHARACTERS,
    SKEW_SECONDS,
    audiences,
    is_time,
    verified,
)
from app.store import clients
from app.store.clients import Client

HEADER = "Belay-End-User"
LONGEST_SECONDS = 60
REFUSED = f"{HEADER} does not hold."
MAX_TEXT = 300


@dataclass(frozen=True)
class EndUser:
    ip: str
    user_agent: str | None
    device_id: str | None


def request_hash(body: bytes) -> str:
    """The claim `rqh` of a body: base64url without padding, as in RFC 9449 4.2."""
    return base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()


def read(ctx: Context, client: Client, token: str, body: bytes) -> EndUser:
    """Raises InvalidRequest."""
    if len(token) > MAX_ASSERTION_CHARACTERS:
        raise _refusal(ctx, "too_long")
    with ctx.db.read() as conn:
        keys = ctx.look_up(conn, clients.list_client_keys, client.id)
    if not keys:
        raise _refusal(ctx, "no_key")
    claims = verified(token, keys, ctx.now)
    if claims is None:
        raise _refusal(ctx, "signature")
    problem = _problem(ctx, claims, client, body)
    if problem is not None:
        raise _refusal(ctx, problem)
    address = read_address(claims["ip"])
    if address is None:
        raise _refusal(ctx, "ip")
    forgotten_at = datetime.fromtimestamp(claims["exp"] + SKEW_SECONDS, UTC)
    with ctx.db.write() as conn:
        is_first = clients.consume_assertion(conn, client.id, f"end-user {claims['jti']}", forgotten_at)
    if not is_first:
        raise _refusal(ctx, "replayed")
    return EndUser(str(address), claims.get("ua"), claims.get("did"))


def _problem(ctx: Context, claims: dict[str, Any], client: Client, body: bytes) -> str | None:
    now, issued, expires = ctx.now.timestamp(), claims.get("iat"), claims.get("exp")
    if claims.get("iss") != client.id:
        return "issuer"
    if not audiences(claims) & {ctx.issuer, ctx.issuer.rstrip("/"), ctx.issuer + "oauth/token"}:
        return "audience"
    if not is_time(issued) or not is_time(expires) or not 0 < expires - issued <= LONGEST_SECONDS:
        return "lifetime"
    if expires <= now - SKEW_SECONDS or issued > now + SKEW_SECONDS:
        return "expired"
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= MAX_JTI_CHARACTERS or not jti.isprintable():
        return "jti"
    if claims.get("rqh") != request_hash(body):
        return "other_request"
    texts = [claims.get("ip", 0), claims.get("ua") or "", claims.get("did") or ""]
    if not all(isinstance(text, str) and len(text) <= MAX_TEXT and text.isprintable() for text in texts):
        return "claims"
    return None


def _refusal(ctx: Context, problem: str) -> InvalidRequest:
    """It leaves an event, as every decision about who asks; the client hears no reason."""
    return InvalidRequest(REFUSED, reason=f"end_user_{problem}", event=ctx.facts.failure_event)
