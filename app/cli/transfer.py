"""`belay users import` and `belay users export`: people from a file, and into one."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from app.accounts import changes, exporting, importing
from app.accounts import jobs as work
from app.accounts.import_stream import Records, Unreadable
from app.accounts.importing import Batch, Import, JobLost
from app.cli import EXIT_INTERRUPTED
from app.cli.shared import Failed, get_realm, json_option, opened, show
from app.cli.users import users
from app.context import Context
from app.errors import NotPossible, TemporarilyUnavailable
from app.store import jobs
from app.store.jobs import Job
from app.store.realms import Realm

EXIT_REJECTED = 3
SHOWN_ON_TERMINAL = 20  # rejected records, where no report was asked for

connection_option = click.option(
    "--connection", "realm_name", required=True, help="The realm (in Auth0's word) that they are in."
)


@dataclass
class Report:
    """One line of JSON for each rejected record: into the file, or the first ones on standard error."""

    path: Path | None
    shown: int = 0

    def check(self) -> None:
        """Fail before anything is begun where it cannot be written; what an earlier run wrote stays."""
        if self.path is not None:
            self._write(b"", os.O_APPEND)

    def open(self) -> None:
        """Empty, and for nobody else's eyes: records are people's data."""
        if self.path is not None:
            self._write(b"", os.O_TRUNC)

    def add(self, done: Batch) -> None:
        for rejected in done.rejected:
            if self.path is not None:
                self._write(json.dumps(rejected).encode() + b"\n", os.O_APPEND)
            elif self.shown < SHOWN_ON_TERMINAL:
                click.echo(json.dumps(rejected), err=True)
            elif self.shown == SHOWN_ON_TERMINAL:
                click.echo("belay: more records were rejected; --report FILE has them all", err=True)
            self.shown += 1

    def _write(self, content: bytes, mode: int) -> None:
        assert self.path is not None  # noqa: S101
        try:
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | mode, 0o600)
        except OSError as error:
            raise Failed(f"{self.path}: {error.strerror}", 2) from None
        with os.fdopen(handle, "wb") as file:
            file.write(content)


@users.command("import")
@click.argument("file")
@connection_option
@click.option("--upsert", is_flag=True, help="Change people who are there already, found by e-mail address.")
@click.option("--dry-run", is_flag=True, help="Check everything, write nothing.")
@click.option(
    "--report", type=click.Path(path_type=Path), help="Where to write rejected records, a line of JSON each."
)
@click.option("--resume", is_flag=True, help="Go on with an interrupted import of this file.")
@json_option
def import_(
    file: str,
    realm_name: str,
    upsert: bool,
    dry_run: bool,
    report: Path | None,
    resume: bool,
    as_json: bool,
) -> None:
    """Take people from FILE (`-` reads standard input): a JSON array or a record a line, in Auth0's import schema.

    A record that is rejected leaves the others alone. How far an import is stands in the database, written together
    with each batch: after an interruption the same command with --resume goes on exactly there, for 24 hours.

    Exit codes: 0 everybody was taken, 3 some were rejected, 130 interrupted.
    """
    if resume and dry_run:
        raise Failed("--resume and --dry-run exclude each other", 2)
    written = Report(report)
    with _source(file) as stream, opened() as ctx:
        with ctx.db.read() as conn:
            realm = get_realm(conn, realm_name)
        if realm.kind != "database":
            raise Failed(f"the realm {realm.name} keeps no passwords of its own")
        written.check()
        running = _begin(ctx, realm, file, {"upsert": upsert}, is_dry=dry_run, is_resumed=resume)
        written.open()
        job = _run(running, stream, written)
    counts = {"inserted": job.inserted, "updated": job.updated, "failed": job.failed}
    show({"total": sum(counts.values()), **counts, "dry_run": dry_run}, as_json)
    if job.failed:
        sys.exit(EXIT_REJECTED)


def _begin(
    ctx: Context, realm: Realm, file: str, options: dict[str, object], *, is_dry: bool, is_resumed: bool
) -> Import:
    source, runner = file if file == "-" else str(Path(file).resolve()), work.new_runner()
    if is_dry:
        return Import(ctx, realm, work.new_job(ctx, "users_import", realm, options, source), runner, True)
    with ctx.db.write() as conn:
        earlier = jobs.find_interrupted(conn, realm.id, source)
        if is_resumed:
            if earlier is None or not jobs.take_over(conn, earlier.id, runner, ctx.now):
                raise Failed(f"there is no interrupted import of {file} into {realm.name}")
            if earlier.options != options:
                raise Failed("the interrupted import had another --upsert")
            ctx.facts.realm = realm.name
            return Import(ctx, realm, earlier, runner)
        job = work.begin_own_import(conn, ctx, realm, source, options, runner)
    if earlier is not None and earlier.position:
        text = (
            f"an earlier import of this file stopped after {earlier.position} records; --resume goes on there"
        )
        click.echo(f"belay: {text}", err=True)
    return Import(ctx, realm, job, runner)


def _run(running: Import, stream: BinaryIO, written: Report) -> Job:
    job, status = running.job, "processing"
    records = Records(stream)
    try:
        for rejected in _earlier(running):
            written.add(Batch(job, [rejected]))
        with _bar(_size_of(stream)) as (progress, task):
            for done in importing.take(running, records):
                job = done.job
                written.add(done)
                progress.update(task, completed=records.bytes_read, people=job.position)
        if records.count < running.job.position:
            raise NotPossible("the file is shorter than what was already taken from it")
        status = "completed"
    except JobLost:
        raise Failed("another process goes on with this import") from None
    except Unreadable as error:
        status = "failed"
        raise Failed(f"{error.description} {_how_to_go_on(job)}") from None
    except TemporarilyUnavailable as error:
        raise Failed(f"the database does not answer ({error.reason}). {_how_to_go_on(job)}") from None
    except KeyboardInterrupt:
        raise Failed(f"interrupted. {_how_to_go_on(job)}", EXIT_INTERRUPTED) from None
    finally:
        if status != "processing" and not running.is_dry:
            with running.ctx.db.write() as conn:
                jobs.finish(conn, job.id, running.runner, status)
    return job


def _how_to_go_on(job: Job) -> str:
    return f"{job.position} records are done; the same command with --resume goes on behind them."


def _earlier(running: Import) -> Iterator[dict[str, object]]:
    """What was rejected before the interruption."""
    if running.job.position:
        for part in jobs.read_parts(running.ctx.db, running.job.id):
            yield from map(json.loads, part.splitlines())


@contextmanager
def _source(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        handle = os.open(file, os.O_RDONLY)
    except OSError as error:
        raise Failed(f"{file}: {error.strerror}", 2) from None
    with os.fdopen(handle, "rb") as stream:
        yield stream


def _size_of(stream: BinaryIO) -> int | None:
    """None for a pipe, whose end nobody knows."""
    return os.fstat(stream.fileno()).st_size or None


@contextmanager
def _bar(total: int | None) -> Iterator[tuple[Progress, TaskID]]:
    """On standard error, and only where somebody looks at it."""
    columns = (
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[people]} records"),
    )
    console = Console(stderr=True)
    with Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal) as bar:
        yield bar, bar.add_task("", total=total, people=0)


@users.command("export")
@connection_option
@click.option("--output", type=click.Path(path_type=Path), help="A file; standard output without it.")
@click.option("--format", "format_", type=click.Choice(exporting.FORMATS), default="json", show_default=True)
@click.option(
    "--fields", default="", help="Members to export, e.g. user_id,email,user_metadata.plan; all without it."
)
def export(realm_name: str, output: Path | None, format_: str, fields: str) -> None:
    """Write the people of a realm: a JSON object a line, or CSV. Never password hashes or factor secrets."""
    chosen = [{"name": name.strip()} for name in fields.split(",") if name.strip()]
    with opened() as ctx:
        columns = exporting.columns_of(chosen)
        with ctx.db.write() as conn:
            realm = get_realm(conn, realm_name)
            ctx.facts.realm = realm.name
            after = {"fields": [column.label for column in columns], "format": format_}
            changes.record(conn, ctx, "users_exported", realm.id, after=after)
        with _target(output) as target:
            for page in exporting.export(ctx.db, realm.id, columns, format=format_):
                target.write(page.content)


@contextmanager
def _target(output: Path | None) -> Iterator[BinaryIO]:
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise Failed(f"{output}: {error.strerror}", 2) from None
    with os.fdopen(handle, "wb") as file:
        yield file


__all__ = ["users"]
