"""Trying rules out: what each would make of a login, without one."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Connection

from app import ruling
from app.asking import Asking, Person
from app.cli.shared import Failed, get_client, get_realm, get_user, json_option, opened, show, to_json
from app.context import Context
from app.rules import files, runtime
from app.rules.process import Program, Script
from app.rules.rule import Denied, Effects, Seen
from app.rules.rule import Failed as RuleFailed
from app.store import authenticators, realms
from app.store import rules as rows
from app.store.rules import Rule
from app.tokens import audience
from app.tokens.methods import PASSWORD

File = click.Path(exists=True, dir_okay=False, path_type=Path)


def get_rule(conn: Connection, name: str) -> Rule:
    found = rows.find_rule_by_name(conn, name) or rows.find_rule(conn, name)
    if found is None:
        raise Failed(f"there is no rule {name}; `belay rules list` shows them")
    return found


def read_script(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Failed(f"{path}: {error}") from None


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


@click.command()
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
    """Run rules (NAMES, .js or .py files; when none is named, all that a login passes through) and print what each did.

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
        program = _program(ctx, names)
        try:
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


def _program(ctx: Context, names: tuple[str, ...]) -> Program:
    """What is named, or all that a login passes through: actions and the operator's files too."""
    with ctx.db.read() as conn:
        if not names:
            try:
                return ruling.program_of(ctx, rows.get_rule_set(conn))
            except files.NotReadable as error:
                raise Failed(str(error)) from None
        configs = {each.key: ruling.open_config(ctx, each) for each in rows.list_configs(conn)}
        return Program(tuple(_chosen(conn, name) for name in names), configs)


def _chosen(conn: Connection, name: str) -> Script:
    path = Path(name)
    if path.suffix in (".js", ".py") and path.exists():
        return Script(path.stem, read_script(path), "python" if path.suffix == ".py" else "rule")
    rule = get_rule(conn, name)
    return Script(rule.name, rule.script)


def _given(path: Path | None) -> Seen:
    try:
        found = json.loads(read_script(path)) if path else SAMPLE
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
        owned = tuple(authenticators.list_authenticators(conn, user.id))
    asking = Asking(client, realm, place.is_for_client, place.tenant, target, (), "", ("password",))
    person = Person(user, owned, ((PASSWORD, int(ctx.now.timestamp())),))
    return ruling.seen(ctx, asking, person, ruling.PASSWORD_PROTOCOL)


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
