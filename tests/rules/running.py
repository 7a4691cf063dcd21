"""How tests run rules without a login around them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.context import Server, open_server
from app.rules import runtime
from app.rules.process import Program, Script
from app.rules.rule import Seen
from app.rules.runtime import Ended
from tests.databases import test_settings

USER: dict[str, Any] = {
    "user_id": "auth0|bob",
    "email": "bob@example.com",
    "app_metadata": {},
    "user_metadata": {},
}
CONTEXT: dict[str, Any] = {"protocol": "oauth2-password", "idToken": {}, "accessToken": {}, "clientID": "app"}


@contextmanager
def rule_server(folder: Path, **settings: object) -> Iterator[Server]:
    """A server that runs rules and nothing else: there are no tables."""
    url = f"sqlite:///{folder / 'rules.db'}"
    server = open_server(test_settings(folder, url, **settings))
    try:
        yield server
    finally:
        runtime.close(server)
        server.db.dispose()


def program(*bodies: str, configuration: dict[str, str] | None = None) -> Program:
    """Each a rule's body, or a whole script where it begins with a function."""
    scripts = [
        body
        if body.lstrip().startswith(("function", "async"))
        else f"function (user, context, callback) {{ {body}\n}}"
        for body in bodies
    ]
    return Program(tuple(Script(f"rule-{at}", text) for at, text in enumerate(scripts)), configuration or {})


def run(
    server: Server, *bodies: str, wants_trace: bool = False, configuration: dict[str, str] | None = None
) -> Ended:
    found = program(*bodies, configuration=configuration)
    return runtime.run(server, found, Seen(USER, CONTEXT), wants_trace=wants_trace)
