"""Access tokens that are good for `/userinfo` only: random, kept as digests."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, Connection, ForeignKey, Table, Text, bindparam, delete, insert, select

from app.store.base import UTCDateTime, metadata, row_of, value_of

opaque_tokens = Table(
    "opaque_tokens",
    metadata,
    Column("token_digest", Text, primary_key=True),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("client_id", Text, ForeignKey("clients.id", ondelete="CASCADE"), nullable=False),
    Column("family", Text, index=True),
    Column("scope", Text, nullable=False),
    Column("issued_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False, index=True),
)


@dataclass(frozen=True)
class OpaqueToken:
    token_digest: str
    user_id: str
    client_id: str
    family: str | None
    """The refresh token family it came with, with which it is revoked."""
    scope: str
    issued_at: datetime
    expires_at: datetime


_BY_DIGEST = select(opaque_tokens).where(opaque_tokens.c.token_digest == bindparam("digest"))
_ADD = insert(opaque_tokens)


def find_opaque_token(conn: Connection, token_digest: str) -> OpaqueToken | None:
    row = conn.execute(_BY_DIGEST, {"digest": token_digest}).first()
    return value_of(OpaqueToken, row) if row else None


def add_opaque_token(conn: Connection, token: OpaqueToken) -> None:
    conn.execute(_ADD, row_of(token))


def remove_opaque_tokens_of_family(conn: Connection, family: str) -> None:
    conn.execute(delete(opaque_tokens).where(opaque_tokens.c.family == family))


def remove_where(conn: Connection, *, user_id: str | None, client_id: str | None) -> None:
    """Of a person, of an application, or of one in the other."""
    ending = delete(opaque_tokens)
    if user_id is not None:
        ending = ending.where(opaque_tokens.c.user_id == user_id)
    if client_id is not None:
        ending = ending.where(opaque_tokens.c.client_id == client_id)
    conn.execute(ending)


def remove_opaque_tokens(conn: Connection, user_id: str) -> None:
    conn.execute(delete(opaque_tokens).where(opaque_tokens.c.user_id == user_id))
