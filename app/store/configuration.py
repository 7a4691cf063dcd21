"""Configuration kept in memory: what administrators change now and then and every request reads.

The tenant's row carries a version, and every transaction that touches a table marked as configuration renews it.
A request reads the version once; while it is the one it was, whatever was looked up before still holds. So a change
holds for the next request on every worker, and a login pays for one small statement instead of five.
"""

import secrets
from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine, bindparam, event, select, update

from app.store.tenant import tenant

T = TypeVar("T")

MANY = 10_000  # look-ups kept; a stranger who asks for ever other names must not fill the memory

_VERSION = select(tenant.c.version).where(tenant.c.id == 1)
_RENEW = update(tenant).where(tenant.c.id == 1).values(version=bindparam("new_version"))
_MISSING = object()
_TOUCHED = "touched_configuration"


class Snapshot:
    """What was looked up since a version was seen. Its values are shared by all requests and never changed."""

    def __init__(self, version: str | None) -> None:
        self.version = version
        self._found: dict[Hashable, object] = {}

    def look_up(self, conn: Connection, find: Callable[..., T], *args: Hashable) -> T:
        key = (find, *args)
        known = self._found.get(key, _MISSING)
        if known is not _MISSING:
            return cast(T, known)
        found = find(conn, *args)
        if found:  # what a stranger makes up is not worth keeping: nothing, or nobody's
            if len(self._found) >= MANY:
                self._found.clear()
            self._found[key] = found
        return found


class Configuration:
    """The newest snapshot of a process."""

    def __init__(self) -> None:
        self._newest = Snapshot(None)

    def as_of_now(self, conn: Connection) -> Snapshot:
        """The snapshot that belongs to the version in the database. An empty database has none to keep."""
        version = conn.execute(_VERSION).scalar()
        # Versions are random, not counted: a restored backup must not meet what was kept under an equal number.
        newest = self._newest
        if not version or newest.version != version:
            newest = self._newest = Snapshot(version)
        return newest


def new_version() -> str:
    return secrets.token_urlsafe(12)


def watch(engine: Engine) -> None:
    """Notice every statement that changes configuration, whoever wrote it."""

    @event.listens_for(engine, "after_execute")
    def on_execute(conn: Connection, statement: Any, *_: object) -> None:
        if getattr(statement, "is_dml", False) and statement.table.info.get("is_configuration"):
            conn.info[_TOUCHED] = True


def begin(conn: Connection) -> None:
    conn.info.pop(_TOUCHED, None)


def renew_if_touched(conn: Connection) -> None:
    """Last in a transaction: the tenant's row is locked only from here to the commit."""
    if conn.info.pop(_TOUCHED, False):
        conn.execute(_RENEW, {"new_version": new_version()})
