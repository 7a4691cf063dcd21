"""`belay realms`: separate user directories."""

from typing import Any

import click

from app import accounts
from app.cli.directories import changed_options, directory_options, read_options
from app.cli.shared import (
    EXIT_NOT_READY,
    Failed,
    confirm,
    get_client,
    get_realm,
    json_option,
    opened,
    show,
    show_all,
    yes_option,
)
from app.directories import DIRECTORIES
from app.directories.directory import CannotAsk
from app.store import realms as rows
from app.store import tenant
from app.store.realms import Realm


def _view(realm: Realm, default: str | None, client_ids: list[str]) -> dict[str, object]:
    return {
        "id": realm.id,
        "name": realm.name,
        "kind": realm.kind,
        "mfa_mode": realm.mfa_policy.terms.mode if realm.mfa_policy else "when_enrolled (nobody set it)",
        "enabled": realm.is_enabled,
        "default": realm.name == default,
        "brute_force_protection": realm.has_brute_force_protection,
        "clients": client_ids,
        "created_at": realm.created_at,
    }


@click.group()
def realms() -> None:
    """Realms: separate user directories, each with its own MFA policy."""


@realms.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the realms."""
    with opened() as ctx, ctx.db.read() as conn:
        default = tenant.get_tenant(conn).default_directory
        found = [_view(r, default, rows.list_clients_of(conn, r.id)) for r in rows.list_realms(conn)]
    show_all(found, ("name", "kind", "mfa_mode", "enabled", "default", "id"), as_json)


@realms.command("show")
@click.argument("name")
@json_option
def show_(name: str, as_json: bool) -> None:
    """Show one realm."""
    with opened() as ctx, ctx.db.read() as conn:
        realm = get_realm(conn, name)
        clients = rows.list_clients_of(conn, realm.id)
        view = _view(realm, tenant.get_tenant(conn).default_directory, clients)
    show(view, as_json)


@realms.command()
@click.argument("name")
@click.option("--kind", default=None, help="Where its people are kept: database, ldap, ad, http.")
@click.option("--mfa", default=None, help="MFA mode: never, when_enrolled, always, inherit.")
@click.option("--signup", is_flag=True, help="Let people make accounts for themselves.")
@click.option("--client", "client_ids", multiple=True, help="Client that may use it; repeatable.")
@click.option("--default", "is_default", is_flag=True, help="Where the plain password grant looks people up.")
@directory_options
@json_option
def create(
    name: str,
    kind: str | None,
    mfa: str | None,
    signup: bool,
    client_ids: tuple[str, ...],
    is_default: bool,
    as_json: bool,
    **directory: Any,
) -> None:
    """Create a realm. `belay realms check` asks its directory."""
    kind, options = read_options(kind, directory)
    options = ({"disable_signup": not signup} if kind == "database" else {}) | options
    with opened() as ctx, ctx.db.write() as conn:
        realm = accounts.create_realm(
            conn, ctx, accounts.new_realm(name, ctx.now, kind=kind, options=options)
        )
        if mfa is not None:
            realm = accounts.set_mfa_mode(conn, ctx, realm, mfa)
        accounts.set_clients(conn, ctx, realm, tuple(get_client(conn, c).id for c in client_ids))
        if is_default:
            accounts.update_tenant(conn, ctx, tenant.get_tenant(conn), default_directory=name)
        view = _view(get_realm(conn, name), name if is_default else None, list(client_ids))
    show(view, as_json)


@realms.command()
@click.argument("name")
@click.option("--enable/--disable", "is_enabled", default=None, help="A disabled realm lets nobody in.")
@click.option("--add-client", multiple=True, help="Client that may use it from now on; repeatable.")
@click.option("--remove-client", multiple=True, help="Client that may not any more; repeatable.")
@click.option("--default", "is_default", is_flag=True, help="Where the plain password grant looks people up.")
@click.option("--brute-force/--no-brute-force", default=None, help="Count wrong passwords.")
@directory_options
@json_option
def update(
    name: str,
    is_enabled: bool | None,
    add_client: tuple[str, ...],
    remove_client: tuple[str, ...],
    is_default: bool,
    brute_force: bool | None,
    as_json: bool,
    **directory: Any,
) -> None:
    """Change a realm. Its MFA mode is set with `belay policy set`."""
    with opened() as ctx, ctx.db.write() as conn:
        realm = get_realm(conn, name)
        if is_enabled is not None:
            realm = accounts.update_realm(conn, ctx, realm, is_enabled=is_enabled)
        if any(directory.values()):
            realm = accounts.update_realm(conn, ctx, realm, options=changed_options(realm, directory))
        if brute_force is not None:
            realm = accounts.update_realm(conn, ctx, realm, has_brute_force_protection=brute_force)
        if add_client or remove_client:
            known = set(rows.list_clients_of(conn, realm.id))
            known |= {get_client(conn, client_id).id for client_id in add_client}
            accounts.set_clients(conn, ctx, realm, tuple(known - set(remove_client)))
        if is_default:
            accounts.update_tenant(conn, ctx, tenant.get_tenant(conn), default_directory=realm.name)
        default = tenant.get_tenant(conn).default_directory
        view = _view(get_realm(conn, realm.id), default, list(rows.list_clients_of(conn, realm.id)))
    show(view, as_json)


@realms.command()
@click.argument("name")
def check(name: str) -> None:
    """Ask the directory of a realm whether it is there."""
    with opened() as ctx:
        with ctx.db.read() as conn:
            realm = get_realm(conn, name)
        try:
            click.echo(f"{name}: {DIRECTORIES[realm.kind].check(ctx, realm)}")
        except CannotAsk as problem:
            raise Failed(f"{name}: cannot be asked ({problem.says})", EXIT_NOT_READY) from None


@realms.command()
@click.argument("name")
@yes_option
def delete(name: str, yes: bool) -> None:
    """Delete a realm with all its people."""
    confirm(f"Delete the realm {name} and everybody in it?", yes)
    with opened() as ctx, ctx.db.write() as conn:
        realm = get_realm(conn, name)
        accounts.remove_realm(conn, ctx, realm)
