"""Passkeys: security keys that open a login instead of a password, and the challenges that they answer.

They have a table of their own, so that nothing that counts second factors can count one of them by accident.
"""

from collections.abc import Sequence
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
    or_,
    select,
)
from sqlalchemy import update as _update

from app.store.base import BigId, UTCDateTime, metadata, row_of, value_of, won

passkeys = Table(
    "passkeys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("credential_id", Text, nullable=False, unique=True),
    Column("public_key", Text, nullable=False),
    Column("rp_id", Text, nullable=False),
    Column("counter", BigId, nullable=False),
    Column("details", JSON, nullable=False),
    Column("name", Text),
    Column("created_at", UTCDateTime, nullable=False),
    Column("last_used_at", UTCDateTime),
)

passkey_challenges = Table(
    "passkey_challenges",
    metadata,
    Column("handle_digest", Text, primary_key=True),
    Column("client_id", Text, ForeignKey("clients.id", ondelete="CASCADE"), nullable=False),
    Column("realm_id", Text, ForeignKey("realms.id", ondelete="CASCADE"), nullable=False),
    Column("ceremony", Text, nullable=False),
    Column("challenge", Text, nullable=False),
    Column("rp_id", Text, nullable=False),
    Column("verification", Text, nullable=False),
    Column("person", JSON, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False, index=True),
    Column("used_at", UTCDateTime),
)


@dataclass(frozen=True)
class Passkey:
    id: str
    user_id: str
    credential_id: str
    public_key: str = field(repr=False)
    rp_id: str
    counter: int
    created_at: datetime
    details: dict[str, Any] = field(default_factory=dict)
    """What it tells of itself: `aaguid`, `is_synced`, `is_backed_up`, `user_agent`."""
    name: str | None = None
    last_used_at: datetime | None = None


@dataclass(frozen=True)
class PasskeyChallenge:
    """What a stranger was asked; known by the digest of their `auth_session`."""

    handle_digest: str = field(repr=False)
    client_id: str
    realm_id: str
    ceremony: str
    challenge: str = field(repr=False)
    rp_id: str
    verification: str
    expires_at: datetime
    person: dict[str, Any] = field(default_factory=dict, repr=False)
    """Who wants to register; empty for a login, where nobody has said who they are."""
    used_at: datetime | None = None


_BY_HANDLE = select(passkey_challenges).where(passkey_challenges.c.handle_digest == bindparam("handle"))
_BY_CREDENTIAL = select(passkeys).where(passkeys.c.credential_id == bindparam("credential"))


def add_passkey_challenge(conn: Connection, challenge: PasskeyChallenge) -> None:
    conn.execute(insert(passkey_challenges).values(**row_of(challenge)))


def find_passkey_challenge(conn: Connection, handle_digest: str) -> PasskeyChallenge | None:
    row = conn.execute(_BY_HANDLE, {"handle": handle_digest}).first()
    return value_of(PasskeyChallenge, row) if row else None


def consume_passkey_challenge(conn: Connection, handle_digest: str, now: datetime) -> bool:
    """Whether this caller is the one whose answer counts."""
    c = passkey_challenges.c
    open_still = (c.handle_digest == handle_digest) & c.used_at.is_(None) & (c.expires_at > now)
    return won(conn.execute(_update(passkey_challenges).where(open_still).values(used_at=now)))


def find_passkey(conn: Connection, credential_id: str) -> Passkey | None:
    row = conn.execute(_BY_CREDENTIAL, {"credential": credential_id}).first()
    return value_of(Passkey, row) if row else None


def list_passkeys(conn: Connection, user_id: str) -> Sequence[Passkey]:
    found = select(passkeys).where(passkeys.c.user_id == user_id)
    found = found.order_by(passkeys.c.created_at, passkeys.c.id)
    return [value_of(Passkey, row) for row in conn.execute(found)]


def add_passkey(conn: Connection, passkey: Passkey) -> None:
    """Raises sqlalchemy's IntegrityError when somebody has that credential."""
    conn.execute(insert(passkeys).values(**row_of(passkey)))


def note_passkey_use(
    conn: Connection, passkey: Passkey, counter: int, details: dict[str, Any], now: datetime
) -> bool:
    """Whether its counter is still the one that was looked at, or goes on from there."""
    c = passkeys.c
    goes_on = or_(c.counter < counter, (c.counter == 0) & (counter == 0))
    changed = _update(passkeys).where(c.id == passkey.id, goes_on)
    return won(conn.execute(changed.values(counter=counter, details=details, last_used_at=now)))


def rename_passkey(conn: Connection, passkey_id: str, name: str) -> None:
    conn.execute(_update(passkeys).where(passkeys.c.id == passkey_id).values(name=name))


def remove_passkey(conn: Connection, user_id: str, passkey_id: str) -> bool:
    gone = delete(passkeys).where(passkeys.c.user_id == user_id, passkeys.c.id == passkey_id)
    return won(conn.execute(gone))


def remove_passkeys(conn: Connection, user_id: str) -> int:
    return int(conn.execute(delete(passkeys).where(passkeys.c.user_id == user_id)).rowcount)
