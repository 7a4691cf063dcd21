"""`belay policy`: who must prove a second factor."""

import json
from typing import IO, Any

import click

from app.accounts import policies
from app.cli.shared import Failed, get_client, get_realm, get_user, json_option, opened, show, to_json
from app.explaining import Question, explain
from app.policy import REALM_MODES, policy_of
from app.policy_mirror import line_of
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
    show({name: value for name, value in told.items() if name != "effective_policy"}, False)
