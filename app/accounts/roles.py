"""Roles and permissions: what people may do with APIs that enforce policies."""

from collections.abc import Iterable
from dataclasses import replace

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from app.accounts import changes
from app.context import Context
from app.crypto import random_id
from app.errors import Conflict, Missing, NotPossible
from app.store import roles as rows
from app.store.apis import find_api
from app.store.roles import Pair, Role
from app.store.users import User

EXISTS = "The role name already exists."


def create_role(conn: Connection, ctx: Context, name: str, description: str | None) -> Role:
    """Raises Conflict."""
    role = Role(f"rol_{random_id(16)}", name, ctx.now, description)
    try:
        with conn.begin_nested():
            rows.add_role(conn, role)
    except IntegrityError:
        raise Conflict(EXISTS, reason="role_conflict") from None
    changes.record(conn, ctx, "role_created", role.id, after=role)
    return role


def update_role(conn: Connection, ctx: Context, role: Role, **changed: str | None) -> Role:
    """Raises Conflict."""
    after = replace(role, **changed)  # type: ignore[arg-type]
    try:
        with conn.begin_nested():
            rows.update_role(conn, role.id, **changed)
    except IntegrityError:
        raise Conflict(EXISTS, reason="role_conflict") from None
    changes.record(conn, ctx, "role_updated", role.id, before=role, after=after)
    return after


def remove_role(conn: Connection, ctx: Context, role: Role) -> None:
    rows.remove_role(conn, role.id)
    changes.record(conn, ctx, "role_deleted", role.id, before=role)


def pairs_of(conn: Connection, named: Iterable[tuple[str, str]], *, adds: bool) -> list[Pair]:
    """Permissions by the API's identifier to permissions by its id. Raises Missing, NotPossible."""
    found = []
    for identifier, permission in named:
        api = find_api(conn, identifier)
        if api is None:
            raise Missing("The resource server does not exist.", reason="inexistent_resource_server")
        if adds and permission not in api.scopes:
            raise NotPossible(f"The API {identifier} has no permission {permission}.")
        found.append((api.id, permission))
    return found


def change_role_permissions(
    conn: Connection, ctx: Context, role: Role, pairs: list[Pair], *, adds: bool
) -> None:
    if adds:
        rows.add_role_permissions(conn, role.id, pairs)
    else:
        rows.remove_role_permissions(conn, role.id, pairs)
    _record(conn, ctx, "role_permissions", role.id, pairs, adds=adds)


def change_user_permissions(
    conn: Connection, ctx: Context, user: User, pairs: list[Pair], *, adds: bool
) -> None:
    if adds:
        rows.add_user_permissions(conn, user.id, pairs)
    else:
        rows.remove_user_permissions(conn, user.id, pairs)
    ctx.facts.user_id = user.id
    _record(conn, ctx, "user_permissions", user.id, pairs, adds=adds)


def add_members(conn: Connection, ctx: Context, pairs: list[tuple[str, str]]) -> None:
    """Pairs of user and role. Raises Missing when one of them does not exist."""
    try:
        with conn.begin_nested():
            rows.add_members(conn, pairs)
    except IntegrityError:
        raise Missing("The user or the role does not exist.", reason="inexistent_role") from None
    _record(conn, ctx, "role_members", pairs[0][0], pairs, adds=True)


def remove_members(conn: Connection, ctx: Context, pairs: list[tuple[str, str]]) -> None:
    rows.remove_members(conn, pairs)
    _record(conn, ctx, "role_members", pairs[0][0], pairs, adds=False)


def _record(
    conn: Connection, ctx: Context, what: str, subject: str, pairs: list[tuple[str, str]], *, adds: bool
) -> None:
    gone, new = (None, pairs) if adds else (pairs, None)
    changes.record(conn, ctx, f"{what}_{'added' if adds else 'removed'}", subject, before=gone, after=new)
