"""Tells the log when a directory goes away and when it comes back, as its breaker sees it.

Each process finds out for itself; of what all of them find, and of a server that comes and goes, the log hears once a
minute.
"""

from app import audit
from app.context import Context
from app.directories.bulkhead import Bulkhead
from app.store import buckets
from app.store.events import add_event
from app.store.realms import Realm

ONCE_IN_SECONDS = 60.0


def failed(ctx: Context, bulkhead: Bulkhead, realm: Realm, name: str, problem: str) -> None:
    """The server of that name did not answer. Raises TemporarilyUnavailable where the log cannot be written."""
    if bulkhead.failed(key_of(realm, name)):
        _record(ctx, realm, "coff", name, {"problem": problem})


def answered(ctx: Context, bulkhead: Bulkhead, realm: Realm, name: str) -> None:
    """Raises as `failed` does."""
    if bulkhead.answered(key_of(realm, name)):
        _record(ctx, realm, "con", name, {})


def key_of(realm: Realm, name: str) -> str:
    return f"{realm.id} {name}"


def _record(ctx: Context, realm: Realm, kind: str, name: str, details: dict[str, object]) -> None:
    """Not of the person whose login happened to find out."""
    with ctx.db.write() as conn:
        key = f"directory/{kind}/{key_of(realm, name)}"
        if buckets.spend(conn, key, size=1, refill_seconds=ONCE_IN_SECONDS, now=ctx.now) is None:
            told = {"directory": name, "connection_id": realm.id} | details
            event = audit.event_of(
                ctx, kind, "directory_away" if kind == "coff" else "directory_back", told,
                realm=realm.name, user_id=None, user_name=None, client_id=None,
            )  # fmt: skip
            add_event(conn, event)
