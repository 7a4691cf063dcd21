"""Actions as administrators write, deploy and bind them. What logins make of them is in `app.ruling`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import uuid4

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from app.accounts import changes
from app.context import Context
from app.crypto import digest, owner_of
from app.errors import Conflict, NotPossible
from app.rules import runtime
from app.store import actions as rows
from app.store.actions import Action, ActionVersion, Binding

NAME_TAKEN = "An action with the same name already exists."
BOUND = "This action is bound to a trigger; unbind it or use force."


def new_action_id() -> str:
    return str(uuid4())


def check_code(ctx: Context, code: str) -> None:
    """What is deployed runs in logins: it must compile. Raises NotPossible, TemporarilyUnavailable."""
    problem = runtime.find_problem(ctx.server, code, "action")
    if problem is not None:
        raise NotPossible(f"The action cannot be deployed: {problem}", reason="action_not_built")


def create_action(conn: Connection, ctx: Context, action: Action, secrets: Mapping[str, str]) -> Action:
    """A draft: nothing runs yet. Raises Conflict."""
    action = _with_secrets(ctx, action, dict(secrets), secrets)
    try:
        with conn.begin_nested():
            rows.add_action(conn, action)
    except IntegrityError:
        raise Conflict(NAME_TAKEN, reason="duplicate_action") from None
    changes.record(conn, ctx, "action_created", action.id, after=_told(action))
    return action


def update_action(
    conn: Connection,
    ctx: Context,
    action: Action,
    secrets: Mapping[str, str | None] | None = None,
    **changed: object,
) -> Action:
    """Change the draft. Of `secrets`, those named stay or get a value, the others go. Raises Conflict, NotPossible."""
    after = replace(action, updated_at=ctx.now, **changed)  # type: ignore[arg-type]
    if secrets is not None:
        known = ctx.open_secrets("actions", action.id, action.sealed_secrets)
        missing = [name for name, value in secrets.items() if value is None and name not in known]
        if missing:
            text = f"Payload validation error: 'Missing required property: value' on property secrets ({missing[0]})."
            raise NotPossible(text)
        values = {name: known[name] if value is None else value for name, value in secrets.items()}
        given = {name: value for name, value in secrets.items() if value is not None}
        after = _with_secrets(ctx, after, values, given)
    try:
        with conn.begin_nested():
            rows.update_action(conn, action.id, **changes.differences(action, after))
    except IntegrityError:
        raise Conflict(NAME_TAKEN, reason="duplicate_action") from None
    changes.record(conn, ctx, "action_updated", action.id, before=_told(action), after=_told(after))
    return after


def deploy_action(
    conn: Connection, ctx: Context, action: Action, version: ActionVersion | None = None
) -> tuple[Action, ActionVersion]:
    """Make the draft, or what an older version has, the newest version: bound logins run it from now on."""
    source: Action | ActionVersion = version or action
    table = "action_versions" if version else "actions"
    secrets = ctx.open_secrets(table, source.id, source.sealed_secrets)
    new_id = str(uuid4())
    made = ActionVersion(
        new_id,
        action.id,
        rows.last_number(conn, action.id) + 1,
        source.code,
        source.runtime,
        ctx.now,
        source.secrets,
        _seal(ctx, "action_versions", new_id, secrets),
    )
    rows.add_version(conn, made)
    changed: dict[str, object] = {"deployed_id": made.id}
    if version is not None:  # a rollback is the draft as well
        sealed = _seal(ctx, "actions", action.id, secrets)
        changed |= {
            "code": version.code,
            "secrets": version.secrets,
            "sealed_secrets": sealed,
            "updated_at": ctx.now,
        }
    rows.update_action(conn, action.id, **changed)
    told = {"version": made.number, "code": _summary(made.code)}
    changes.record(conn, ctx, "action_deployed", action.id, after=told)
    return replace(action, **changed), made  # type: ignore[arg-type]


def remove_action(conn: Connection, ctx: Context, action: Action, *, is_forced: bool) -> None:
    """Raises Conflict for one that is bound."""
    if not is_forced and rows.is_bound(conn, action.id):
        raise Conflict(BOUND, reason="action_bound")
    rows.remove_action(conn, action.id)
    changes.record(conn, ctx, "action_deleted", action.id, before=_told(action))


def bind_actions(conn: Connection, ctx: Context, trigger: str, bindings: Sequence[Binding]) -> None:
    """Replace everything that the trigger runs, in order."""
    before = [binding.display_name for binding in rows.list_bindings(conn, trigger)]
    rows.set_bindings(conn, trigger, bindings)
    after = [binding.display_name for binding in bindings]
    changes.record(
        conn, ctx, "action_bindings_updated", trigger, before={"names": before}, after={"names": after}
    )


def _with_secrets(
    ctx: Context, action: Action, values: dict[str, str], set_now: Mapping[str, object]
) -> Action:
    moment = ctx.now.isoformat()
    times = {name: moment if name in set_now else action.secrets.get(name, moment) for name in values}
    return replace(action, secrets=times, sealed_secrets=_seal(ctx, "actions", action.id, values))


def _seal(ctx: Context, table: str, row_id: str, secrets: dict[str, str]) -> str | None:
    if not secrets:
        return None
    return ctx.server.keyring.seal(json.dumps(secrets).encode(), owner_of(table, row_id))


def _summary(code: str) -> str:
    return f"{len(code)} characters, sha256 {digest(code)}"


def _told(action: Action) -> Action:
    """As the event tells it: many a program has a key in its text."""
    return replace(action, code=_summary(action.code))
