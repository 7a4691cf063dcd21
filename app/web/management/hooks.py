"""`/hooks`: programs of the administrator where a client's credentials are exchanged and where phones are reached."""

from typing import Annotated, Any, Literal

from pydantic import Field, RootModel
from sqlalchemy import Connection

from app.accounts import hooks as changing
from app.accounts.rules import NAME_PATTERN
from app.errors import Conflict, Missing, NotPossible
from app.hooks import open_secrets
from app.store import hooks
from app.store.hooks import Hook
from app.web.management.operation import Call, operation
from app.web.management.paging import Fields, Flag, Paged, choose, whole_page
from app.web.management.schema import Body

UNKNOWN = "The hook does not exist."
MEMBERS = ("id", "name", "enabled", "script", "dependencies", "triggerId")
NOT_SHOWN = "_VALUE_NOT_SHOWN_"
MOST_SECRETS = 30

Trigger = Literal[
    "credentials-exchange",
    "pre-user-registration",
    "post-user-registration",
    "post-change-password",
    "send-phone-message",
]
Name = Annotated[str, Field(max_length=255, pattern=NAME_PATTERN)]
Script = Annotated[str, Field(min_length=1, max_length=100_000)]
SecretName = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Secrets = RootModel[Annotated[dict[SecretName, Annotated[str, Field(max_length=4096)]], Field(max_length=30)]]


class ListQuery(Paged, Fields):
    enabled: Flag | None = None
    triggerId: Trigger | None = None


class OneQuery(Fields):
    pass


class NewHook(Body):
    name: Name
    script: Script
    triggerId: Trigger
    enabled: bool = False
    dependencies: dict[str, str] = Field(default_factory=dict)


class Changes(Body):
    name: Name | None = None
    script: Script | None = None
    enabled: bool | None = None
    dependencies: dict[str, str] | None = None


def view(hook: Hook) -> dict[str, Any]:
    return {
        "id": hook.id,
        "name": hook.name,
        "enabled": hook.is_enabled,
        "script": hook.script,
        "dependencies": {},
        "triggerId": hook.trigger,
    }


def _get_hook(hook: Hook | None) -> Hook:
    """Raises Missing."""
    if hook is None:
        raise Missing(UNKNOWN, reason="inexistent_hook")
    return hook


def _check_dependencies(given: dict[str, str] | None) -> None:
    """A package cannot be had here. Raises NotPossible."""
    if given:
        text = f"Packages cannot be installed on this server: {next(iter(given))[:200]}"
        raise NotPossible(text, reason="operation_not_supported")


@operation("GET", "/hooks", scopes="read:hooks", query=ListQuery)
def list_hooks(call: Call) -> object:
    """Hooks, by trigger or whether they are enabled"""
    query: ListQuery = call.query
    with call.ctx.db.read() as conn:
        found = hooks.list_hooks(conn, query.triggerId, query.enabled)
    return whole_page(query, "hooks", found, lambda hook: choose(view(hook), query, MEMBERS))


@operation("POST", "/hooks", scopes="create:hooks", ok=201, body=NewHook)
def create_hook(call: Call) -> object:
    """Create a hook; of each trigger one is enabled at most"""
    given: NewHook = call.body
    _check_dependencies(given.dependencies)
    if given.enabled:
        changing.check_enabled(call.ctx, given.triggerId, given.script)
    with call.ctx.db.write() as conn:
        made = changing.create_hook(
            conn, call.ctx, given.name, given.triggerId, given.script, is_enabled=given.enabled
        )
    return view(made)


@operation("GET", "/hooks/{id}", scopes="read:hooks", query=OneQuery)
def show_hook(call: Call) -> object:
    """A hook"""
    with call.ctx.db.read() as conn:
        return choose(view(_get_hook(hooks.find_hook(conn, call.id))), call.query, MEMBERS)


@operation("PATCH", "/hooks/{id}", scopes="update:hooks", body=Changes)
def update_hook(call: Call) -> object:
    """Change a hook; its trigger stays"""
    given: Changes = call.body
    _check_dependencies(given.dependencies)
    names = {"name": "name", "script": "script", "enabled": "is_enabled"}
    changed = {
        names[name]: value for name, value in given.model_dump(exclude_none=True).items() if name in names
    }
    with call.ctx.db.read() as conn:
        before = _get_hook(hooks.find_hook(conn, call.id))
    if changed.get("is_enabled", before.is_enabled) and changed.keys() & {"script", "is_enabled"}:
        changing.check_enabled(call.ctx, before.trigger, changed.get("script", before.script))
    with call.ctx.db.write() as conn:
        hook = _get_hook(hooks.lock_hook(conn, call.id))
        if (hook.script, hook.is_enabled) != (before.script, before.is_enabled):
            raise Conflict("The hook was changed meanwhile.", reason="hook_changed")
        return view(changing.update_hook(conn, call.ctx, hook, **changed))


@operation("DELETE", "/hooks/{id}", scopes="delete:hooks", ok=204)
def delete_hook(call: Call) -> object:
    """Delete a hook with its secrets"""
    with call.ctx.db.write() as conn:
        changing.remove_hook(conn, call.ctx, _get_hook(hooks.find_hook(conn, call.id)))
    return None


# --- secrets -------------------------------------------------------------------------------------------------------


def _locked(call: Call, conn: Connection) -> tuple[Hook, dict[str, str]]:
    """Raises Missing, TemporarilyUnavailable."""
    hook = _get_hook(hooks.lock_hook(conn, call.id))
    return hook, open_secrets(call.ctx, hook)


def _put(call: Call, conn: Connection, hook: Hook, known: dict[str, str], given: dict[str, str]) -> None:
    """Raises NotPossible."""
    if len(known | given) > MOST_SECRETS:
        raise NotPossible(f"A hook has at most {MOST_SECRETS} secrets.", reason="too_many_secrets")
    changing.put_secrets(conn, call.ctx, hook, known | given, list(given), known)


@operation("GET", "/hooks/{id}/secrets", scopes="read:hooks")
def list_hook_secrets(call: Call) -> object:
    """Names of the hook's secrets; values are never shown"""
    with call.ctx.db.read() as conn:
        hook = _get_hook(hooks.find_hook(conn, call.id))
    return dict.fromkeys(open_secrets(call.ctx, hook), NOT_SHOWN)


@operation("POST", "/hooks/{id}/secrets", scopes="update:hooks", ok=201, body=Secrets)
def add_hook_secrets(call: Call) -> object:
    """Add secrets; none of these names may be there"""
    given: dict[str, str] = call.body.root
    with call.ctx.db.write() as conn:
        hook, known = _locked(call, conn)
        if known.keys() & given.keys():
            raise Conflict("A secret of that name already exists.", reason="duplicate_secret")
        _put(call, conn, hook, known, given)
    return {}


@operation("PATCH", "/hooks/{id}/secrets", scopes="update:hooks", ok=201, body=Secrets)
def update_hook_secrets(call: Call) -> object:
    """Set secrets; others stay"""
    with call.ctx.db.write() as conn:
        hook, known = _locked(call, conn)
        _put(call, conn, hook, known, call.body.root)
    return {}


@operation(
    "DELETE",
    "/hooks/{id}/secrets",
    scopes="delete:hooks",
    ok=204,
    body=Annotated[list[SecretName], Field(min_length=1, max_length=30)],
)
def delete_hook_secrets(call: Call) -> object:
    """Delete the secrets of these names"""
    with call.ctx.db.write() as conn:
        hook, known = _locked(call, conn)
        left = {name: value for name, value in known.items() if name not in call.body}
        changing.put_secrets(conn, call.ctx, hook, left, list(call.body), known)
    return None


OPERATIONS = (
    list_hooks,
    create_hook,
    show_hook,
    update_hook,
    delete_hook,
    list_hook_secrets,
    add_hook_secrets,
    update_hook_secrets,
    delete_hook_secrets,
)
