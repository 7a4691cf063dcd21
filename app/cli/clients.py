"""`belay clients`: applications."""

from pathlib import Path

import click

from app import accounts
from app.cli.shared import (
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
from app.grants.client_auth import ASSERTION_ALGORITHMS
from app.store import clients as rows
from app.store import realms
from app.store.clients import Client
from app.store.refresh_families import LONGEST_LEEWAY

LEEWAY = click.IntRange(0, int(LONGEST_LEEWAY.total_seconds()))


def _view(client: Client, origins: list[str]) -> dict[str, object]:
    return {
        "client_id": client.id,
        "name": client.name,
        "app_type": client.app_type,
        "auth_method": client.auth_method,
        "enabled": client.is_enabled,
        "grant_types": client.grant_types,
        "origins": origins,
        "first_party": client.is_first_party,
        "trusts_forwarded_ip": client.trusts_forwarded_ip,
        "refresh_rotates": client.refresh_rotates,
        "refresh_leeway_seconds": client.refresh_leeway_seconds,
        "refresh_seconds": client.refresh_seconds,
        "refresh_idle_seconds": client.refresh_idle_seconds,
        "created_at": client.created_at,
    }


@click.group()
def clients() -> None:
    """Applications, and what each may do."""


@clients.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the applications."""
    with opened() as ctx, ctx.db.read() as conn:
        known = [client for client in rows.list_clients(conn) if not client.is_global]
        found = [_view(client, rows.list_origins(conn, client.id)) for client in known]
    show_all(found, ("name", "client_id", "app_type", "auth_method", "enabled"), as_json)


@clients.command("show")
@click.argument("client_id")
@json_option
def show_(client_id: str, as_json: bool) -> None:
    """Show one application; its secret is never shown again."""
    with opened() as ctx, ctx.db.read() as conn:
        client = get_client(conn, client_id)
        view = _view(client, rows.list_origins(conn, client.id))
    show(view, as_json)


@clients.command()
@click.argument("name")
@click.option("--id", "client_id", default=None, help="Its client_id; made up when not given.")
@click.option("--type", "app_type", default="regular_web", type=click.Choice(accounts.APP_TYPES))
@click.option(
    "--auth",
    "auth_method",
    default=None,
    type=click.Choice(accounts.AUTH_METHODS),
    help="How it authenticates.",
)
@click.option(
    "--grant",
    "grants",
    multiple=True,
    help="password, password-realm, mfa, refresh_token, client_credentials; repeatable. Default: none of them.",
)
@click.option("--realm", "realm_names", multiple=True, help="Realm that it may use; repeatable.")
@click.option("--origin", "origins", multiple=True, help="Web origin of its pages; repeatable.")
@click.option(
    "--leeway", type=LEEWAY, default=0, help="Seconds in which a lost refresh answer can be asked for again."
)
@click.option(
    "--public-key", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="PEM, to sign."
)
@click.option("--key-alg", default="RS256", type=click.Choice(ASSERTION_ALGORITHMS))
@click.option("--trust-forwarded-ip", is_flag=True, help="Believe its auth0-forwarded-for header.")
@json_option
def create(
    name: str,
    client_id: str | None,
    app_type: str,
    auth_method: str | None,
    grants: tuple[str, ...],
    realm_names: tuple[str, ...],
    origins: tuple[str, ...],
    leeway: int,
    public_key: Path | None,
    key_alg: str,
    trust_forwarded_ip: bool,
    as_json: bool,
) -> None:
    """Create an application and print its secret, this once.

    The password grants are off unless named: only your own applications should have them (RFC 9700 2.4).
    """
    if auth_method is None:
        is_public = app_type in ("native", "spa")
        auth_method = "private_key_jwt" if public_key else "none" if is_public else "client_secret_post"
    if (auth_method == "private_key_jwt") != (public_key is not None):
        raise Failed("--auth private_key_jwt and --public-key go together")
    with opened() as ctx, ctx.db.write() as conn:
        client = Client(
            id=client_id or accounts.new_client_id(),
            name=name,
            app_type=app_type,
            auth_method=auth_method,
            created_at=ctx.now,
            grant_types=accounts.grant_types_of(list(grants)),
            trusts_forwarded_ip=trust_forwarded_ip,
            refresh_leeway_seconds=leeway,
        )
        secret = accounts.create_client(conn, ctx, client, origins)
        if public_key is not None:
            pem = public_key.read_text("utf-8", errors="replace")
            accounts.add_key(conn, ctx, client, name=name, pem=pem, alg=key_alg)
        for realm_name in realm_names:
            realm = get_realm(conn, realm_name)
            accounts.set_clients(conn, ctx, realm, (*realms.list_clients_of(conn, realm.id), client.id))
    view = _view(client, list(origins))
    show(view | ({"client_secret": secret} if secret else {}), as_json)


@clients.command()
@click.argument("client_id")
@click.option(
    "--enable/--disable", "is_enabled", default=None, help="A disabled client is refused everything."
)
@click.option("--grant", "grants", multiple=True, help="Replaces the grants; repeatable.")
@click.option("--origin", "origins", multiple=True, help="Replaces the web origins; repeatable.")
@click.option(
    "--leeway", type=int, default=None, help="Seconds in which a lost refresh answer can be asked again."
)
@click.option("--rotate-secret", is_flag=True, help="Print a new secret; the present one ends at once.")
@json_option
def update(
    client_id: str,
    is_enabled: bool | None,
    grants: tuple[str, ...],
    origins: tuple[str, ...],
    leeway: int | None,
    rotate_secret: bool,
    as_json: bool,
) -> None:
    """Change an application."""
    with opened() as ctx, ctx.db.write() as conn:
        client = get_client(conn, client_id)
        changed: dict[str, object] = {}
        if is_enabled is not None:
            changed["is_enabled"] = is_enabled
        if grants:
            changed["grant_types"] = accounts.grant_types_of(list(grants))
        if leeway is not None:
            changed["refresh_leeway_seconds"] = leeway
        client, secret = accounts.update_client(conn, ctx, client, origins=origins or None, **changed)
        if rotate_secret:
            secret = accounts.rotate_secret(conn, ctx, client)
        view = _view(client, rows.list_origins(conn, client.id))
    show(view | ({"client_secret": secret} if secret else {}), as_json)


@clients.command()
@click.argument("client_id")
@yes_option
def delete(client_id: str, yes: bool) -> None:
    """Delete an application; its tokens end."""
    confirm(f"Delete the client {client_id}?", yes)
    with opened() as ctx, ctx.db.write() as conn:
        client = get_client(conn, client_id)
        accounts.remove_client(conn, ctx, client)
