"""Rules in Python: the files of one folder, in the order of their names."""

from pathlib import Path

from app.context import Server
from app.rules.process import Script


class NotReadable(Exception):
    """A file of the folder, or the folder, cannot be read; the text says which and why."""


def scripts_of(server: Server) -> tuple[Script, ...]:
    """Read once; a signal ends the worker and another one reads anew. Raises NotReadable."""
    folder = server.settings.python_rules
    if folder is None:
        return ()
    known = server.running.get("python_rules")
    if isinstance(known, tuple):
        return known
    found = server.running["python_rules"] = read(folder)
    return found


def read(folder: Path) -> tuple[Script, ...]:
    """Raises NotReadable: what cannot be read may be the rule that would have said no."""
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix == ".py")
        return tuple(Script(path.stem, path.read_text("utf-8"), "python") for path in files)
    except (OSError, UnicodeDecodeError) as error:
        raise NotReadable(f"{folder}: {error}") from None


def problems_of(folder: Path) -> list[str]:
    """What would refuse every login, and who else could write the files, as sentences. Nothing is run."""
    try:
        scripts = read(folder)
    except NotReadable as error:
        return [str(error)]
    found = []
    for path in (folder, *(folder / f"{script.name}.py" for script in scripts)):
        if path.stat().st_mode & 0o022:
            found.append(f"{path} can be written by others than its owner")
    for script in scripts:
        try:
            compile(script.source, f"{script.name}.py", "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            found.append(f"{script.name}.py: {error}")
    return found
