"""`belay policy`: who must prove a second factor."""

import click

from app import accounts, audit
from app.cli.shared import get_realm, json_option, opened, show
from app.policy import REALM_MODES, effective_mode
from app.store import tenant


@click.group()
def policy() -> None:
    """The MFA policy of a realm."""


@policy.command("show")
@click.argument("realm")
@json_option
def show_(realm: str, as_json: bool) -> None:
    """Show what is set and what it amounts to."""
    with opened() as ctx, ctx.db.read() as conn:
        found = get_realm(conn, realm)
        effective = effective_mode(found.mfa_mode, tenant.get_tenant(conn).mfa_policies)
    show({"realm": found.name, "mode": found.mfa_mode, "effective_mode": effective}, as_json)


@policy.command("set")
@click.argument("realm")
@click.argument("mode", type=click.Choice(REALM_MODES))
def set_(realm: str, mode: str) -> None:
    """Set a realm's mode: never, when_enrolled, always, or inherit the tenant's."""
    with opened() as ctx, ctx.db.write() as conn:
        found = get_realm(conn, realm)
        accounts.set_mfa_mode(conn, ctx, found, mode)
        ctx.facts.realm = found.name
        ctx.facts.details.update({"before": found.mfa_mode, "after": mode})
        audit.record(conn, ctx, "gd_tenant_update", "mfa_mode")
    click.echo(f"{found.name}: {mode}")
