"""`belay rules`: programs of the administrator that every login passes through."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Connection

from app import ruling
from app.accounts import rules as changing
from app.accounts.rules import KEY_PATTERN, NAME_PATTERN
from app.asking import Asking, Person
from app.cli.shared import (
    Failed,
    confirm,
    get_client,
    get_realm,
    get_user,
    json_option,
    opened,
    show,
    show_all,
    to_json,
    yes_option,
)
from app.context import Context
from app.rules import files, runtime
from app.rules.process import Program, Script
from app.rules.rule import Denied, Effects, Seen
from app.rules.rule import Failed as RuleFailed
from app.store import authenticators, realms
from app.store import rules as rows
from app.store.roles import list_roles_of
from app.store.rules import Rule
from app.tokens import audience
from app.tokens.methods import PASSWORD

File = click.Path(exists=True, dir_okay=False, path_type=Path)
Folder = click.Path(exists=True, file_okay=False, path_type=Path)

SAMPLE: dict[str, Any] = {
    "user": {
        "user_id": "auth0|000000000000000000000000",
        "email": "ana@example.com",
        "email_verified": True,
        "name": "Ana",
        "user_metadata": {},
        "app_metadata": {},
    },
    "context": {
        "clientID": "till",
        "clientName": "Till",
        "clientMetadata": {},
        "connection": "staff",
        "connectionMetadata": {},
        "protocol": "oauth2-password",
        "stats": {"loginsCount": 1},
        "accessToken": {},
        "idToken": {},
        "request": {"ip": "192.0.2.1", "userAgent": "Till/1", "query": {}, "body": {}, "geoip": {}},
        "authentication": {"methods": [{"name": "pwd", "timestamp": 1700000000000}]},
        "authorization": {"roles": []},
    },
}


def _get(conn: Connection, name: str) -> Rule:
    found = rows.find_rule_by_name(conn, name) or rows.find_rule(conn, name)
    if found is None:
        raise Failed(f"there is no rule {name}; `belay rules list` shows them")
    return found


def _view(rule: Rule) -> dict[str, object]:
    return {"order": rule.position, "name": rule.name, "enabled": rule.is_enabled, "id": rule.id}


def _files(ctx: Context) -> tuple[Script, ...]:
    try:
        return files.scripts_of(ctx.server)
    except files.NotReadable as error:
        raise Failed(str(error)) from None


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Failed(f"{path}: {error}") from None


@click.group()
def rules() -> None:
    """Programs that every login passes through, in their order."""


@rules.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the rules in the order in which they run; the files of BELAY_PYTHON_RULES are the last."""
    with opened() as ctx:
        with ctx.db.read() as conn:
            found = [_view(rule) for rule in rows.list_rules(conn)]
        folder = ctx.server.settings.python_rules
        for script in _files(ctx):
            found.append(
                {"order": None, "name": script.name, "enabled": True, "id": f"{folder}/{script.name}.py"}
            )
    show_all(found, ("order", "name", "enabled", "id"), as_json)


@rules.command("show")
@click.argument("name")
@json_option
def show_(name: str, as_json: bool) -> None:
    """Print a rule's script; with --json the rest as well."""
    with opened() as ctx, ctx.db.read() as conn:
        rule = _get(conn, name)
    if as_json:
        show(_view(rule) | {"script": rule.script}, True)
    else:
        click.echo(rule.script)


@rules.command()
@click.argument("name")
@click.argument("file", type=File)
@click.option("--order", type=click.IntRange(0), default=None, help="Its place; last when not given.")
@click.option("--disabled", is_flag=True, help="Do not run it yet.")
@json_option
def create(name: str, file: Path, order: int | None, disabled: bool, as_json: bool) -> None:
    """Create a rule of the JavaScript in FILE."""
    script = _read(file)
    _check_name(name)
    with opened() as ctx:
        if not disabled:
            changing.check_script(ctx, script)
        with ctx.db.write() as conn:
            rule = changing.create_rule(conn, ctx, name, script, position=order, is_enabled=not disabled)
    show(_view(rule), as_json)


@rules.command()
@click.argument("name")
@click.option("--file", type=File, default=None, help="Its new script.")
@click.option("--order", type=click.IntRange(0), default=None, help="Its new place.")
@click.option("--enable/--disable", "is_enabled", default=None, help="Whether logins pass through it.")
@json_option
def update(name: str, file: Path | None, order: int | None, is_enabled: bool | None, as_json: bool) -> None:
    """Change a rule."""
    given = {"script": _read(file) if file else None, "position": order, "is_enabled": is_enabled}
    changed = {member: value for member, value in given.items() if value is not None}
    with opened() as ctx:
        with ctx.db.read() as conn:
            before = _get(conn, name)
        if changed.get("is_enabled", before.is_enabled):
            changing.check_script(ctx, str(changed.get("script", before.script)))
        with ctx.db.write() as conn:
            rule = changing.update_rule(conn, ctx, _get(conn, name), **changed)
    show(_view(rule), as_json)


@rules.command()
@click.argument("name")
@yes_option
def delete(name: str, yes: bool) -> None:
    """Delete a rule."""
    confirm(f"Delete the rule {name}?", yes)
    with opened() as ctx, ctx.db.write() as conn:
        changing.remove_rule(conn, ctx, _get(conn, name))


@rules.command()
@click.argument("folder", type=Folder)
@click.option("--prune", "removes_others", is_flag=True, help="Delete rules that are not in the folder.")
@json_option
def deploy(folder: Path, removes_others: bool, as_json: bool) -> None:
    """Make the .js files of FOLDER the rules, in the order of their names, all at once.

    `10-country.js` is the rule `country`. Rules that are there already keep being enabled or not.
    """
    files = sorted(folder.glob("*.js"))
    scripts = [(re.sub(r"^[0-9]+[-_ ]+", "", file.stem).replace("_", "-"), _read(file)) for file in files]
    if len(dict(scripts)) != len(scripts):
        raise Failed("two files have the same name behind their numbers")
    with opened() as ctx:
        for name, script in scripts:
            _check_name(name)
            changing.check_script(ctx, script)
        with ctx.db.write() as conn:
            done = changing.deploy_rules(conn, ctx, scripts, removes_others=removes_others)
    show({"created": done.created, "updated": done.updated, "removed": done.removed}, as_json)


def _check_name(name: str) -> None:
    if not re.fullmatch(NAME_PATTERN, name):
        raise Failed(f"a rule's name has letters, digits, spaces and hyphens: {name!r}")


@rules.command()
@click.argument("key", required=False)
@click.option("--remove", is_flag=True, help="Delete the value.")
@json_option
def config(key: str | None, remove: bool, as_json: bool) -> None:
    """List the keys of `configuration`, or set KEY to what is on standard input."""
    with opened() as ctx:
        if key is None:
            with ctx.db.read() as conn:
                found = [{"key": each.key} for each in rows.list_configs(conn)]
            show_all(found, ("key",), as_json)
            return
        if not re.fullmatch(KEY_PATTERN, key):
            raise Failed("a key has letters, digits and _-@*+:")
        value = "" if remove else sys.stdin.read().removesuffix("\n")
        with ctx.db.write() as conn:
            if not remove:
                changing.put_config(conn, ctx, key, value)
            elif not changing.remove_config(conn, ctx, key):
                raise Failed(f"there is no value {key}")


# --- trying rules out ----------------------------------------------------------------------------------------------


@rules.command()
@click.argument("names", nargs=-1)
@click.option("--context", "given", type=File, default=None, help='JSON: {"user": {...}, "context": {...}}.')
@click.option("--realm", default=None, help="With --user and --client: what their login would show.")
@click.option("--user", "who", default=None)
@click.option("--client", "client_id", default=None)
@click.option(
    "--save", type=click.Path(dir_okay=False, path_type=Path), help="Write what the rules saw to a file."
)
@json_option
def test(
    names: tuple[str, ...],
    given: Path | None,
    realm: str | None,
    who: str | None,
    client_id: str | None,
    save: Path | None,
    as_json: bool,
) -> None:
    """Run rules (NAMES, .js or .py files; all enabled ones when none is named) and print what each did.

    Nothing is written, and no login happens. Exit code 1 when a rule refuses.
    """
    with opened() as ctx:
        if realm and who and client_id:
            seen = _recorded(ctx, realm, who, client_id)
        elif realm or who or client_id:
            raise Failed("--realm, --user and --client go together")
        else:
            seen = _given(given)
        if save is not None:
            save.write_text(
                json.dumps({"user": seen.user, "context": seen.context}, indent=2) + "\n", "utf-8"
            )
        with ctx.db.read() as conn:
            rule_set = rows.get_rule_set(conn)
            chosen = [_chosen(conn, name) for name in names] or [
                *(Script(r.name, r.script) for r in rule_set.rules),
                *_files(ctx),
            ]
            configs = {each.key: ruling.open_config(ctx, each) for each in rows.list_configs(conn)}
        try:
            program = Program(tuple(chosen), configs)
            ended = runtime.run(ctx.server, program, seen, wants_trace=True)
        finally:
            runtime.close(ctx.server)
    outcome = ended.outcome
    told = {"outcome": _outcome(outcome), "rules": list(_steps(seen, ended.trace))}
    if as_json:
        click.echo(to_json(told))
    else:
        _print(told)
    if not isinstance(outcome, Effects):
        sys.exit(1)


def _chosen(conn: Connection, name: str) -> Script:
    path = Path(name)
    if path.suffix in (".js", ".py") and path.exists():
        return Script(path.stem, _read(path), "python" if path.suffix == ".py" else "rule")
    rule = _get(conn, name)
    return Script(rule.name, rule.script)


def _given(path: Path | None) -> Seen:
    try:
        found = json.loads(_read(path)) if path else SAMPLE
        user, context = found["user"], found["context"]
        user["user_id"], context.keys()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Failed(f"{path}: not an object with user (with a user_id) and context: {error}") from None
    return Seen(user, context)


def _recorded(ctx: Context, realm_name: str, who: str, client_id: str) -> Seen:
    """What rules would see if that person logged in now."""
    with ctx.db.read() as conn:
        realm, client = get_realm(conn, realm_name), get_client(conn, client_id)
        user = get_user(conn, realm, who)
        place = realms.get_place_by_id(conn, realm.id, client.id)
        target = audience.resolve(ctx, conn, "")
        roles = [role.name for role in list_roles_of(conn, user.id)]
        is_enrolled = bool(authenticators.list_enrolled(conn, [user.id]))
    asking = Asking(client, realm, place.is_for_client, place.tenant, target, (), "", ("password",))
    person = Person(user, (), ((PASSWORD, int(ctx.now.timestamp())),))
    context = ruling.seen_context(ctx, asking, person, ruling.PASSWORD_PROTOCOL, roles)
    return Seen(ruling.seen_user(realm.name, user, is_enrolled=is_enrolled), context)


def _outcome(outcome: Effects | Denied | RuleFailed) -> dict[str, object]:
    if isinstance(outcome, Effects):
        return {"result": "passed", "multifactor": outcome.multifactor or None, "scope": outcome.scope}
    return {"result": outcome.why, "rule": outcome.rule, "message": outcome.message}


def _steps(seen: Seen, trace: tuple[dict[str, Any], ...]) -> Iterator[dict[str, Any]]:
    before: dict[str, Any] = {"user": seen.user, "context": seen.context}
    for part in trace:
        after = {"user": part["user"], "context": part["context"]} if part.get("user") else before
        writes = [f"{write['kind']}: {json.dumps(write['patch'])}" for write in part.get("writes") or ()]
        yield {
            "rule": part["rule"],
            "milliseconds": part["milliseconds"],
            "console": part.get("lines") or [],
            "differences": list(_differences(before, after)),
            "writes": writes,
        }
        before = after


def _differences(before: Any, after: Any, path: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(before.keys() | after.keys()):
            below = f"{path}.{name}" if path else name
            if name not in after:
                yield f"- {below}"
            elif name not in before:
                yield f"+ {below}: {json.dumps(after[name])}"
            else:
                yield from _differences(before[name], after[name], below)
    elif before != after:
        yield f"~ {path}: {json.dumps(before)} -> {json.dumps(after)}"


def _print(told: dict[str, Any]) -> None:
    for step in told["rules"]:
        click.echo(f"{step['rule']}  {step['milliseconds']} ms")
        for line in (*step["differences"], *step["writes"], *(f"> {line}" for line in step["console"])):
            click.echo("  " + "".join(c if c.isprintable() else "\ufffd" for c in line))
    outcome = {name: value for name, value in told["outcome"].items() if value}
    show(outcome, False)
