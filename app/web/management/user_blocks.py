"""`/user-blocks` and `/anomaly/blocks`: who is locked out after wrong passwords, and letting them in again."""

from typing import Any

from pydantic import Field
from sqlalchemy import Connection

from app import accounts
from app.accounts import changes
from app.addresses import read_address
from app.errors import Missing, NotPossible
from app.guards import brute_force, ip_throttle
from app.guards.protection import get_protection
from app.store import realms, users
from app.store.realms import Realm
from app.store.users import User
from app.web.management.operation import Call, operation
from app.web.management.paging import Flag, Query
from app.web.management.users import get_user


class ShowQuery(Query):
    consider_brute_force_enablement: Flag = False


class IdentifierQuery(ShowQuery):
    identifier: str = Field(min_length=1, max_length=320)


def _blocks(call: Call, conn: Connection, realm: Realm, user: User | None, name: str) -> list[dict[str, Any]]:
    if call.query.consider_brute_force_enablement and not realm.has_brute_force_protection:
        return []
    rules = call.ctx.look_up(conn, get_protection).brute_force
    found = brute_force.list_blocks(conn, rules, realm, user, name, call.ctx.now)
    shown = [{"identifier": block.identifier, "ip": block.ip, "connection": realm.name} for block in found]
    return [{key: value for key, value in block.items() if value} for block in shown]


def _names(user: User) -> str:
    return user.email or user.username or user.phone_number or ""


@operation("GET", "/user-blocks", scopes="read:users", query=IdentifierQuery)
def list_blocks(call: Call) -> object:
    """Blocks of whoever has this e-mail address, username or phone number, in every connection"""
    name = call.query.identifier
    with call.ctx.db.read() as conn:
        found = []
        for realm in realms.list_realms(conn):
            user = users.find_user_by_key(conn, realm.id, users.key_of(name))
            found += _blocks(call, conn, realm, user, name)
    return {"blocked_for": found}


class ChosenQuery(Query):
    identifier: str = Field(min_length=1, max_length=320)


@operation("DELETE", "/user-blocks", scopes="update:users", ok=204, query=ChosenQuery)
def delete_blocks(call: Call) -> object:
    """Let in again whoever has this identifier"""
    with call.ctx.db.write() as conn:
        for realm in realms.list_realms(conn):
            accounts.unblock(conn, call.ctx, realm, call.query.identifier)
    return None


@operation("GET", "/user-blocks/{id}", scopes="read:users", query=ShowQuery)
def show_blocks(call: Call) -> object:
    """Blocks of a user"""
    with call.ctx.db.read() as conn:
        user = get_user(conn, call.id)
        realm = realms.find_realm(conn, user.realm_id)
        assert realm is not None  # noqa: S101 - a foreign key says so
        return {"blocked_for": _blocks(call, conn, realm, user, _names(user))}


@operation("DELETE", "/user-blocks/{id}", scopes="update:users", ok=204)
def delete_user_blocks(call: Call) -> object:
    """Let a user in again"""
    with call.ctx.db.write() as conn:
        user = get_user(conn, call.id)
        realm = realms.find_realm(conn, user.realm_id)
        assert realm is not None  # noqa: S101 - a foreign key says so
        accounts.unblock(conn, call.ctx, realm, _names(user))
    return None


def _address(call: Call) -> str:
    found = read_address(call.id)
    if found is None:
        raise NotPossible("This is not an IP address.", reason="invalid_uri")
    return str(found)


@operation("GET", "/anomaly/blocks/ips/{id}", scopes="read:anomaly_blocks")
def show_ip_block(call: Call) -> object:
    """Whether an address is blocked by suspicious-IP throttling: 404 when not"""
    ip = _address(call)
    with call.ctx.db.read() as conn:
        if not ip_throttle.is_blocked(conn, call.ctx, ip):
            raise Missing("The IP address is not blocked.", reason="inexistent_ip_block")
    return None


@operation("DELETE", "/anomaly/blocks/ips/{id}", scopes="delete:anomaly_blocks", ok=204)
def delete_ip_block(call: Call) -> object:
    """Let an address in again"""
    ip = _address(call)
    with call.ctx.db.write() as conn:
        before = {"blocked": ip_throttle.is_blocked(conn, call.ctx, ip)}
        ip_throttle.unblock(conn, ip)
        changes.record(conn, call.ctx, "ip_unblocked", ip, before=before)
    return None


OPERATIONS = (list_blocks, delete_blocks, show_blocks, delete_user_blocks, show_ip_block, delete_ip_block)
