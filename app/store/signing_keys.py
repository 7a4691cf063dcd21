"""Signing keys: for each algorithm exactly one current key, one made ready as next, and those retired before.

A retired key verifies until the last token that it signed has run out; a revoked one not any more.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Index,
    Table,
    Text,
    bindparam,
    insert,
    select,
    update,
)

from app.store.base import CONFIGURATION, UTCDateTime, metadata, row_of, value_of, won

VERIFIES_FOR = timedelta(days=30)  # the longest an access token may live (2592000 s)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", Text, primary_key=True),
    Column("alg", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("sealed_private", Text, nullable=False),
    Column("public_jwk", JSON, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("current_since", UTCDateTime),
    Column("retired_at", UTCDateTime),
    Column("revoked_at", UTCDateTime),
    info=CONFIGURATION,
)
for _state in ("current", "next"):
    _only = signing_keys.c.state == _state
    Index(
        f"ix_signing_keys_one_{_state}",
        signing_keys.c.alg,
        unique=True,
        sqlite_where=_only,
        postgresql_where=_only,
    )


@dataclass(frozen=True)
class SigningKey:
    kid: str
    alg: str
    state: str
    """`next`, `current`, `previous` or `revoked`."""
    sealed_private: str = field(repr=False)
    public_jwk: dict[str, object]
    created_at: datetime
    current_since: datetime | None = None
    retired_at: datetime | None = None
    revoked_at: datetime | None = None


_K = signing_keys.c
_CURRENT = select(_K.alg, _K.kid, _K.sealed_private).where(_K.state == "current")
_BY_KID = select(signing_keys).where(_K.kid == bindparam("kid"))
_LIVE = (
    select(signing_keys).where(_K.state.in_(["current", "next", "previous"])).order_by(_K.created_at, _K.kid)
)


@dataclass(frozen=True)
class Signer:
    """As much of a current key as signing needs."""

    alg: str
    kid: str
    sealed_private: str = field(repr=False)


def list_signers(conn: Connection) -> dict[str, Signer]:
    """The current key of each algorithm."""
    return {row.alg: Signer(row.alg, row.kid, row.sealed_private) for row in conn.execute(_CURRENT)}


def find_key(conn: Connection, kid: str) -> SigningKey | None:
    row = conn.execute(_BY_KID, {"kid": kid}).first()
    return value_of(SigningKey, row) if row else None


def list_live_keys(conn: Connection) -> list[SigningKey]:
    """All that were not revoked, oldest first."""
    return [value_of(SigningKey, row) for row in conn.execute(_LIVE)]


def list_keys(conn: Connection) -> list[SigningKey]:
    return [
        value_of(SigningKey, row)
        for row in conn.execute(select(signing_keys).order_by(_K.alg, _K.created_at))
    ]


def add_key(conn: Connection, key: SigningKey) -> None:
    conn.execute(insert(signing_keys).values(**row_of(key)))


def move_key(conn: Connection, alg: str, *, from_state: str, to_state: str, **changes: object) -> bool:
    move = update(signing_keys).where(_K.alg == alg, _K.state == from_state)
    return won(conn.execute(move.values(state=to_state, **changes)))


def revoke_key(conn: Connection, kid: str, now: datetime) -> bool:
    revoke = update(signing_keys).where(_K.kid == kid, _K.state.in_(["previous", "next"]))
    return won(conn.execute(revoke.values(state="revoked", revoked_at=now)))
