"""`belay rules`: programs of the administrator that every login passes through."""

import re
import sys
from pathlib import Path

import click

from app.accounts import rules as changing
from app.accounts.rules import KEY_PATTERN, NAME_PATTERN
from app.cli.shared import Failed, confirm, json_option, opened, show, show_all, yes_option
from app.cli.trials import File, get_rule, read_script, test
from app.context import Context
from app.rules import files
from app.rules.process import Script
from app.store import rules as rows
from app.store.rules import Rule

Folder = click.Path(exists=True, file_okay=False, path_type=Path)


def python_files(ctx: Context) -> tuple[Script, ...]:
    try:
        return files.scripts_of(ctx.server)
    except files.NotReadable as error:
        raise Failed(str(error)) from None


def _view(rule: Rule) -> dict[str, object]:
    return {"order": rule.position, "name": rule.name, "enabled": rule.is_enabled, "id": rule.id}


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
        for script in python_files(ctx):
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
        rule = get_rule(conn, name)
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
    script = read_script(file)
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
    given = {"script": read_script(file) if file else None, "position": order, "is_enabled": is_enabled}
    changed = {member: value for member, value in given.items() if value is not None}
    with opened() as ctx:
        with ctx.db.read() as conn:
            before = get_rule(conn, name)
        if changed.get("is_enabled", before.is_enabled):
            changing.check_script(ctx, str(changed.get("script", before.script)))
        with ctx.db.write() as conn:
            rule = changing.update_rule(conn, ctx, get_rule(conn, name), **changed)
    show(_view(rule), as_json)


@rules.command()
@click.argument("name")
@yes_option
def delete(name: str, yes: bool) -> None:
    """Delete a rule."""
    confirm(f"Delete the rule {name}?", yes)
    with opened() as ctx, ctx.db.write() as conn:
        changing.remove_rule(conn, ctx, get_rule(conn, name))


@rules.command()
@click.argument("folder", type=Folder)
@click.option("--prune", "removes_others", is_flag=True, help="Delete rules that are not in the folder.")
@json_option
def deploy(folder: Path, removes_others: bool, as_json: bool) -> None:
    """Make the .js files of FOLDER the rules, in the order of their names, all at once.

    `10-country.js` is the rule `country`. Rules that are there already keep being enabled or not.
    """
    files = sorted(folder.glob("*.js"))
    scripts = [
        (re.sub(r"^[0-9]+[-_ ]+", "", file.stem).replace("_", "-"), read_script(file)) for file in files
    ]
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


rules.add_command(test)
