"""Hooks as administrators make and change them; `app.hooks` calls them."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from app.accounts import changes
from app.context import Context
from app.crypto import digest, owner_of, random_id
from app.errors import Conflict, NotPossible
from app.hooks import RUN_HERE
from app.rules import runtime
from app.store import hooks as rows
from app.store.hooks import Hook

NAME_TAKEN = "A hook with the same name already exists"
TRIGGER_TAKEN = "Another hook of this trigger is enabled; disable it first"


def check_enabled(ctx: Context, trigger: str, script: str) -> None:
    """One that is enabled must be called and must compile. Raises NotPossible, TemporarilyUnavailable.

    Takes a moment in another process, so it comes before any transaction.
    """
    if trigger not in RUN_HERE:
        text = f"This server does not call hooks at {trigger}; it can keep one that is not enabled."
        raise NotPossible(text, reason="operation_not_supported")
    problem = runtime.find_problem(ctx.server, script, "hook")
    if problem is not None:
        text = f"The script of an enabled hook must export one JavaScript function: {problem}"
        raise NotPossible(text, reason="operation_not_supported")


def create_hook(
    conn: Connection, ctx: Context, name: str, trigger: str, script: str, *, is_enabled: bool
) -> Hook:
    """Raises Conflict."""
    hook = Hook(f"hok_{random_id(16)}", name, trigger, script, is_enabled)
    try:
        with conn.begin_nested():
            rows.add_hook(conn, hook)
    except IntegrityError:
        raise _conflict(conn, hook) from None
    changes.record(conn, ctx, "hook_created", hook.id, after=_told(hook))
    return hook


def update_hook(conn: Connection, ctx: Context, hook: Hook, **changed: object) -> Hook:
    """Raises Conflict."""
    after = replace(hook, **changed)  # type: ignore[arg-type]
    if after == hook:
        return hook
    try:
        with conn.begin_nested():
            rows.update_hook(conn, hook.id, **changed)
    except IntegrityError:
        raise _conflict(conn, after) from None
    changes.record(conn, ctx, "hook_updated", hook.id, before=_told(hook), after=_told(after))
    return after


def remove_hook(conn: Connection, ctx: Context, hook: Hook) -> None:
    rows.remove_hook(conn, hook.id)
    changes.record(conn, ctx, "hook_deleted", hook.id, before=_told(hook))


def put_secrets(
    conn: Connection,
    ctx: Context,
    hook: Hook,
    secrets: Mapping[str, str],
    changed: list[str],
    known: Iterable[str],
) -> None:
    """Replace those `known`; the event names them and those that `changed`, never a value."""
    sealed = None
    if secrets:
        sealed = ctx.server.keyring.seal(json.dumps(dict(secrets)).encode(), owner_of("hooks", hook.id))
    rows.update_hook(conn, hook.id, sealed_secrets=sealed)
    before, after = {"names": sorted(known)}, {"names": sorted(secrets), "changed": sorted(changed)}
    changes.record(conn, ctx, "hook_secrets_updated", hook.id, before=before, after=after)


def _conflict(conn: Connection, hook: Hook) -> Conflict:
    is_name = any(other.name == hook.name and other.id != hook.id for other in rows.list_hooks(conn))
    return Conflict(NAME_TAKEN if is_name else TRIGGER_TAKEN, reason="hook_conflict")


def _told(hook: Hook) -> Hook:
    """As the event tells it: many a script has a key in its text."""
    return replace(hook, script=f"{len(hook.script)} characters, sha256 {digest(hook.script)}")
