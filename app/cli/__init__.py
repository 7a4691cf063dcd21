"""The command `belay`, one file a command group. It calls the same functions as every other surface."""

import click

from app.cli import (
    apis,
    breaches,
    clients,
    database,
    demo,
    keys,
    logs,
    policy,
    realms,
    rules,
    server,
    transfer,
)
from app.cli.shared import Failed


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="belay", message="belay %(version)s")
def main() -> None:
    """Belay: the password grant that cannot skip the second factor.

    Start with `belay demo`, or on a server of your own with `belay db upgrade`, `belay realms create`,
    `belay clients create`, `belay users create` and `belay serve`. Settings are BELAY_... variables;
    `belay config check` lists them with their values.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 some records rejected, 4 not ready, 78 bad configuration.
    Lists and single things take --json.
    """


for command in (
    server.serve,
    server.worker,
    demo.demo,
    server.doctor,
    server.config,
    database.db,
    database.prune,
    realms.realms,
    policy.policy,
    clients.clients,
    apis.apis,
    rules.rules,
    transfer.users,
    breaches.breaches,
    keys.keys,
    logs.logs,
):
    main.add_command(command)

__all__ = ["Failed", "main"]
