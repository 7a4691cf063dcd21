"""`belay policy`: who must prove a second factor."""

import json
from datetime import timedelta
from typing import IO, Any

import click

from app.accounts import policies
from app.adoption import figures
from app.cli.shared import (
    Failed,
    get_client,
    get_realm,
    get_user,
    json_option,
    opened,
    show,
    show_all,
    to_json,
)
from app.explaining import Question, explain
from app.policy import REALM_MODES, policy_of
from app.policy_mirror import line_of
from app.rehearsal import MOST_DAYS
from app.rehearsal import rehearse as run_rehearsal
from app.store import tenant


@click.group()
def policy() -> None:
    """The MFA policy of a realm."""


@policy.command("show")
@click.argument("realm")
@json_option
def show_(realm: str, as_json: bool) -> None:
    """Show what is set and what it amounts to; --json shows every member."""
    with opened() as ctx, ctx.db.read() as conn:
        found = get_realm(conn, realm)
        in_force = policy_of(found.mfa_policy, tenant.get_tenant(conn).mfa_policies)
    written = found.mfa_policy
    told: dict[str, object] = {
        "realm": found.name,
        "mode": written.terms.mode if written else None,
        "effective_mode": in_force.mode if found.wants_mfa or in_force.terms.locked else "never",
        "version": in_force.version,
        "updated_at": written.updated_at if written else None,
        "updated_by": written.updated_by if written else None,
    }
    terms = in_force.terms.model_dump(mode="json")
    show(told | {"policy": terms if as_json else line_of(in_force.terms)}, as_json)


@policy.command("set")
@click.argument("realm")
@click.argument("mode", type=click.Choice(REALM_MODES), required=False)
@click.option("--file", "file", type=click.File(), help="JSON with the members to set; - is standard input.")
@click.option(
    "--replace", is_flag=True, help="Members that the file does not name go back to their defaults."
)
def set_(realm: str, mode: str | None, file: IO[str] | None, replace: bool) -> None:
    """Set a realm's mode, or any members of its policy from a file."""
    if mode is None and file is None:
        raise Failed("nothing to set: give a mode, or --file", 2)
    given: dict[str, Any] = _read(file) if file is not None else {}
    if mode is not None:
        given["mode"] = mode
    with opened() as ctx, ctx.db.write() as conn:
        tenant.lock_tenant(conn)
        found = get_realm(conn, realm)
        known = {} if replace else policies.shown_terms(conn, found).model_dump(mode="json")
        after = policies.write_policy(conn, ctx, found, policies.terms_of(known | given), by=ctx.user_agent)
    if after.mfa_policy is not None:
        click.echo(f"{found.name}: {line_of(after.mfa_policy.terms)}")


def _read(file: IO[str]) -> dict[str, Any]:
    try:
        found = json.load(file)
    except ValueError as error:
        raise Failed(f"this is not JSON: {error}", 2) from None
    if not isinstance(found, dict):
        raise Failed("a policy is a JSON object", 2)
    return found


@policy.command()
@click.argument("realm")
@click.option("--days", type=click.IntRange(1, 366), default=30, show_default=True)
@json_option
def adoption(realm: str, days: int, as_json: bool) -> None:
    """Who has a second factor, who is let in without, and how challenges ended."""
    with opened() as ctx, ctx.db.read() as conn:
        found = get_realm(conn, realm)
        told = figures(ctx, conn, found, ctx.now - timedelta(days=days), ctx.now)
    if as_json:
        click.echo(to_json(told))
        return
    show(told["now"], False)
    rows = [day | {name: part or 0 for name, part in day["challenges"].items()} for day in told["days"]]
    columns = ("date", "issued", "passed", "failed", "abandoned", "median_seconds_to_pass", "rate_limited")
    show_all(rows, (*columns, "recovery_code_uses", "resets", "break_glass_uses"), False)


@policy.command()
@click.argument("realm")
@click.argument("mode", type=click.Choice(REALM_MODES), required=False)
@click.option("--file", "file", type=click.File(), help="JSON with the members that would change.")
@click.option("--days", type=click.IntRange(1, MOST_DAYS), default=30, show_default=True)
@json_option
def rehearse(realm: str, mode: str | None, file: IO[str] | None, days: int, as_json: bool) -> None:
    """Tell what a policy would have meant for the logins of the last days; nothing is changed."""
    given: dict[str, Any] = _read(file) if file is not None else {}
    given |= {"mode": mode} if mode is not None else {}
    with opened() as ctx:
        with ctx.db.read() as conn:
            found = get_realm(conn, realm)
            known = policies.shown_terms(conn, found).model_dump(mode="json")
        told = run_rehearsal(ctx, found, policies.terms_of(known | given), days)
    if as_json:
        click.echo(to_json(told))
        return
    show({name: value for name, value in told.items() if not isinstance(value, list)}, False)
    columns = ("client_id", "allow", "challenge", "enroll", "locked_out", "messages")
    show_all(told["by_application"], columns, False)
    show_all(
        [{"user_id": id, "reason": "challenged"} for id in told["challenged_users"]],
        ("user_id", "reason"),
        False,
    )
    show_all(told["locked_out_users"], ("user_id", "reason"), False)


@policy.command()
@click.argument("realm")
@click.argument("who")
@click.option("--client", "client_id", default=None, help="The application that would ask.")
@click.option("--ip", default="", help="The address that it would come from.")
@click.option("--audience", default="", help="The API that would be asked for.")
@click.option("--scope", default="", help="The scopes that would be asked for.")
@json_option
def evaluate(
    realm: str, who: str, client_id: str | None, ip: str, audience: str, scope: str, as_json: bool
) -> None:
    """Explain what a login would owe; nothing is logged or counted."""
    with opened() as ctx, ctx.db.read() as conn:
        found = get_realm(conn, realm)
        client = get_client(conn, client_id) if client_id else None
        question = Question(client, ip, audience, tuple(scope.split()))
        told = explain(ctx, conn, found, get_user(conn, found, who), question)
    if as_json:
        click.echo(to_json(told))
        return
    factors = [f"{f['name']} ({f['id']}{'' if f['active'] else ', disabled'})" for f in told["factors"]]
    shown = {name: value for name, value in told.items() if name != "effective_policy"}
    show(shown | {"mode": told["effective_policy"]["mode"], "factors": factors}, False)
