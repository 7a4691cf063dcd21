"""`belay db` and `belay prune`."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import click
from sqlalchemy import make_url

from app import accounts, upkeep
from app.cli.shared import EXIT_NOT_READY, Failed, json_option, open_here, opened, show
from app.errors import Refusal
from app.store import schema


@click.group()
def db() -> None:
    """The database's schema."""


@db.command()
def upgrade() -> None:
    """Bring the schema to this program's version, and make what every server needs."""
    server = open_here()
    try:
        schema.upgrade(server.db)
        accounts.install(server, datetime.now(UTC))
    except Refusal as error:
        raise Failed(f"the database does not answer ({error.reason})", EXIT_NOT_READY) from None
    click.echo(f"the database is at version {schema.head()}")


@db.command()
def check() -> None:
    """Exit 0 when the schema is this program's, 4 when not."""
    with opened():
        click.echo(f"the database is at version {schema.head()}")


@db.command()
@click.argument("file", type=click.Path(path_type=Path))
def backup(file: Path) -> None:
    """Copy the embedded database while the server runs (PostgreSQL: use pg_dump).

    The copy holds no key of the key ring: keep that file apart.
    """
    with opened() as ctx:
        if not ctx.db.is_sqlite:
            raise Failed("back up PostgreSQL with pg_dump")
        if file.exists():
            raise Failed(f"{file} exists")
        source = sqlite3.connect(make_url(ctx.settings.database_url).database or "")
        file.touch(mode=0o600)
        target = sqlite3.connect(file)
        with source, target:
            source.backup(target)
        source.close()
        target.close()
    click.echo(f"copied to {file}")


@click.command()
@json_option
def prune(as_json: bool) -> None:
    """Remove expired rows now; the server also does it by itself in small steps."""
    with opened() as ctx:
        removed = upkeep.prune_all(ctx.server, ctx.now)
    show(removed, as_json)
