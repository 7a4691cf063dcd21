"""Tickets: links that let their holder do one thing once, without a password. Only their digests are kept."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    ForeignKey,
    Table,
    Text,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from app.store.base import UTCDateTime, metadata, row_of, value_of, won
from app.store.users import users

tickets = Table(
    "tickets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("token_digest", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("details", JSON, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False, index=True),
    Column("consumed_at", UTCDateTime),
)
_T = tickets.c

ACCESS_PASS = "access_pass"  # noqa: S105 - a kind of ticket


@dataclass(frozen=True)
class Ticket:
    id: str
    token_digest: str = field(repr=False)
    kind: str
    """`password`, `verification`, `enrollment`, `unblock` or `access_pass`."""
    user_id: str
    created_at: datetime
    expires_at: datetime
    details: dict[str, Any] = field(default_factory=dict)
    """`email` that it was made for, `result_url`, `marks_verified`, `allows_more` factors than one, `kinds` of
    authenticator that it is for: none means any. Of an access pass its `reason`, `made_by` and, once used, the
    `transaction_id` of the login that it opened.
    """
    consumed_at: datetime | None = None


_BY_DIGEST = select(tickets).where(_T.token_digest == bindparam("digest"))
_ADD_IF_THERE = insert(tickets).from_select(
    tickets.c.keys(),
    select(*(bindparam(f"new_{column.name}", type_=column.type) for column in tickets.c)).where(
        users.c.id == bindparam("new_user_id")
    ),
)


def find_ticket(conn: Connection, token_digest: str) -> Ticket | None:
    row = conn.execute(_BY_DIGEST, {"digest": token_digest}).first()
    return value_of(Ticket, row) if row else None


def add_ticket(conn: Connection, ticket: Ticket, *, voids: bool) -> None:
    """With `voids` it takes the place of the older ones of its kind and person."""
    if voids:
        conn.execute(delete(tickets).where(_T.user_id == ticket.user_id, _T.kind == ticket.kind))
    conn.execute(insert(tickets).values(**row_of(ticket)))


def add_ticket_if_there(conn: Connection, ticket: Ticket) -> None:
    """The same statement for somebody and for nobody, who gets none."""
    conn.execute(_ADD_IF_THERE, {f"new_{name}": value for name, value in row_of(ticket).items()})


def consume_ticket(conn: Connection, ticket_id: str, now: datetime) -> bool:
    """Whether this caller is the one that may act on it."""
    unused = (_T.id == ticket_id) & _T.consumed_at.is_(None) & (_T.expires_at > now)
    return won(conn.execute(update(tickets).where(unused).values(consumed_at=now)))


def list_tickets(conn: Connection, user_id: str, kind: str) -> list[Ticket]:
    found = select(tickets).where(_T.user_id == user_id, _T.kind == kind).order_by(_T.created_at, _T.id)
    return [value_of(Ticket, row) for row in conn.execute(found)]


def bind_ticket(conn: Connection, ticket: Ticket, transaction_id: str, now: datetime) -> bool:
    """Use it up for one login; whether this caller is the one that may."""
    unused = (_T.id == ticket.id) & _T.consumed_at.is_(None) & (_T.expires_at > now)
    details = ticket.details | {"transaction_id": transaction_id}
    return won(conn.execute(update(tickets).where(unused).values(consumed_at=now, details=details)))


def void_tickets(conn: Connection, user_id: str, kind: str | None = None) -> None:
    """All of a person's, or those of one kind that were not used yet."""
    gone = delete(tickets).where(_T.user_id == user_id)
    if kind is not None:
        gone = gone.where(_T.kind == kind, _T.consumed_at.is_(None))
    conn.execute(gone)
