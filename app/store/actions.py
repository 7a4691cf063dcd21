"""Actions: programs with a draft, deployed versions, and a place among those that a trigger runs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    ForeignKey,
    Integer,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)

from app.store.base import CONFIGURATION, UTCDateTime, metadata, row_of, value_of, won

actions = Table(
    "actions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("trigger", Text, nullable=False),
    Column("trigger_version", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("runtime", Text, nullable=False),
    Column("secrets", JSON, nullable=False),
    Column("sealed_secrets", Text),
    Column("deployed_id", Text),
    Column("created_at", UTCDateTime, nullable=False),
    Column("updated_at", UTCDateTime, nullable=False),
    info=CONFIGURATION,
)

action_versions = Table(
    "action_versions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("action_id", Text, ForeignKey("actions.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("number", Integer, nullable=False),
    Column("code", Text, nullable=False),
    Column("runtime", Text, nullable=False),
    Column("secrets", JSON, nullable=False),
    Column("sealed_secrets", Text),
    Column("created_at", UTCDateTime, nullable=False),
    info=CONFIGURATION,
)

action_bindings = Table(
    "action_bindings",
    metadata,
    Column("id", Text, primary_key=True),
    Column("trigger", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("action_id", Text, ForeignKey("actions.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("display_name", Text, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    info=CONFIGURATION,
)


@dataclass(frozen=True)
class Action:
    id: str
    name: str
    trigger: str
    trigger_version: str
    code: str
    """Of the draft; what runs is a version."""
    runtime: str
    created_at: datetime
    updated_at: datetime
    secrets: dict[str, str] = field(default_factory=dict)
    """Names, and when each was last set."""
    sealed_secrets: str | None = field(default=None, repr=False)
    deployed_id: str | None = None
    """The version that runs where the action is bound."""


@dataclass(frozen=True)
class ActionVersion:
    id: str
    action_id: str
    number: int
    code: str
    runtime: str
    created_at: datetime
    secrets: dict[str, str] = field(default_factory=dict)
    sealed_secrets: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Binding:
    id: str
    trigger: str
    position: int
    action_id: str
    display_name: str
    created_at: datetime


@dataclass(frozen=True)
class BoundAction:
    """What a login runs."""

    version_id: str
    name: str
    code: str
    sealed_secrets: str | None = field(repr=False)


def list_bound(conn: Connection, trigger: str) -> list[BoundAction]:
    """Deployed versions, in the order of their bindings. An action that was never deployed runs nowhere."""
    found = (
        select(
            action_versions.c.id.label("version_id"),
            actions.c.name,
            action_versions.c.code,
            action_versions.c.sealed_secrets,
        )
        .select_from(action_bindings)
        .join(actions, actions.c.id == action_bindings.c.action_id)
        .join(action_versions, action_versions.c.id == actions.c.deployed_id)
        .where(action_bindings.c.trigger == trigger)
        .order_by(action_bindings.c.position)
    )
    return [value_of(BoundAction, row) for row in conn.execute(found)]


def list_actions(
    conn: Connection, *, trigger: str | None = None, name: str | None = None, is_deployed: bool | None = None
) -> list[Action]:
    found = select(actions).order_by(actions.c.created_at, actions.c.id)
    if trigger is not None:
        found = found.where(actions.c.trigger == trigger)
    if name is not None:
        found = found.where(actions.c.name == name)
    if is_deployed is not None:
        found = found.where(actions.c.deployed_id.is_not(None) == is_deployed)
    return [value_of(Action, row) for row in conn.execute(found)]


def find_action(conn: Connection, action_id: str) -> Action | None:
    row = conn.execute(select(actions).where(actions.c.id == action_id)).first()
    return value_of(Action, row) if row else None


def find_action_by_name(conn: Connection, name: str) -> Action | None:
    row = conn.execute(select(actions).where(actions.c.name == name)).first()
    return value_of(Action, row) if row else None


def add_action(conn: Connection, action: Action) -> None:
    """Raises sqlalchemy's IntegrityError when the name is taken."""
    conn.execute(insert(actions).values(**row_of(action)))


def update_action(conn: Connection, action_id: str, **changes: Any) -> None:
    """Raises sqlalchemy's IntegrityError when the name is taken."""
    conn.execute(update(actions).where(actions.c.id == action_id).values(**changes))


def remove_action(conn: Connection, action_id: str) -> bool:
    return won(conn.execute(delete(actions).where(actions.c.id == action_id)))


def is_bound(conn: Connection, action_id: str) -> bool:
    found = select(action_bindings.c.id).where(action_bindings.c.action_id == action_id)
    return conn.execute(found).first() is not None


# --- versions ------------------------------------------------------------------------------------------------------


def list_versions(conn: Connection, action_id: str) -> list[ActionVersion]:
    """Newest first."""
    found = select(action_versions).where(action_versions.c.action_id == action_id)
    return [
        value_of(ActionVersion, row) for row in conn.execute(found.order_by(action_versions.c.number.desc()))
    ]


def find_version(conn: Connection, action_id: str, version_id: str) -> ActionVersion | None:
    found = select(action_versions).where(
        action_versions.c.id == version_id, action_versions.c.action_id == action_id
    )
    row = conn.execute(found).first()
    return value_of(ActionVersion, row) if row else None


def last_number(conn: Connection, action_id: str) -> int:
    found = select(func.max(action_versions.c.number)).where(action_versions.c.action_id == action_id)
    return int(conn.execute(found).scalar_one() or 0)


def add_version(conn: Connection, version: ActionVersion) -> None:
    conn.execute(insert(action_versions).values(**row_of(version)))


# --- bindings ------------------------------------------------------------------------------------------------------


def list_bindings(conn: Connection, trigger: str) -> Sequence[Binding]:
    found = select(action_bindings).where(action_bindings.c.trigger == trigger)
    return [value_of(Binding, row) for row in conn.execute(found.order_by(action_bindings.c.position))]


def set_bindings(conn: Connection, trigger: str, bindings: Sequence[Binding]) -> None:
    conn.execute(delete(action_bindings).where(action_bindings.c.trigger == trigger))
    for binding in bindings:
        conn.execute(insert(action_bindings).values(**row_of(binding)))
