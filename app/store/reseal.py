"""Every column that holds a sealed secret, for the change of the key that seals them.

The owner that a secret is bound to is `<table>/<primary key>`.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Table, func, select, update

from app.store.actions import action_versions, actions
from app.store.authenticators import authenticators
from app.store.documents import documents
from app.store.hooks import hooks
from app.store.jobs import jobs
from app.store.log_streams import log_streams
from app.store.outbox import messages
from app.store.realms import realms
from app.store.refresh_families import refresh_families
from app.store.rules import rules_configs
from app.store.signing_keys import signing_keys

BATCH = 200


@dataclass(frozen=True)
class Sealed:
    table: Table
    key: Column[Any]
    secret: Column[Any]


SEALED = (
    Sealed(authenticators, authenticators.c.id, authenticators.c.sealed_secret),
    Sealed(documents, documents.c.name, documents.c.sealed_secrets),
    Sealed(jobs, jobs.c.id, jobs.c.sealed_content),
    Sealed(signing_keys, signing_keys.c.kid, signing_keys.c.sealed_private),
    Sealed(refresh_families, refresh_families.c.handle_digest, refresh_families.c.sealed_successor),
    Sealed(messages, messages.c.id, messages.c.sealed_content),
    Sealed(actions, actions.c.id, actions.c.sealed_secrets),
    Sealed(action_versions, action_versions.c.id, action_versions.c.sealed_secrets),
    Sealed(rules_configs, rules_configs.c.key, rules_configs.c.sealed_value),
    Sealed(hooks, hooks.c.id, hooks.c.sealed_secrets),
    Sealed(log_streams, log_streams.c.id, log_streams.c.sealed_secrets),
    Sealed(realms, realms.c.id, realms.c.sealed_secrets),
)


def _is_old(column: Sealed, kid: str):  # type: ignore[no-untyped-def]
    return column.secret.is_not(None) & ~column.secret.startswith(f"{kid}.", autoescape=True)


def list_batch(conn: Connection, column: Sealed, kid: str, after: str) -> list[tuple[str, str]]:
    """Some (row, secret) that another key sealed, in order of rows behind that one."""
    found = select(column.key, column.secret).where(_is_old(column, kid), column.key > after)
    found = found.order_by(column.key).limit(BATCH)
    return [(row[0], row[1]) for row in conn.execute(found)]


def replace_sealed(conn: Connection, column: Sealed, row_id: str, old: str, new: str) -> None:
    """Nothing happens when the secret was changed meanwhile: it is sealed with the newest key then anyway."""
    same = (column.key == row_id) & (column.secret == old)
    conn.execute(update(column.table).where(same).values({column.secret: new}))


def count_left(conn: Connection, column: Sealed, kid: str) -> int:
    found = select(func.count()).select_from(column.table).where(_is_old(column, kid))
    return int(conn.execute(found).scalar_one())
