"""Messages on their way: sealed rows that the deciding transaction writes and a worker sends later."""

import json
from dataclasses import asdict
from datetime import datetime, timedelta

from sqlalchemy import Connection

from app.channels.channel import Message
from app.context import Context
from app.crypto import owner_of
from app.store.outbox import Queued, add_message


def put(
    conn: Connection,
    ctx: Context,
    channel: str,
    message: Message,
    *,
    expires_at: datetime,
    user_id: str | None = None,
    challenge_id: str | None = None,
    is_for_nobody: bool = False,
    waits_for: timedelta = timedelta(0),
) -> None:
    """Have it sent once this transaction is committed, and never after `expires_at`; for nobody, never."""
    content = json.dumps(asdict(message)).encode()
    queued = Queued(
        message.id,
        channel,
        ctx.now,
        ctx.now + waits_for,
        expires_at,
        user_id=user_id,
        challenge_id=challenge_id,
        realm=ctx.facts.realm,
        sealed_content=ctx.server.keyring.seal(content, owner_of("messages", message.id)),
        state="void" if is_for_nobody else "waiting",
    )
    add_message(conn, queued)
    ctx.server.messages_waiting.set()


def opened(ctx: Context, queued: Queued) -> Message:
    """Raises crypto.SealBroken."""
    raw = ctx.server.keyring.open(queued.sealed_content or "", owner_of("messages", queued.id))
    return Message(**json.loads(raw))
