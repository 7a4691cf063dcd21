"""`/rules` and `/rules-configs`: programs of the administrator in every login, and what they are configured with."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import Connection

from app.accounts import rules as changing
from app.accounts.rules import KEY_PATTERN, NAME_PATTERN
from app.errors import Missing, NotPossible
from app.store import rules
from app.store.rules import Rule
from app.web.management.operation import Call, operation
from app.web.management.paging import Fields, Flag, Paged, choose, whole_page
from app.web.management.schema import Body

UNKNOWN = "The rule does not exist."
MEMBERS = ("id", "name", "enabled", "script", "order", "stage")
STAGE = "login_success"

Name = Annotated[str, Field(max_length=255, pattern=NAME_PATTERN)]
Script = Annotated[str, Field(min_length=1, max_length=100_000)]
Order = Annotated[int, Field(ge=0, le=2_000_000_000)]


class ListQuery(Paged, Fields):
    enabled: Flag | None = None


class OneQuery(Fields):
    pass


class NewRule(Body):
    name: Name
    script: Script
    order: Order | None = None
    enabled: bool = True
    stage: Literal["login_success"] = "login_success"


class Changes(Body):
    name: Name | None = None
    script: Script | None = None
    order: Order | None = None
    enabled: bool | None = None
    stage: Literal["login_success"] | None = None


class Value(Body):
    value: Annotated[str, Field(max_length=16 * 1024)]


def view(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": rule.name,
        "enabled": rule.is_enabled,
        "script": rule.script,
        "order": rule.position,
        "stage": STAGE,
    }


def get_rule(conn: Connection, rule_id: str) -> Rule:
    """Raises Missing."""
    rule = rules.find_rule(conn, rule_id)
    if rule is None:
        raise Missing(UNKNOWN, reason="inexistent_rule")
    return rule


@operation("GET", "/rules", scopes="read:rules", query=ListQuery)
def list_rules(call: Call) -> object:
    """Rules in the order in which they run"""
    query: ListQuery = call.query
    with call.ctx.db.read() as conn:
        found = rules.list_rules(conn, query.enabled)
    return whole_page(query, "rules", found, lambda rule: choose(view(rule), query, MEMBERS))


@operation("POST", "/rules", scopes="create:rules", ok=201, body=NewRule)
def create_rule(call: Call) -> object:
    """Create a rule; last in order where none is given"""
    given: NewRule = call.body
    if given.enabled:
        changing.check_script(call.ctx, given.script)
    with call.ctx.db.write() as conn:
        made = changing.create_rule(
            conn, call.ctx, given.name, given.script, position=given.order, is_enabled=given.enabled
        )
    return view(made)


@operation("GET", "/rules/{id}", scopes="read:rules", query=OneQuery)
def show_rule(call: Call) -> object:
    """A rule"""
    with call.ctx.db.read() as conn:
        return choose(view(get_rule(conn, call.id)), call.query, MEMBERS)


@operation("PATCH", "/rules/{id}", scopes="update:rules", body=Changes)
def update_rule(call: Call) -> object:
    """Change a rule; one that is enabled must be a function"""
    given: Changes = call.body
    names = {"name": "name", "script": "script", "order": "position", "enabled": "is_enabled"}
    changed = {
        names[name]: value for name, value in given.model_dump(exclude_none=True).items() if name in names
    }
    with call.ctx.db.read() as conn:
        before = get_rule(conn, call.id)
    if changed.get("is_enabled", before.is_enabled) and changed.keys() & {"script", "is_enabled"}:
        changing.check_script(call.ctx, changed.get("script", before.script))
    with call.ctx.db.write() as conn:
        return view(changing.update_rule(conn, call.ctx, get_rule(conn, call.id), **changed))


@operation("DELETE", "/rules/{id}", scopes="delete:rules", ok=204)
def delete_rule(call: Call) -> object:
    """Delete a rule"""
    with call.ctx.db.write() as conn:
        changing.remove_rule(conn, call.ctx, get_rule(conn, call.id))
    return None


# --- configuration -------------------------------------------------------------------------------------------------


def _check_key(key: str) -> str:
    """Raises NotPossible."""
    if not re.fullmatch(KEY_PATTERN, key):
        text = f"Path validation error: 'String does not match pattern {KEY_PATTERN}' on property key."
        raise NotPossible(text, reason="invalid_uri")
    return key


@operation("GET", "/rules-configs", scopes="read:rules_configs")
def list_rules_configs(call: Call) -> object:
    """Keys of the rules' configuration; values are never shown"""
    with call.ctx.db.read() as conn:
        return [{"key": config.key} for config in rules.list_configs(conn)]


@operation("PUT", "/rules-configs/{key}", scopes="update:rules_configs", body=Value)
def set_rules_config(call: Call) -> object:
    """Set a value; this answer is the only one that shows it"""
    key = _check_key(call.path["key"])
    with call.ctx.db.write() as conn:
        changing.put_config(conn, call.ctx, key, call.body.value)
    return {"key": key, "value": call.body.value}


@operation("DELETE", "/rules-configs/{key}", scopes="delete:rules_configs", ok=204)
def delete_rules_config(call: Call) -> object:
    """Delete a value"""
    with call.ctx.db.write() as conn:
        changing.remove_config(conn, call.ctx, _check_key(call.path["key"]))
    return None


OPERATIONS = (
    list_rules,
    create_rule,
    show_rule,
    update_rule,
    delete_rule,
    list_rules_configs,
    set_rules_config,
    delete_rules_config,
)
