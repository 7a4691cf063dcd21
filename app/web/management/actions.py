"""`/actions`: drafts, versions and bindings. Those bound to `post-login` run in every login, behind the rules."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import uuid4

from pydantic import Field
from sqlalchemy import Connection

from app.accounts import actions as changing
from app.errors import Missing, NotPossible
from app.store import actions
from app.store.actions import Action, ActionVersion, Binding
from app.store.rules import POST_LOGIN
from app.web.management.operation import Answered, Call, operation
from app.web.management.paging import Flag, Query
from app.web.management.schema import Body
from app.web.management.wire import timestamp

UNKNOWN = "That action does not exist."
RUNTIME = "node22"

Name = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\s-][^\r\n]*$")]
Code = Annotated[str, Field(max_length=100_000)]


class Trigger(Body):
    id: Literal["post-login"]
    version: Annotated[str, Field(max_length=20)] = "v3"


class Secret(Body):
    name: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    value: Annotated[str, Field(max_length=8192)] | None = None


class Dependency(Body):
    name: str
    version: str | None = None
    registry_url: str | None = None


class Changes(Body):
    name: Name | None = None
    supported_triggers: Annotated[list[Trigger], Field(min_length=1, max_length=1)] | None = None
    code: Code | None = None
    dependencies: Annotated[list[Dependency], Field(max_length=100)] | None = None
    runtime: Annotated[str, Field(pattern=r"^node[0-9]+(-actions)?$")] | None = None
    secrets: Annotated[list[Secret], Field(max_length=30)] | None = None


class NewAction(Changes):
    name: Name
    supported_triggers: Annotated[list[Trigger], Field(min_length=1, max_length=1)]
    deploy: bool = False


class ListQuery(Query):
    triggerId: str | None = None
    actionName: str | None = None
    deployed: Flag | None = None
    page: int = Field(0, ge=0, le=1_000_000)
    per_page: int = Field(50, ge=1, le=100)
    installed: Flag | None = None


class PageQuery(Query):
    page: int = Field(0, ge=0, le=1_000_000)
    per_page: int = Field(50, ge=1, le=100)


class DeleteQuery(Query):
    force: Flag = False


class Reference(Body):
    type: Literal["action_id", "action_name", "binding_id"]
    value: Annotated[str, Field(min_length=1, max_length=255)]


class NewBinding(Body):
    ref: Reference
    display_name: Annotated[str, Field(min_length=1, max_length=255)] | None = None


class Bindings(Body):
    bindings: Annotated[list[NewBinding], Field(max_length=20)]


def _secrets_view(secrets: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {"name": name, "updated_at": timestamp(datetime.fromisoformat(at))} for name, at in secrets.items()
    ]


def view(conn: Connection, action: Action) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": action.id,
        "name": action.name,
        "supported_triggers": [
            {"id": action.trigger, "version": action.trigger_version, "status": "CURRENT"}
        ],
        "code": action.code,
        "dependencies": [],
        "runtime": action.runtime,
        "secrets": _secrets_view(action.secrets),
        "status": "built",
        "all_changes_deployed": False,
        "installed_integration_id": None,
        "created_at": timestamp(action.created_at),
        "updated_at": timestamp(action.updated_at),
    }
    version = actions.find_version(conn, action.id, action.deployed_id) if action.deployed_id else None
    if version is None:
        return shown
    is_same = (version.code, version.secrets, version.runtime) == (
        action.code,
        action.secrets,
        action.runtime,
    )
    deployed = version_view(action, version)
    return shown | {
        "all_changes_deployed": is_same,
        "deployed_version": deployed,
        "current_version": deployed,
    }


def version_view(action: Action, version: ActionVersion) -> dict[str, Any]:
    return {
        "id": version.id,
        "action_id": action.id,
        "number": version.number,
        "code": version.code,
        "dependencies": [],
        "runtime": version.runtime,
        "secrets": _secrets_view(version.secrets),
        "status": "built",
        "deployed": version.id == action.deployed_id,
        "errors": [],
        "created_at": timestamp(version.created_at),
        "updated_at": timestamp(version.created_at),
        "built_at": timestamp(version.created_at),
        "supported_triggers": [{"id": action.trigger, "version": action.trigger_version}],
    }


def get_action(conn: Connection, action_id: str) -> Action:
    """Raises Missing."""
    found = actions.find_action(conn, action_id)
    if found is None:
        raise Missing(UNKNOWN, reason="inexistent_action")
    return found


def _check_dependencies(given: Changes) -> None:
    """A package cannot be had here. Raises NotPossible."""
    if given.dependencies:
        text = f"Packages cannot be installed on this server: {given.dependencies[0].name}"
        raise NotPossible(text, reason="operation_not_supported")


def _page(query: Any, found: list[Any]) -> tuple[list[Any], dict[str, int]]:
    first = query.page * query.per_page
    shown = found[first : first + query.per_page]
    return shown, {"total": len(found), "page": query.page, "per_page": query.per_page}


@operation("GET", "/actions/actions", scopes="read:actions", query=ListQuery)
def list_actions(call: Call) -> object:
    """Actions, by trigger, name or whether they are deployed"""
    query: ListQuery = call.query
    with call.ctx.db.read() as conn:
        everything = actions.list_actions(
            conn, trigger=query.triggerId, name=query.actionName, is_deployed=query.deployed
        )
        shown, told = _page(query, [] if query.installed else everything)
        return {"actions": [view(conn, action) for action in shown]} | told


@operation("POST", "/actions/actions", scopes="create:actions", ok=201, body=NewAction)
def create_action(call: Call) -> object:
    """Create a draft; with `deploy` also its first version"""
    given: NewAction = call.body
    _check_dependencies(given)
    ctx, trigger, code = call.ctx, given.supported_triggers[0], given.code or ""
    secrets = {secret.name: secret.value for secret in given.secrets or ()}
    if None in secrets.values():
        raise NotPossible("Payload validation error: 'Missing required property: value' on property secrets.")
    if given.deploy:
        changing.check_code(ctx, code)
    action = Action(
        changing.new_action_id(),
        given.name,
        trigger.id,
        trigger.version,
        code,
        given.runtime or RUNTIME,
        ctx.now,
        ctx.now,
    )
    with ctx.db.write() as conn:
        made = changing.create_action(
            conn, ctx, action, {name: value or "" for name, value in secrets.items()}
        )
        if given.deploy:
            made, _ = changing.deploy_action(conn, ctx, made)
        return view(conn, made)


@operation("GET", "/actions/actions/{id}", scopes="read:actions")
def show_action(call: Call) -> object:
    """An action: its draft, and the version that is deployed"""
    with call.ctx.db.read() as conn:
        return view(conn, get_action(conn, call.id))


@operation("PATCH", "/actions/actions/{id}", scopes="update:actions", body=Changes)
def update_action(call: Call) -> object:
    """Change the draft; secrets that are named without a value stay"""
    given: Changes = call.body
    _check_dependencies(given)
    changed: dict[str, Any] = given.model_dump(exclude_none=True, include={"name", "code", "runtime"})
    if given.supported_triggers:
        changed["trigger_version"] = given.supported_triggers[0].version
    secrets = None if given.secrets is None else {secret.name: secret.value for secret in given.secrets}
    with call.ctx.db.write() as conn:
        action = changing.update_action(conn, call.ctx, get_action(conn, call.id), secrets, **changed)
        return view(conn, action)


@operation("DELETE", "/actions/actions/{id}", scopes="delete:actions", ok=204, query=DeleteQuery)
def delete_action(call: Call) -> object:
    """Delete an action; one that is bound only by `force`"""
    with call.ctx.db.write() as conn:
        changing.remove_action(conn, call.ctx, get_action(conn, call.id), is_forced=call.query.force)
    return None


@operation("POST", "/actions/actions/{id}/deploy", scopes="create:actions")
def deploy_action(call: Call) -> object:
    """Make the draft the version that bound logins run"""
    with call.ctx.db.read() as conn:
        code = get_action(conn, call.id).code
    changing.check_code(call.ctx, code)
    with call.ctx.db.write() as conn:
        action = get_action(conn, call.id)
        if action.code != code:
            raise NotPossible("The action was changed meanwhile.", reason="action_changed")
        action, version = changing.deploy_action(conn, call.ctx, action)
    return version_view(action, version) | {"action": {"id": action.id, "name": action.name}}


@operation("GET", "/actions/actions/{id}/versions", scopes="read:actions", query=PageQuery)
def list_action_versions(call: Call) -> object:
    """Versions, the newest first"""
    with call.ctx.db.read() as conn:
        action = get_action(conn, call.id)
        shown, told = _page(call.query, actions.list_versions(conn, action.id))
    return {"versions": [version_view(action, version) for version in shown]} | told


@operation("GET", "/actions/actions/{actionId}/versions/{id}", scopes="read:actions")
def show_action_version(call: Call) -> object:
    """A version"""
    with call.ctx.db.read() as conn:
        action = get_action(conn, call.path["actionId"])
        return version_view(action, _get_version(conn, action, call.id))


def _get_version(conn: Connection, action: Action, version_id: str) -> ActionVersion:
    """Raises Missing."""
    found = actions.find_version(conn, action.id, version_id)
    if found is None:
        raise Missing("That version does not exist.", reason="inexistent_action_version")
    return found


@operation("POST", "/actions/actions/{actionId}/versions/{id}/deploy", scopes="create:actions")
def roll_back_action(call: Call) -> object:
    """Make an older version the newest one"""
    with call.ctx.db.write() as conn:
        action = get_action(conn, call.path["actionId"])
        action, made = changing.deploy_action(conn, call.ctx, action, _get_version(conn, action, call.id))
    return Answered(version_view(action, made))


# --- triggers ------------------------------------------------------------------------------------------------------


@operation("GET", "/actions/triggers", scopes="read:actions")
def list_triggers(call: Call) -> object:
    """What runs actions: a login"""
    return {
        "triggers": [
            {
                "id": POST_LOGIN,
                "version": "v3",
                "status": "CURRENT",
                "runtimes": [RUNTIME],
                "default_runtime": RUNTIME,
                "compatible_triggers": [],
                "binding_policy": "trigger-bound",
            }
        ]
    }


def _binding_view(conn: Connection, binding: Binding) -> dict[str, Any]:
    action = get_action(conn, binding.action_id)
    return {
        "id": binding.id,
        "trigger_id": binding.trigger,
        "display_name": binding.display_name,
        "created_at": timestamp(binding.created_at),
        "updated_at": timestamp(binding.created_at),
        "action": view(conn, action),
    }


@operation("GET", "/actions/triggers/{triggerId}/bindings", scopes="read:actions", query=PageQuery)
def list_bindings(call: Call) -> object:
    """What a trigger runs, in order"""
    with call.ctx.db.read() as conn:
        shown, told = _page(call.query, list(actions.list_bindings(conn, call.path["triggerId"])))
        return {"bindings": [_binding_view(conn, binding) for binding in shown]} | told


@operation("PATCH", "/actions/triggers/{triggerId}/bindings", scopes="update:actions", body=Bindings)
def set_bindings(call: Call) -> object:
    """Replace what a trigger runs"""
    trigger = call.path["triggerId"]
    if trigger != POST_LOGIN:
        raise NotPossible(f"This server does not run actions at {trigger}.", reason="operation_not_supported")
    with call.ctx.db.write() as conn:
        known = {binding.id: binding for binding in actions.list_bindings(conn, trigger)}
        made = []
        for position, given in enumerate(call.body.bindings):
            action = _referred(conn, known, given.ref)
            if action.deployed_id is None:
                text = f"The action {action.name} must be deployed before it is bound."
                raise NotPossible(text, reason="action_not_deployed")
            name = given.display_name or action.name
            made.append(Binding(str(uuid4()), trigger, position, action.id, name, call.ctx.now))
        changing.bind_actions(conn, call.ctx, trigger, made)
        return {"bindings": [_binding_view(conn, binding) for binding in made]}


def _referred(conn: Connection, known: dict[str, Binding], ref: Reference) -> Action:
    """Raises Missing."""
    if ref.type == "binding_id":
        if ref.value not in known:
            raise Missing("That binding does not exist.", reason="inexistent_binding")
        return get_action(conn, known[ref.value].action_id)
    if ref.type == "action_id":
        return get_action(conn, ref.value)
    found = actions.find_action_by_name(conn, ref.value)
    if found is None:
        raise Missing(UNKNOWN, reason="inexistent_action")
    return found


OPERATIONS = (
    list_actions,
    create_action,
    show_action,
    update_action,
    delete_action,
    deploy_action,
    list_action_versions,
    show_action_version,
    roll_back_action,
    list_triggers,
    list_bindings,
    set_bindings,
)
