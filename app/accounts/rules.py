"""Rules and their configuration, as administrators make and change them; `app.ruling` runs them in logins."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from app.accounts import changes
from app.context import Context
from app.crypto import digest, owner_of, random_id
from app.errors import Conflict, NotPossible
from app.rules import runtime
from app.store import rules as rows
from app.store.rules import Rule, SealedConfig

NAME_PATTERN = r"^[a-zA-Z0-9]([ \-a-zA-Z0-9]*[a-zA-Z0-9])?$"
KEY_PATTERN = r"^[A-Za-z0-9_\-@*+:]{1,127}$"

NAME_TAKEN = "A rule with the same name already exists"
ORDER_TAKEN = "A rule with the same order already exists"


def check_script(ctx: Context, script: str) -> None:
    """An enabled rule that cannot be compiled would refuse every login. Raises NotPossible, TemporarilyUnavailable.

    Takes a moment in another process, so it comes before any transaction.
    """
    problem = runtime.find_problem(ctx.server, script)
    if problem is not None:
        text = f"The script of an enabled rule must be one JavaScript function: {problem}"
        raise NotPossible(text, reason="operation_not_supported")


def create_rule(
    conn: Connection,
    ctx: Context,
    name: str,
    script: str,
    *,
    position: int | None = None,
    is_enabled: bool = True,
) -> Rule:
    """Last in order where no position is given. Raises Conflict."""
    position = rows.last_position(conn) + 1 if position is None else position
    rule = Rule(f"rul_{random_id(16)}", name, script, position, is_enabled)
    try:
        with conn.begin_nested():
            rows.add_rule(conn, rule)
    except IntegrityError:
        raise _conflict(conn, rule) from None
    changes.record(conn, ctx, "rule_created", rule.id, after=_told(rule))
    return rule


def update_rule(conn: Connection, ctx: Context, rule: Rule, **changed: object) -> Rule:
    """Raises Conflict."""
    after = replace(rule, **changed)  # type: ignore[arg-type]
    if after == rule:
        return rule
    try:
        with conn.begin_nested():
            rows.update_rule(conn, rule.id, **changed)
    except IntegrityError:
        raise _conflict(conn, after) from None
    changes.record(conn, ctx, "rule_updated", rule.id, before=_told(rule), after=_told(after))
    return after


def remove_rule(conn: Connection, ctx: Context, rule: Rule) -> None:
    rows.remove_rule(conn, rule.id)
    changes.record(conn, ctx, "rule_deleted", rule.id, before=_told(rule))


@dataclass(frozen=True)
class Deployed:
    created: tuple[str, ...]
    updated: tuple[str, ...]
    removed: tuple[str, ...]


def deploy_rules(
    conn: Connection, ctx: Context, scripts: Sequence[tuple[str, str]], *, removes_others: bool
) -> Deployed:
    """Make these (name, script) the first rules, in that order; whichever else there are come after them or go.

    One transaction: a login passes through the old ones or the new ones.
    """
    known = {rule.name: rule for rule in rows.list_rules(conn)}
    others = [rule for name, rule in known.items() if name not in dict(scripts)]
    removed = others if removes_others else []
    for rule in removed:
        remove_rule(conn, ctx, rule)
    kept = [rule for rule in known.values() if rule not in removed]
    far = rows.last_position(conn) + 1
    for at, rule in enumerate(kept):  # out of the way: two rules never have one position
        rows.update_rule(conn, rule.id, position=far + at)
    created, updated = [], []
    for at, (name, script) in enumerate(scripts, 1):
        if name not in known:
            create_rule(conn, ctx, name, script, position=at)
            created.append(name)
            continue
        rule = known[name]
        rows.update_rule(conn, rule.id, position=at, script=script)
        after = replace(rule, position=at, script=script)
        if after != rule:
            changes.record(conn, ctx, "rule_updated", rule.id, before=_told(rule), after=_told(after))
            updated.append(name)
    for at, rule in enumerate((rule for rule in others if rule not in removed), len(scripts) + 1):
        rows.update_rule(conn, rule.id, position=at)
    return Deployed(tuple(created), tuple(updated), tuple(rule.name for rule in removed))


def put_config(conn: Connection, ctx: Context, key: str, value: str) -> None:
    sealed = ctx.server.keyring.seal(value.encode(), owner_of("rules_configs", key))
    rows.put_config(conn, SealedConfig(key, sealed))
    changes.record(conn, ctx, "rules_config_set", key, after={"value": changes.MASK})


def remove_config(conn: Connection, ctx: Context, key: str) -> bool:
    """Whether there was one."""
    if not rows.remove_config(conn, key):
        return False
    changes.record(conn, ctx, "rules_config_deleted", key, before={"value": changes.MASK})
    return True


def _conflict(conn: Connection, rule: Rule) -> Conflict:
    same = rows.find_rule_by_name(conn, rule.name)
    is_name = same is not None and same.id != rule.id
    return Conflict(NAME_TAKEN if is_name else ORDER_TAKEN, reason="rule_conflict")


def _told(rule: Rule) -> Rule:
    """As the event tells it: many a script has a key in its text."""
    return replace(rule, script=f"{len(rule.script)} characters, sha256 {digest(rule.script)}")
