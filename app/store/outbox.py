"""Messages on their way to people: written in the transaction that decides, sent by a worker afterwards.

A message is claimed, and that is committed, before anything goes over the network. So one whose worker died in the
middle is never sent a second time: people get a code at most once, and ask for another when none comes.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    bindparam,
    insert,
    select,
    update,
)

from app.store.base import UTCDateTime, metadata, row_of, value_of, won
from app.store.challenges import Challenge, challenges

messages = Table(
    "messages",
    metadata,
    Column("id", Text, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), index=True),
    Column("challenge_id", Text, ForeignKey("challenges.id", ondelete="CASCADE"), index=True),
    Column("realm", Text),
    Column("sealed_content", Text),
    Column("state", Text, nullable=False),
    Column("problem", Text),
    Column("tries", Integer, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("due_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False, index=True),
    Column("claimed_at", UTCDateTime),
)
_M = messages.c
_is_waiting = _M.state == "waiting"
Index(
    "ix_messages_waiting",
    _M.channel,
    _M.due_at,
    sqlite_where=_is_waiting,
    postgresql_where=_is_waiting,
)

LOST_AFTER = timedelta(minutes=2)  # far above the time that any gateway is waited for


@dataclass(frozen=True)
class Queued:
    id: str
    channel: str
    created_at: datetime
    due_at: datetime
    expires_at: datetime
    user_id: str | None = None
    challenge_id: str | None = None
    realm: str | None = None
    sealed_content: str | None = field(default=None, repr=False)
    """Gone once nothing more will be sent."""
    state: str = "waiting"
    """`waiting`, `sending`, then `sent`, `failed`, or `lost`: nobody knows whether it arrived. `void`: for nobody."""
    problem: str | None = None
    tries: int = 0
    claimed_at: datetime | None = None


_DUE = (
    select(_M.id)
    .where(_M.channel == bindparam("of_channel"), _is_waiting)
    .where(_M.due_at <= bindparam("at"), _M.expires_at > bindparam("at"))
    .order_by(_M.due_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
    .cte(
        "due"
    )  # looked for once: as a subquery PostgreSQL may look again for each row, and find more than the limit
)
_CLAIM = (
    update(messages)
    .where(_M.id.in_(select(_DUE.c.id)), _is_waiting)
    .values(state="sending", tries=_M.tries + 1, claimed_at=bindparam("at"))
    .returning(*messages.c)
)
_SETTLE = (
    update(messages)
    .where(_M.id == bindparam("message_id"), _M.state == "sending")
    .values(state=bindparam("to"), problem=bindparam("why"), sealed_content=None)
)
_AGAIN = (
    update(messages)
    .where(_M.id == bindparam("message_id"), _M.state == "sending")
    .values(state="waiting", problem=bindparam("why"), due_at=bindparam("at"))
)


def add_message(conn: Connection, message: Queued) -> None:
    conn.execute(insert(messages).values(**row_of(message)))


_ASKED = (
    select(challenges)
    .join(messages, _M.challenge_id == challenges.c.id)
    .where(_M.user_id == bindparam("of_user"), _M.channel == bindparam("of_channel"))
    .where(_M.created_at > bindparam("since"))
)


def list_asked(conn: Connection, user_id: str, channel: str, since: datetime) -> list[Challenge]:
    """Challenges of a person for which something was sent over that channel."""
    rows = conn.execute(_ASKED, {"of_user": user_id, "of_channel": channel, "since": since})
    return [value_of(Challenge, row) for row in rows]


def has_due(conn: Connection, channel: str, now: datetime) -> bool:
    """Whether there is something to claim: a look costs no lock."""
    due = _is_waiting & (_M.channel == channel) & (_M.due_at <= now) & (_M.expires_at > now)
    return conn.execute(select(_M.id).where(due).limit(1)).first() is not None


def claim_messages(conn: Connection, channel: str, now: datetime, most: int) -> list[Queued]:
    """Take messages that are due; nobody else gets them."""
    rows = conn.execute(_CLAIM, {"of_channel": channel, "at": now, "most": most})
    return [value_of(Queued, row) for row in rows]


def settle_message(conn: Connection, message_id: str, to: str, problem: str | None = None) -> bool:
    return won(conn.execute(_SETTLE, {"message_id": message_id, "to": to, "why": problem}))


def put_off_message(conn: Connection, message_id: str, until: datetime, problem: str) -> bool:
    return won(conn.execute(_AGAIN, {"message_id": message_id, "at": until, "why": problem}))


def drop_hopeless(conn: Connection, now: datetime) -> int:
    """Messages that came too late are not sent any more; of those whose worker died nobody knows."""
    late = update(messages).where(_is_waiting, _M.expires_at <= now)
    dead = update(messages).where(_M.state == "sending", _M.claimed_at < now - LOST_AFTER)
    gone = conn.execute(late.values(state="failed", problem="expired", sealed_content=None)).rowcount
    return int(gone + conn.execute(dead.values(state="lost", sealed_content=None)).rowcount)
