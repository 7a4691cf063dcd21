"""Writes the one event that every authentication decision leaves, in the transaction that decides."""

import hashlib
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from app.context import Context
from app.store.events import Event, add_event


def record(
    conn: Connection, ctx: Context, type: str, reason: str = "", details: dict[str, object] | None = None
) -> None:
    """`type` is Auth0's log code; `reason` and `details` are for the administrator only."""
    add_event(conn, event_of(ctx, type, reason, details))


def event_of(
    ctx: Context, type: str, reason: str = "", details: dict[str, object] | None = None, **facts_of: object
) -> Event:
    """The event's value, for those who write many at once; `facts_of` replaces what is known of the request."""
    facts = replace(ctx.facts, **facts_of)  # type: ignore[arg-type]
    return Event(
        at=ctx.now,
        type=type,
        reason=reason,
        ip=ctx.ip,
        request_id=ctx.request_id,
        realm=facts.realm,
        client_id=facts.client_id,
        user_id=facts.user_id,
        user_name=facts.user_name,
        user_agent=ctx.user_agent[:300],
        factor=facts.factor,
        details=facts.details | ({"client_ip": facts.server_ip} if facts.server_ip else {}) | (details or {}),
    )


def error_id(at: datetime, request_id: str) -> str:
    """What a refusal is found by: the same form for every reason, and nothing that a stranger could read out of it."""
    return f"{int(at.timestamp()):08x}-{hashlib.sha256(request_id.encode()).hexdigest()[:16]}"
