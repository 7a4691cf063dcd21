"""The command `belay`, one file a command group. It calls the same functions as every other surface."""

import gc
from importlib import import_module
from typing import Any

import click

EXIT_INTERRUPTED = 130

COMMANDS = {
    "serve": "server",
    "worker": "server",
    "demo": "demo",
    "doctor": "server",
    "config": "server",
    "db": "database",
    "prune": "database",
    "realms": "realms",
    "policy": "policy",
    "clients": "clients",
    "apis": "apis",
    "rules": "rules",
    "users": "transfer",
    "breaches": "breaches",
    "keys": "keys",
    "logs": "logs",
}
"""In which file of this folder each is."""


class _Commands(click.Group):
    """Loads the file of the one command that is asked for: nobody waits for the others."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        # Loading makes thousands of objects that stay: looking for garbage among them takes a fifth of the time.
        gc.disable()
        module = import_module(f"app.cli.{COMMANDS[cmd_name]}")
        gc.freeze()
        gc.enable()
        command: click.Command = getattr(module, cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # click's own answer is 1, as for what failed
            ctx.exit(EXIT_INTERRUPTED)


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="belay", message="belay %(version)s")
def main() -> None:
    """Belay: the password grant that cannot skip the second factor.

    Start with `belay demo`, or on a server of your own with `belay db upgrade`, `belay realms create`,
    `belay clients create`, `belay users create` and `belay serve`. Settings are BELAY_... variables;
    `belay config check` lists them with their values.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 some records rejected, 4 not ready, 78 bad configuration,
    130 interrupted.
    Lists and single things take --json.
    """
