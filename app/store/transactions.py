"""MFA transactions: logins whose password was right and whose second factor is still owed.

The client holds an `mfa_token`; only its digest is kept here.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    ForeignKey,
    Index,
    Table,
    Text,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from app.store.base import UTCDateTime, metadata, row_of, value_of, won

OPEN_LIMIT = 10  # a person's open transactions; the oldest falls out, so that a thief cannot pile them up

transactions = Table(
    "transactions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("token_digest", Text, nullable=False, unique=True),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), index=True),
    Column("realm_id", Text, ForeignKey("realms.id", ondelete="CASCADE"), nullable=False),
    Column("client_id", Text, ForeignKey("clients.id", ondelete="CASCADE"), nullable=False),
    Column("audience", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("requested_scope", Text),
    Column("gty", JSON, nullable=False),
    Column("methods", JSON, nullable=False),
    Column("demanded", Text),
    Column("created_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False, index=True),
    Column("consumed_at", UTCDateTime),
    Column("veil", Text, index=True),
)
_is_veiled = transactions.c.veil.is_not(None)
Index(
    "ix_transactions_veiled",
    transactions.c.created_at,
    sqlite_where=_is_veiled,
    postgresql_where=_is_veiled,
)


@dataclass(frozen=True)
class Transaction:
    id: str
    token_digest: str
    user_id: str | None
    """Nobody's: a decoy of a realm in blind mode."""
    realm_id: str
    client_id: str
    audience: str
    scope: str
    requested_scope: str | None
    gty: tuple[str, ...]
    methods: tuple[tuple[str, int], ...]
    """What was already proven: method (`pwd`, …) and when, in epoch seconds."""
    demanded: str | None
    """The factors that rules limited it to, by the policy's names, with spaces between."""
    created_at: datetime
    expires_at: datetime
    consumed_at: datetime | None = None
    veil: str | None = None
    """What it has in common with those that it must not be told from: they push out each other."""


_BY_DIGEST = select(transactions).where(transactions.c.token_digest == bindparam("digest"))
_ADD = insert(transactions)
_T = transactions.c
# The one that begins now stays in any case: of those begun before the clock was set back each looks newer.
_OTHERS = (_T.user_id == bindparam("owner"), _T.consumed_at.is_(None), _T.id != bindparam("added"))
_NEWEST = select(_T.id).where(*_OTHERS).order_by(_T.created_at.desc(), _T.id).limit(OPEN_LIMIT - 1)
_VOID_OLDEST = delete(transactions).where(*_OTHERS, _T.id.not_in(_NEWEST))
_VEILED = (_T.veil == bindparam("owner"), *_OTHERS[1:])
_NEWEST_VEILED = select(_T.id).where(*_VEILED).order_by(_T.created_at.desc(), _T.id).limit(OPEN_LIMIT - 1)
_VOID_OLDEST_VEILED = delete(transactions).where(*_VEILED, _T.id.not_in(_NEWEST_VEILED))
_CONSUME = (
    update(transactions)
    .where(_T.id == bindparam("transaction_id"), _T.consumed_at.is_(None))
    .values(consumed_at=bindparam("at"))
)


def find_transaction(conn: Connection, token_digest: str) -> Transaction | None:
    row = conn.execute(_BY_DIGEST, {"digest": token_digest}).first()
    return value_of(Transaction, row) if row else None


def find_transaction_by_id(conn: Connection, transaction_id: str) -> Transaction | None:
    row = conn.execute(select(transactions).where(_T.id == transaction_id)).first()
    return value_of(Transaction, row) if row else None


def add_transaction(conn: Connection, transaction: Transaction) -> None:
    values = row_of(transaction)
    conn.execute(_ADD, values)
    if transaction.veil is not None:
        conn.execute(_VOID_OLDEST_VEILED, {"owner": transaction.veil, "added": transaction.id})
    else:
        conn.execute(_VOID_OLDEST, {"owner": transaction.user_id, "added": transaction.id})


def consume_transaction(conn: Connection, transaction_id: str, now: datetime) -> bool:
    """Whether this caller is the one that may have the tokens."""
    return won(conn.execute(_CONSUME, {"transaction_id": transaction_id, "at": now}))


def void_transactions(conn: Connection, user_id: str) -> None:
    """End every open login of a person: password changed, factors reset, blocked.

    Veiled ones become decoys: one that ended now would tell that it was real.
    """
    is_open = (_T.user_id == user_id) & _T.consumed_at.is_(None)
    conn.execute(update(transactions).where(is_open, _T.veil.is_not(None)).values(user_id=None))
    conn.execute(delete(transactions).where(is_open))
