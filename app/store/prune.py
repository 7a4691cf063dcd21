"""Removal of rows that nothing can ask for again, in small batches: a purge must not hold up a login."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, Connection, Table, delete, exists, select
from sqlalchemy.sql.elements import ColumnElement

from app.store.attempts import FORGOTTEN_AFTER, password_attempts
from app.store.authenticators import authenticators
from app.store.buckets import buckets
from app.store.challenges import challenges
from app.store.clients import client_assertions
from app.store.jobs import job_parts, jobs
from app.store.opaque_tokens import opaque_tokens
from app.store.outbox import messages
from app.store.passkeys import passkey_challenges
from app.store.refresh_families import refresh_families
from app.store.tickets import tickets
from app.store.transactions import transactions

BATCH = 200  # rows a transaction: about 15 ms of SQLite's write lock
# An expired thing is kept for a while, so that its holder hears "expired" and not "unknown".
KEPT_FOR = timedelta(days=1)
# Strangers make these by the thousand, with names that they invent (docs/decisions/0016).
VEILED_KEPT_FOR = timedelta(minutes=20)
VEILED_LIMIT = 20_000
VEILED_STAY_FOR = timedelta(minutes=2)


def _dead_rows(now: datetime) -> list[tuple[Table, Column[Any], ColumnElement[bool]]]:
    before = now - KEPT_FOR
    families, attempts = refresh_families.c, password_attempts.c
    began = transactions.c
    veiled = began.veil.is_not(None)
    newest = select(began.created_at).where(veiled).order_by(began.created_at.desc())
    beyond = newest.offset(VEILED_LIMIT - 1).limit(1).scalar_subquery()
    is_over = jobs.c.kept_until < now
    has_parts = exists().where(job_parts.c.job_id == jobs.c.id)
    return [
        (transactions, transactions.c.id, transactions.c.expires_at < before),
        (transactions, began.id, veiled & (began.created_at < now - VEILED_KEPT_FOR)),
        (
            transactions,
            began.id,
            veiled & (began.created_at < now - VEILED_STAY_FOR) & (began.created_at < beyond),
        ),
        (buckets, buckets.c.key, buckets.c.empty_at < now),
        (messages, messages.c.id, messages.c.expires_at < before),
        (challenges, challenges.c.id, challenges.c.expires_at < before),
        # Strangers make these, and no answer says why it is refused: nothing is kept for them.
        (passkey_challenges, passkey_challenges.c.handle_digest, passkey_challenges.c.expires_at < now),
        (tickets, tickets.c.id, tickets.c.expires_at < before),
        (opaque_tokens, opaque_tokens.c.token_digest, opaque_tokens.c.expires_at < before),
        (client_assertions, client_assertions.c.jti, client_assertions.c.expires_at < before),
        (refresh_families, families.handle_digest, families.expires_at < before),
        (refresh_families, families.handle_digest, families.idle_expires_at < before),
        (password_attempts, attempts.key, attempts.failed_at < now - FORGOTTEN_AFTER),
        (
            password_attempts,
            attempts.key,
            (attempts.failures == 0) & (attempts.pending == 0) & (attempts.reserved_at < before),
        ),
        # A job's parts may be many megabytes: they go batch by batch, and the job itself after them.
        (job_parts, job_parts.c.id, job_parts.c.job_id.in_(select(jobs.c.id).where(is_over))),
        (jobs, jobs.c.id, is_over & ~has_parts),
        (
            authenticators,
            authenticators.c.id,
            authenticators.c.confirmed_at.is_(None) & (authenticators.c.created_at < before),
        ),
    ]


def steps(now: datetime) -> int:
    """How many kinds of dead rows there are."""
    return len(_dead_rows(now))


def prune_step(conn: Connection, step: int, now: datetime) -> tuple[str, int]:
    """Remove at most one batch of one kind; returns the table and the number removed."""
    table, key, is_dead = _dead_rows(now)[step]
    # The keys themselves and no subquery: PostgreSQL joins one with every dead row where its statistics are old.
    batch = conn.execute(select(key).where(is_dead).limit(BATCH)).scalars().all()
    if not batch:
        return table.name, 0
    return table.name, int(conn.execute(delete(table).where(is_dead, key.in_(batch))).rowcount)
