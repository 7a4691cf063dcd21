"""Hooks: programs of administrators at points other than a person's login. One a trigger is enabled at most."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Boolean, Column, Connection, Index, Table, Text, delete, insert, select, update

from app.store.base import CONFIGURATION, metadata, row_of, value_of, won

hooks = Table(
    "hooks",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("trigger", Text, nullable=False),
    Column("script", Text, nullable=False),
    Column("is_enabled", Boolean, nullable=False),
    Column("sealed_secrets", Text),
    info=CONFIGURATION,
)
_H = hooks.c
Index("uq_hooks_enabled", _H.trigger, unique=True, sqlite_where=_H.is_enabled, postgresql_where=_H.is_enabled)


@dataclass(frozen=True)
class Hook:
    id: str
    name: str
    trigger: str
    script: str
    is_enabled: bool = False
    sealed_secrets: str | None = field(default=None, repr=False)


def find_enabled(conn: Connection, trigger: str) -> Hook | None:
    row = conn.execute(select(hooks).where(_H.trigger == trigger, _H.is_enabled)).first()
    return value_of(Hook, row) if row else None


def list_hooks(
    conn: Connection, trigger: str | None = None, is_enabled: bool | None = None
) -> Sequence[Hook]:
    found = select(hooks).order_by(_H.name)
    if trigger is not None:
        found = found.where(_H.trigger == trigger)
    if is_enabled is not None:
        found = found.where(_H.is_enabled.is_(is_enabled))
    return [value_of(Hook, row) for row in conn.execute(found)]


def find_hook(conn: Connection, hook_id: str) -> Hook | None:
    row = conn.execute(select(hooks).where(_H.id == hook_id)).first()
    return value_of(Hook, row) if row else None


def lock_hook(conn: Connection, hook_id: str) -> Hook | None:
    """Until the transaction ends: secrets are changed one after the other."""
    row = conn.execute(select(hooks).where(_H.id == hook_id).with_for_update()).first()
    return value_of(Hook, row) if row else None


def add_hook(conn: Connection, hook: Hook) -> None:
    """Raises sqlalchemy's IntegrityError when the name is taken or another of the trigger is enabled."""
    conn.execute(insert(hooks).values(**row_of(hook)))


def update_hook(conn: Connection, hook_id: str, **changes: object) -> None:
    """Raises sqlalchemy's IntegrityError when the name is taken or another of the trigger is enabled."""
    conn.execute(update(hooks).where(_H.id == hook_id).values(**changes))


def remove_hook(conn: Connection, hook_id: str) -> bool:
    return won(conn.execute(delete(hooks).where(_H.id == hook_id)))
