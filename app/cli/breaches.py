"""`belay breaches`: leaked passwords on this machine."""

import os
import sys
from pathlib import Path
from typing import IO

import click

from app import leaked_file
from app.cli.shared import Failed


@click.group()
def breaches() -> None:
    """Leaked passwords, for checks that ask nobody else."""


@breaches.command()
@click.argument("leaks", type=click.File("rb"))
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def build(leaks: IO[bytes], file: Path) -> None:
    """Make FILE out of a list LEAKS (or `-`): a SHA-1 digest a line, with or without `:count`, or a password a line.

    Servers with BELAY_BREACH_RANGE_URL=file:FILE take a new file as soon as it is there.
    """
    try:
        size = os.fstat(leaks.fileno()).st_size
    except OSError:
        size = 0
    try:
        with click.progressbar(length=size, label="reading", file=sys.stderr) as bar:
            count = leaked_file.build(iter(leaks), file, progress=bar.update)
    except OSError as error:
        raise Failed(f"{file} could not be made: {error.strerror}") from None
    click.echo(f"{file}: {count} leaked passwords")
