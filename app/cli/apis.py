"""`belay apis`: what access tokens are for."""

import click
from sqlalchemy import Connection

from app import accounts
from app.cli.shared import Failed, confirm, get_client, json_option, opened, show, show_all, yes_option
from app.crypto import random_id
from app.store import apis as rows
from app.store import tenant
from app.store.apis import Api
from app.tokens.signing import ALGORITHMS


def _view(api: Api) -> dict[str, object]:
    return {
        "identifier": api.identifier,
        "name": api.name,
        "scopes": api.scopes,
        "signing_alg": api.signing_alg,
        "token_dialect": api.token_dialect,
        "token_lifetime": api.token_seconds,
        "allow_offline_access": api.allow_offline_access,
        "system": api.is_system,
        "id": api.id,
    }


def _get(conn: Connection, identifier: str) -> Api:
    api = rows.find_api(conn, identifier)
    if api is None:
        raise Failed(f"there is no API {identifier}; `belay apis list` shows them")
    return api


@click.group()
def apis() -> None:
    """APIs that access tokens are for."""


@apis.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the APIs."""
    with opened() as ctx, ctx.db.read() as conn:
        found = [_view(api) for api in rows.list_apis(conn)]
    show_all(found, ("identifier", "name", "signing_alg", "token_dialect", "token_lifetime"), as_json)


@apis.command("show")
@click.argument("identifier")
@json_option
def show_(identifier: str, as_json: bool) -> None:
    """Show one API."""
    with opened() as ctx, ctx.db.read() as conn:
        view = _view(_get(conn, identifier))
    show(view, as_json)


@apis.command()
@click.argument("identifier")
@click.option("--name", default=None)
@click.option("--scope", "scopes", multiple=True, help="A scope it has; repeatable.")
@click.option("--alg", default="RS256", type=click.Choice(ALGORITHMS), show_default=True)
@click.option(
    "--dialect", default="access_token", type=click.Choice(accounts.TOKEN_DIALECTS), show_default=True
)
@click.option("--lifetime", default=86400, help="Seconds that a token lives.", show_default=True)
@click.option("--offline/--no-offline", default=False, help="Allow refresh tokens.", show_default=True)
@click.option("--default", "is_default", is_flag=True, help="What a login without an audience is for.")
@json_option
def create(
    identifier: str,
    name: str | None,
    scopes: tuple[str, ...],
    alg: str,
    dialect: str,
    lifetime: int,
    offline: bool,
    is_default: bool,
    as_json: bool,
) -> None:
    """Create an API."""
    with opened() as ctx, ctx.db.write() as conn:
        api = Api(
            random_id(24, accounts.HEX),
            identifier,
            name or identifier,
            ctx.now,
            scopes,
            alg,
            dialect,
            lifetime,
            offline,
        )
        accounts.create_api(conn, ctx, api)
        if is_default:
            accounts.update_tenant(conn, ctx, tenant.get_tenant(conn), default_audience=identifier)
    show(_view(api), as_json)


@apis.command()
@click.argument("identifier")
@click.option("--scope", "scopes", multiple=True, help="Replaces the scopes; repeatable.")
@click.option("--offline/--no-offline", default=None, help="Allow refresh tokens.")
@click.option(
    "--default/--no-default", "is_default", default=None, help="What a login without an audience is for."
)
@click.option(
    "--grant", nargs=2, metavar="CLIENT_ID SCOPES", help="Let a client ask for these scopes for itself."
)
@json_option
def update(
    identifier: str,
    scopes: tuple[str, ...],
    offline: bool | None,
    is_default: bool | None,
    grant: tuple[str, str] | None,
    as_json: bool,
) -> None:
    """Change an API."""
    with opened() as ctx, ctx.db.write() as conn:
        api = _get(conn, identifier)
        if scopes:
            api = accounts.update_api(conn, ctx, api, scopes=scopes)
        if offline is not None:
            accounts.update_api(conn, ctx, api, allow_offline_access=offline)
        if is_default is not None:
            audience = identifier if is_default else None
            accounts.update_tenant(conn, ctx, tenant.get_tenant(conn), default_audience=audience)
        if grant is not None:
            client = get_client(conn, grant[0])
            accounts.grant_scopes(conn, ctx, client.id, identifier, tuple(grant[1].split()))
        api = _get(conn, identifier)
    show(_view(api), as_json)


@apis.command()
@click.argument("identifier")
@yes_option
def delete(identifier: str, yes: bool) -> None:
    """Delete an API."""
    confirm(f"Delete the API {identifier}?", yes)
    with opened() as ctx, ctx.db.write() as conn:
        api = _get(conn, identifier)
        accounts.remove_api(conn, ctx, api)
