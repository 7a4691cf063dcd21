"""A PostgreSQL that is frozen or cut off holds a connection and says nothing: how long it is listened to."""

import time
from typing import Any

import psycopg

SILENCE_SECONDS = 2.5  # from a server that should have given up on the statement by itself before
PAUSE_SECONDS = 1  # after a server that did not let anybody in


class Impatient(psycopg.Connection[Any]):
    """Gives up on a server that holds the connection and says nothing, as one that is frozen or cut off does."""

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return super().wait(gen, interval, timeout or SILENCE_SECONDS)
        except psycopg.errors._WaitTimeout:
            self.pgconn.finish()
            raise psycopg.OperationalError("the server does not answer") from None


class Connecting:
    """How connections are made: a server that did not answer is not waited for again at once.

    A request that found it silent and then tries to write down why would else wait twice.
    """

    def __init__(self) -> None:
        self._silent_until = 0.0

    def __call__(self, _dialect: Any, _record: Any, arguments: list[Any], options: dict[str, Any]) -> Any:
        if time.monotonic() < self._silent_until:
            raise psycopg.OperationalError("the server did not answer a moment ago")
        try:
            return Impatient.connect(*arguments, **options)
        except psycopg.errors.ConnectionTimeout:
            self._silent_until = time.monotonic() + PAUSE_SECONDS
            raise
