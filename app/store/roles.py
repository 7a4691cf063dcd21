"""Roles and permissions: which scopes of an API a person has, directly or by a role."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    Index,
    Select,
    Table,
    Text,
    bindparam,
    delete,
    insert,
    literal,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert as insert_once

from app.store.apis import apis
from app.store.base import CONFIGURATION, UTCDateTime, metadata, row_of, value_of, won
from app.store.users import User, users

roles = Table(
    "roles",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("description", Text),
    Column("created_at", UTCDateTime, nullable=False),
    info=CONFIGURATION,
)

role_permissions = Table(
    "role_permissions",
    metadata,
    Column("role_id", Text, ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True),
    Column("api_id", Text, ForeignKey("apis.id", ondelete="CASCADE"), primary_key=True),
    Column("permission", Text, primary_key=True),
    info=CONFIGURATION,
)

user_permissions = Table(
    "user_permissions",
    metadata,
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("api_id", Text, ForeignKey("apis.id", ondelete="CASCADE"), primary_key=True),
    Column("permission", Text, primary_key=True),
)

user_roles = Table(
    "user_roles",
    metadata,
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("role_id", Text, ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True),
    Index("ix_user_roles_role", "role_id", "user_id"),
)


@dataclass(frozen=True)
class Role:
    id: str
    name: str
    created_at: datetime
    description: str | None = None


@dataclass(frozen=True)
class Permission:
    api_id: str
    identifier: str
    """Of the API."""
    api_name: str
    permission: str
    description: str | None
    role_id: str | None = None
    """Through which role a person has it; None when given directly, or where no person is in question."""
    role_name: str | None = None


def list_roles(conn: Connection, *, name: str = "", limit: int, offset: int = 0) -> list[Role]:
    """In order of names; with `name`, those that contain it."""
    found = _named(select(roles), name).order_by(roles.c.name).limit(limit).offset(offset)
    return [value_of(Role, row) for row in conn.execute(found)]


def roles_named(name: str = "") -> Select[Any]:
    return _named(select(roles.c.id), name)


def _named(found: Select[Any], name: str) -> Select[Any]:
    return found.where(roles.c.name.icontains(name, autoescape=True)) if name else found


def find_role(conn: Connection, role_id: str) -> Role | None:
    row = conn.execute(select(roles).where(roles.c.id == role_id)).first()
    return value_of(Role, row) if row else None


def find_roles(conn: Connection, named: Collection[str]) -> list[Role]:
    """By ids or names."""
    found = select(roles).where(roles.c.id.in_(list(named)) | roles.c.name.in_(list(named)))
    return [value_of(Role, row) for row in conn.execute(found.order_by(roles.c.id))]


def add_role(conn: Connection, role: Role) -> None:
    """Raises sqlalchemy's IntegrityError when the name is taken."""
    conn.execute(insert(roles).values(**row_of(role)))


def update_role(conn: Connection, role_id: str, **changes: object) -> None:
    conn.execute(update(roles).where(roles.c.id == role_id).values(**changes))


def remove_role(conn: Connection, role_id: str) -> bool:
    return won(conn.execute(delete(roles).where(roles.c.id == role_id)))


# --- permissions ---------------------------------------------------------------------------------------------------


def _permission(row: Any) -> Permission:
    return Permission(
        row.api_id,
        row.identifier,
        row.name,
        row.permission,
        row.descriptions.get(row.permission),
        row.role_id,
        row.role_name,
    )


_SHOWN = (apis.c.identifier, apis.c.name, apis.c.descriptions)
_OF_ROLE = (
    select(role_permissions, *_SHOWN, literal(None).label("role_name"))
    .join(apis, apis.c.id == role_permissions.c.api_id)
    .where(role_permissions.c.role_id == bindparam("role_id"))
    .order_by(apis.c.identifier, role_permissions.c.permission)
)
_DIRECT = select(
    user_permissions.c.api_id,
    user_permissions.c.permission,
    literal(None).label("role_id"),
    literal(None).label("role_name"),
).where(user_permissions.c.user_id == bindparam("user_id"))
_BY_ROLE = (
    select(
        role_permissions.c.api_id,
        role_permissions.c.permission,
        roles.c.id.label("role_id"),
        roles.c.name.label("role_name"),
    )
    .join(user_roles, user_roles.c.role_id == role_permissions.c.role_id)
    .join(roles, roles.c.id == role_permissions.c.role_id)
    .where(user_roles.c.user_id == bindparam("user_id"))
)
_BOTH = union_all(_DIRECT, _BY_ROLE).subquery()
_OF_USER = (
    select(_BOTH, *_SHOWN)
    .join(apis, apis.c.id == _BOTH.c.api_id)
    .order_by(apis.c.identifier, _BOTH.c.permission, _BOTH.c.role_name)
)
_GRANTED = select(_BOTH.c.permission).where(_BOTH.c.api_id == bindparam("api_id")).distinct()


def list_role_permissions(conn: Connection, role_id: str) -> list[Permission]:
    return [_permission(row) for row in conn.execute(_OF_ROLE, {"role_id": role_id})]


def list_user_permissions(conn: Connection, user_id: str) -> list[Permission]:
    """One entry for each way in which the person has it."""
    return [_permission(row) for row in conn.execute(_OF_USER, {"user_id": user_id})]


def list_granted(conn: Connection, user_id: str, api_id: str) -> list[str]:
    """The scopes of an API that a person has, in order."""
    return sorted(conn.execute(_GRANTED, {"user_id": user_id, "api_id": api_id}).scalars())


Pair = tuple[str, str]
"""The API's id and the permission."""


def add_role_permissions(conn: Connection, role_id: str, pairs: Iterable[Pair]) -> None:
    for api_id, permission in pairs:
        row = {"role_id": role_id, "api_id": api_id, "permission": permission}
        conn.execute(insert_once(role_permissions).values(**row).on_conflict_do_nothing())


def remove_role_permissions(conn: Connection, role_id: str, pairs: Iterable[Pair]) -> None:
    t = role_permissions.c
    for api_id, permission in pairs:
        match = (t.role_id == role_id) & (t.api_id == api_id) & (t.permission == permission)
        conn.execute(delete(role_permissions).where(match))


def remove_permissions(conn: Connection, api_id: str, permissions: Collection[str]) -> None:
    """From every role and person."""
    for table in (role_permissions, user_permissions):
        match = (table.c.api_id == api_id) & table.c.permission.in_(list(permissions))
        conn.execute(delete(table).where(match))


def add_user_permissions(conn: Connection, user_id: str, pairs: Iterable[Pair]) -> None:
    for api_id, permission in pairs:
        row = {"user_id": user_id, "api_id": api_id, "permission": permission}
        conn.execute(insert_once(user_permissions).values(**row).on_conflict_do_nothing())


def remove_user_permissions(conn: Connection, user_id: str, pairs: Iterable[Pair]) -> None:
    t = user_permissions.c
    for api_id, permission in pairs:
        match = (t.user_id == user_id) & (t.api_id == api_id) & (t.permission == permission)
        conn.execute(delete(user_permissions).where(match))


# --- members -------------------------------------------------------------------------------------------------------


def list_roles_of(conn: Connection, user_id: str) -> list[Role]:
    found = select(roles).join(user_roles, user_roles.c.role_id == roles.c.id)
    rows = conn.execute(found.where(user_roles.c.user_id == user_id).order_by(roles.c.name))
    return [value_of(Role, row) for row in rows]


def list_members(
    conn: Connection, role_id: str, *, limit: int, offset: int = 0, after: str = ""
) -> list[User]:
    """In order of user ids; with `after`, those behind that id."""
    found = select(users).join(user_roles, user_roles.c.user_id == users.c.id)
    found = found.where(user_roles.c.role_id == role_id, users.c.id > after).order_by(users.c.id)
    return [value_of(User, row) for row in conn.execute(found.limit(limit).offset(offset))]


def members(role_id: str) -> Select[tuple[str]]:
    return select(user_roles.c.user_id).where(user_roles.c.role_id == role_id)


def add_members(conn: Connection, pairs: Iterable[tuple[str, str]]) -> None:
    """Pairs of user and role. Raises sqlalchemy's IntegrityError when one does not exist."""
    for user_id, role_id in pairs:
        row = {"user_id": user_id, "role_id": role_id}
        conn.execute(insert_once(user_roles).values(**row).on_conflict_do_nothing())


def remove_members(conn: Connection, pairs: Iterable[tuple[str, str]]) -> None:
    for user_id, role_id in pairs:
        match = (user_roles.c.user_id == user_id) & (user_roles.c.role_id == role_id)
        conn.execute(delete(user_roles).where(match))
