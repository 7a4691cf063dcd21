"""What all commands share: opening the server, looking things up, and printing."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO, Any

import click
from sqlalchemy import Connection

from app import accounts, settings
from app.context import Context, Server, open_server
from app.crypto import SealBroken
from app.errors import Refusal
from app.identifiers import normal_key
from app.settings import Settings, SettingsInvalid
from app.store import clients as client_rows
from app.store import realms as realm_rows
from app.store import schema
from app.store import users as user_rows
from app.store.clients import Client
from app.store.realms import Realm
from app.store.users import User

EXIT_FAILED = 1
EXIT_NOT_READY = 4
EXIT_CONFIGURATION = 78

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


class Failed(click.ClickException):
    """A message for people and an exit code for scripts."""

    def __init__(self, message: str, code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc]

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"belay: {self.format_message()}", err=True)


def load_settings() -> Settings:
    try:
        found, warnings = settings.load()
    except SettingsInvalid as error:
        raise Failed(
            "the configuration is wrong:\n  " + "\n  ".join(error.problems), EXIT_CONFIGURATION
        ) from None
    for warning in warnings:
        click.echo(f"belay: {warning}", err=True)
    return found


def open_here() -> Server:
    """The server of the environment's settings, whatever state its database is in."""
    try:
        return open_server(load_settings())
    except FileNotFoundError as error:
        text = f"{error.filename} is missing; restore the key ring that belongs to this database"
        raise Failed(text, EXIT_CONFIGURATION) from None
    except (SealBroken, OSError) as error:
        raise Failed(str(error), EXIT_CONFIGURATION) from None
    except Refusal as error:
        raise Failed(f"the database does not answer ({error.reason})", EXIT_NOT_READY) from None


def require_schema(server: Server) -> None:
    with server.db.read() as conn:
        if not schema.is_current(conn):
            found = schema.current(conn)
            state = f"is at version {found}, this program wants {schema.head()}" if found else "is empty"
            raise Failed(f"the database {state}; run: belay db upgrade", EXIT_NOT_READY)


@contextmanager
def opened() -> Iterator[Context]:
    """A context for a command on a database with the right schema; refusals become messages."""
    server = open_here()
    try:
        require_schema(server)
        yield Context(server, datetime.now(UTC), ip="", user_agent="belay cli", request_id="cli")
    except accounts.NotPossible as error:
        policy = error.extras.get("policy")
        raise Failed(f"{error.description}\n{policy}" if policy else error.description) from None
    except Refusal as error:
        raise Failed(f"the database does not answer ({error.reason})", EXIT_NOT_READY) from None
    finally:
        server.db.dispose()


def get_realm(conn: Connection, name: str) -> Realm:
    realm = realm_rows.find_realm_by_name(conn, name) or realm_rows.find_realm(conn, name)
    if realm is None:
        raise Failed(f"there is no realm {name}; `belay realms list` shows them")
    return realm


def get_client(conn: Connection, client_id: str) -> Client:
    client = client_rows.find_client(conn, client_id)
    if client is None:
        raise Failed(f"there is no client {client_id}; `belay clients list` shows them")
    return client


def get_user(conn: Connection, realm: Realm, who: str) -> User:
    """A person by identifier or by user id, in that realm only."""
    user = user_rows.find_user_by_key(conn, realm.id, normal_key(who) or "")
    user = user or user_rows.find_user(conn, who)
    if user is None or user.realm_id != realm.id:
        raise Failed(f"there is no user {who} in the realm {realm.name}")
    return user


def confirm(question: str, yes: bool) -> None:
    if not yes:
        click.confirm(question, abort=True, err=True)


def show(thing: Mapping[str, object], as_json: bool) -> None:
    """One thing, a member a line."""
    if as_json:
        click.echo(to_json(thing))
        return
    width = max(map(len, thing))
    for name, value in thing.items():
        click.echo(f"{name:<{width}}  {_text(value)}")


def show_all(things: Sequence[Mapping[str, object]], columns: Sequence[str], as_json: bool) -> None:
    """A table for people, tab-separated lines for pipes, a JSON array for programs."""
    if as_json:
        click.echo(to_json(list(things)))
    elif sys.stdout.isatty():
        # Half of the commands print no table, and this takes a twentieth of a second to load.
        from rich.console import Console  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415

        table = Table(*columns, box=None, header_style="bold")
        for thing in things:
            table.add_row(*(_text(thing[column]) for column in columns))
        Console().print(table)
    else:
        for thing in things:
            click.echo("\t".join(_text(thing[column]) for column in columns))


def to_json(value: object) -> str:
    """One line of ASCII: no terminal is steered by it."""
    return json.dumps(value, default=_plain).replace("\x7f", "\\u007f")


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, tuple | set):
        return list(value)
    raise TypeError(type(value).__name__)


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, Mapping):
        return " ".join(f"{_text(name)}:{_text(part)}" for name, part in value.items()) or "-"
    if isinstance(value, list | tuple):
        between = ", " if any(isinstance(part, Mapping) for part in value) else " "
        return between.join(_text(part) for part in value) or "-"
    # A control character in somebody's name must not steer the terminal.
    return "".join(c if c.isprintable() else "\ufffd" for c in str(value)) or "-"
