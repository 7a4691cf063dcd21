"""`/roles`, and the roles and permissions of users."""

from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import Connection

from app.accounts import roles as granting
from app.errors import Missing
from app.store import roles
from app.store.base import count
from app.store.roles import Permission, Role
from app.store.users import User
from app.web.management.operation import Call, operation
from app.web.management.paging import COUNTED_UP_TO, Anywhere, Paged, checkpoint_page, offset_page, whole_page
from app.web.management.schema import Body
from app.web.management.users import get_user

UNKNOWN = "The role does not exist."


def view(role: Role) -> dict[str, Any]:
    return {"id": role.id, "name": role.name, "description": role.description, "type": "tenant"}


def get_role(conn: Connection, role_id: str) -> Role:
    """Raises Missing."""
    role = roles.find_role(conn, role_id)
    if role is None:
        raise Missing(UNKNOWN, reason="inexistent_role")
    return role


class ListQuery(Paged):
    name_filter: str = Field("", max_length=200)


@operation("GET", "/roles", scopes="read:roles", query=ListQuery)
def list_roles(call: Call) -> object:
    """Roles; `name_filter` finds a part of the name"""
    query: ListQuery = call.query
    with call.ctx.db.read() as conn:
        found = roles.list_roles(
            conn, name=query.name_filter, limit=query.per_page, offset=query.page * query.per_page
        )
        everything = roles.roles_named(query.name_filter)
        return offset_page(
            query,
            "roles",
            [view(role) for role in found],
            lambda: count(conn, everything, up_to=COUNTED_UP_TO),
        )


class Changes(Body):
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    description: Annotated[str, Field(max_length=500)] | None = None


class NewRole(Changes):
    name: Annotated[str, Field(min_length=1, max_length=200)]


@operation("POST", "/roles", scopes="create:roles", body=NewRole)
def create_role(call: Call) -> object:
    """Create a role"""
    with call.ctx.db.write() as conn:
        return view(granting.create_role(conn, call.ctx, call.body.name, call.body.description))


@operation("GET", "/roles/{id}", scopes="read:roles")
def show_role(call: Call) -> object:
    """A role"""
    with call.ctx.db.read() as conn:
        return view(get_role(conn, call.id))


@operation("PATCH", "/roles/{id}", scopes="update:roles", body=Changes)
def update_role(call: Call) -> object:
    """Change a role"""
    with call.ctx.db.write() as conn:
        role = get_role(conn, call.id)
        changed = call.body.model_dump(exclude_unset=True)
        if changed.get("name", "") is None:
            del changed["name"]
        return view(granting.update_role(conn, call.ctx, role, **changed) if changed else role)


@operation("DELETE", "/roles/{id}", scopes="delete:roles")
def delete_role(call: Call) -> object:
    """Delete a role"""
    with call.ctx.db.write() as conn:
        granting.remove_role(conn, call.ctx, get_role(conn, call.id))
    return {}


# --- permissions ---------------------------------------------------------------------------------------------------


class PermissionName(Body):
    resource_server_identifier: Annotated[str, Field(min_length=1, max_length=600)]
    permission_name: Annotated[str, Field(min_length=1, max_length=280)]


class Permissions(Body):
    permissions: Annotated[list[PermissionName], Field(min_length=1, max_length=1000)]

    @property
    def named(self) -> list[tuple[str, str]]:
        return [(each.resource_server_identifier, each.permission_name) for each in self.permissions]


def _permission_view(found: Permission) -> dict[str, Any]:
    return {
        "permission_name": found.permission,
        "description": found.description,
        "resource_server_name": found.api_name or None,
        "resource_server_identifier": found.identifier,
    }


@operation("GET", "/roles/{id}/permissions", scopes="read:roles", query=Paged)
def list_role_permissions(call: Call) -> object:
    """Permissions of a role"""
    with call.ctx.db.read() as conn:
        found = roles.list_role_permissions(conn, get_role(conn, call.id).id)
    return whole_page(call.query, "permissions", found, _permission_view)


def _change_role(call: Call, *, adds: bool) -> object:
    with call.ctx.db.write() as conn:
        role = get_role(conn, call.id)
        pairs = granting.pairs_of(conn, call.body.named, adds=adds)
        granting.change_role_permissions(conn, call.ctx, role, pairs, adds=adds)
    return {}


@operation("POST", "/roles/{id}/permissions", scopes="update:roles", ok=201, body=Permissions)
def add_role_permissions(call: Call) -> object:
    """Give permissions to a role"""
    return _change_role(call, adds=True)


@operation("DELETE", "/roles/{id}/permissions", scopes="update:roles", ok=204, body=Permissions)
def remove_role_permissions(call: Call) -> object:
    """Take permissions from a role"""
    _change_role(call, adds=False)
    return None


@operation("GET", "/users/{id}/permissions", scopes="read:users", query=Paged)
def list_user_permissions(call: Call) -> object:
    """Permissions of a user, with where each comes from"""
    with call.ctx.db.read() as conn:
        ways = roles.list_user_permissions(conn, get_user(conn, call.id).id)
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for way in ways:
        shown = found.setdefault((way.api_id, way.permission), _permission_view(way) | {"sources": []})
        kind = "ROLE" if way.role_id else "DIRECT"
        source = {"source_id": way.role_id or "", "source_name": way.role_name or "", "source_type": kind}
        shown["sources"].append(source)
    return whole_page(call.query, "permissions", list(found.values()), lambda shown: shown)


def _change_user(call: Call, *, adds: bool) -> object:
    with call.ctx.db.write() as conn:
        user = get_user(conn, call.id)
        pairs = granting.pairs_of(conn, call.body.named, adds=adds)
        granting.change_user_permissions(conn, call.ctx, user, pairs, adds=adds)
    return {}


@operation("POST", "/users/{id}/permissions", scopes="update:users", ok=201, body=Permissions)
def add_user_permissions(call: Call) -> object:
    """Give permissions to a user directly"""
    return _change_user(call, adds=True)


@operation("DELETE", "/users/{id}/permissions", scopes="update:users", ok=204, body=Permissions)
def remove_user_permissions(call: Call) -> object:
    """Take permissions from a user that were given directly"""
    _change_user(call, adds=False)
    return None


# --- members -------------------------------------------------------------------------------------------------------


def _member_view(user: User) -> dict[str, Any]:
    return {"user_id": user.id, "email": user.email, "name": user.name, "picture": user.picture}


@operation("GET", "/roles/{id}/users", scopes="read:users read:roles read:role_members", query=Anywhere)
def list_members(call: Call) -> object:
    """Users who have a role"""
    query: Anywhere = call.query
    with call.ctx.db.read() as conn:
        role = get_role(conn, call.id)
        if query.take is not None:

            def behind(limit: int, after: str) -> list[User]:
                return roles.list_members(conn, role.id, limit=limit, after=after)

            return checkpoint_page(query, "users", behind, lambda user: user.id, _member_view)
        found = roles.list_members(conn, role.id, limit=query.per_page, offset=query.page * query.per_page)
        everybody = roles.members(role.id)
        return offset_page(
            query,
            "users",
            [_member_view(user) for user in found],
            lambda: count(conn, everybody, up_to=COUNTED_UP_TO),
        )


class Members(Body):
    users: Annotated[list[str], Field(min_length=1, max_length=1000)]


@operation("POST", "/roles/{id}/users", scopes="update:roles create:role_members", body=Members)
def add_members(call: Call) -> object:
    """Give users a role"""
    with call.ctx.db.write() as conn:
        role = get_role(conn, call.id)
        granting.add_members(conn, call.ctx, [(user_id, role.id) for user_id in call.body.users])
    return {}


@operation("GET", "/users/{id}/roles", scopes="read:users read:roles read:role_members", query=Paged)
def list_user_roles(call: Call) -> object:
    """Roles of a user"""
    with call.ctx.db.read() as conn:
        found = roles.list_roles_of(conn, get_user(conn, call.id).id)
    return whole_page(call.query, "roles", found, view)


class Roles(Body):
    roles: Annotated[list[str], Field(min_length=1, max_length=50)]


@operation("POST", "/users/{id}/roles", scopes="update:users create:role_members", ok=204, body=Roles)
def add_user_roles(call: Call) -> object:
    """Give a user roles"""
    with call.ctx.db.write() as conn:
        user = get_user(conn, call.id)
        granting.add_members(conn, call.ctx, [(user.id, role_id) for role_id in call.body.roles])
    return None


@operation("DELETE", "/users/{id}/roles", scopes="update:users delete:role_members", ok=204, body=Roles)
def remove_user_roles(call: Call) -> object:
    """Take roles from a user"""
    with call.ctx.db.write() as conn:
        user = get_user(conn, call.id)
        granting.remove_members(conn, call.ctx, [(user.id, role_id) for role_id in call.body.roles])
    return None


OPERATIONS = (
    list_roles,
    create_role,
    show_role,
    update_role,
    delete_role,
    list_role_permissions,
    add_role_permissions,
    remove_role_permissions,
    list_user_permissions,
    add_user_permissions,
    remove_user_permissions,
    list_members,
    add_members,
    list_user_roles,
    add_user_roles,
    remove_user_roles,
)
