"""Hashes of passwords that people had before, for realms that do not take one twice."""

from datetime import datetime

from sqlalchemy import Column, Connection, ForeignKey, Table, Text, delete, insert, select

from app.store.base import BigId, UTCDateTime, metadata

password_history = Table(
    "password_history",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("password_hash", Text, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
)
_H = password_history.c


def list_hashes(conn: Connection, user_id: str, limit: int) -> list[str]:
    """Newest first."""
    found = select(_H.password_hash).where(_H.user_id == user_id).order_by(_H.id.desc()).limit(limit)
    return list(conn.execute(found).scalars())


def add_hash(conn: Connection, user_id: str, password_hash: str, now: datetime) -> None:
    conn.execute(
        insert(password_history).values(user_id=user_id, password_hash=password_hash, created_at=now)
    )


def forget_hashes(conn: Connection, user_id: str, *, keep: int) -> None:
    newest = select(_H.id).where(_H.user_id == user_id).order_by(_H.id.desc()).limit(keep)
    conn.execute(delete(password_history).where(_H.user_id == user_id, _H.id.not_in(newest)))
