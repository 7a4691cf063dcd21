"""`belay logs`: the audit log."""

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TypeVar

import click

from app.accounts import explaining
from app.cli.shared import Failed, json_option, opened, show, show_all, to_json
from app.store import events as rows
from app.store.events import Event

COLUMNS = ("at", "type", "reason", "realm", "client_id", "user_id", "ip", "factor")
POLL_SECONDS = 0.5
BEHIND = 100  # how many ids behind the newest one are looked at again

Command = TypeVar("Command", bound=Callable[..., None])


def _filtered(command: Command) -> Command:
    for option in (
        json_option,
        click.option("--client", "client_id", default=None),
        click.option("--user", "user_id", default=None, help="User id."),
        click.option("--realm", default=None),
        click.option("--type", "type_", default=None, help="Log type code, e.g. fp or seotpft."),
    ):
        command = option(command)
    return command


def _view(event: Event) -> dict[str, object]:
    return asdict(event)


@click.group()
def logs() -> None:
    """The audit log: one event for every authentication decision."""


@logs.command("list")
@click.option("--limit", default=50, show_default=True, help="How many of the newest.")
@_filtered
def list_(
    limit: int,
    type_: str | None,
    realm: str | None,
    user_id: str | None,
    client_id: str | None,
    as_json: bool,
) -> None:
    """List the newest events, oldest first."""
    with opened() as ctx, ctx.db.read() as conn:
        found = rows.list_events(
            conn, limit=limit, type=type_, realm=realm, user_id=user_id, client_id=client_id
        )
    show_all([_view(event) for event in found], COLUMNS, as_json)


@logs.command()
@_filtered
def follow(
    type_: str | None, realm: str | None, user_id: str | None, client_id: str | None, as_json: bool
) -> None:
    """Print events as they happen, until Ctrl-C. With --json, one object a line."""
    with opened() as ctx:
        with ctx.db.read() as conn:
            seen = {event.id or 0 for event in rows.list_events(conn, limit=BEHIND)}
        while True:
            # Ids are given out before they are committed: a later one can be visible first.
            after = max([*seen, BEHIND]) - BEHIND
            with ctx.db.read() as conn:
                found = rows.list_events(
                    conn,
                    limit=500,
                    after=after,
                    type=type_,
                    realm=realm,
                    user_id=user_id,
                    client_id=client_id,
                )
            for event in found:
                if event.id not in seen:
                    seen.add(event.id or 0)
                    _print_line(event, as_json)
            seen = set(sorted(seen)[-2 * BEHIND :])
            time.sleep(POLL_SECONDS)


@logs.command()
@click.argument("error_id")
@json_option
def explain(error_id: str, as_json: bool) -> None:
    """Say why somebody was refused: ERROR_ID is in the answer that they got."""
    with opened() as ctx, ctx.db.read() as conn:
        found = explaining.find(conn, error_id)
    if not found:
        raise Failed(f"no event belongs to {error_id}; a malformed request leaves none")
    if as_json:
        click.echo(to_json([_view(event) | {"explanation": explaining.explain(event)} for event in found]))
        return
    for event in found:
        kept = {name: value for name, value in _view(event).items() if name in COLUMNS and value}
        show(kept, as_json=False)
        for sentence in explaining.explain(event):
            click.echo(sentence)


def _print_line(event: Event, as_json: bool) -> None:
    if as_json:
        click.echo(to_json(_view(event)))
    else:
        show_all([_view(event)], COLUMNS, as_json=False)
