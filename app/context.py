"""What is handed down: the server (as long as the process), and the context of one request."""

import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from app.crypto import Keyring, SealBroken, owner_of
from app.errors import TemporarilyUnavailable
from app.gate import Gate
from app.leaked_file import LeakedFile
from app.passwords import Passwords
from app.settings import Settings
from app.store import schema, signing_keys
from app.store.configuration import Configuration, Snapshot
from app.store.database import Database

P = ParamSpec("P")
T = TypeVar("T")

FREE_THREADS = 32  # of each worker, for requests that need no hash


@dataclass(frozen=True)
class Server:
    settings: Settings
    db: Database
    keyring: Keyring
    gate: Gate
    passwords: Passwords
    configuration: Configuration = field(default_factory=Configuration)
    messages_waiting: threading.Event = field(default_factory=threading.Event, repr=False)
    """Set when this process has written a message: its own worker need not wait for its next round."""
    leaks: dict[str, LeakedFile] = field(default_factory=dict, repr=False)
    """The offline file of leaked passwords by its path, as it was when somebody last looked."""
    private_keys: dict[str, object] = field(default_factory=dict, repr=False)
    """Opened signing keys by kid: a kid never gets another key, so an entry never goes stale."""
    running: dict[str, object] = field(default_factory=dict, repr=False)
    """What floors above keep running as long as this process, by their names."""


def open_server(settings: Settings) -> Server:
    """Open what a process needs. Makes the instance folder, and the key ring of a database that is still empty.

    Raises OSError or crypto.SealBroken when the ring cannot be read, errors.TemporarilyUnavailable without database.
    """
    settings.instance.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.stat(settings.instance).st_mode & 0o077:
        os.chmod(settings.instance, 0o700)
    slots = settings.instance / "gate"
    slots.mkdir(mode=0o700, exist_ok=True)
    places = waiting_threads(settings)
    db = _open_database(settings)
    try:
        keyring = _open_keyring(settings, db)
    except BaseException:
        db.dispose()
        raise
    # A request waits for PostgreSQL without using the interpreter: a second one can run meanwhile.
    running = 1 if db.is_sqlite else 2
    gate = Gate(slots, len(os.sched_getaffinity(0)), settings.hash_wait_seconds, places, running)
    passwords = Passwords(
        gate, memory_kib=settings.hash_memory_kib, passes=settings.hash_time, lanes=settings.hash_lanes
    )
    return Server(settings, db, keyring, gate, passwords)


def _open_keyring(settings: Settings, db: Database) -> Keyring:
    if not settings.keyring_path.exists():
        with db.read() as conn:
            is_empty = schema.current(conn) is None or not signing_keys.list_signers(conn)
        if is_empty:  # where secrets are sealed already, another ring would only hide that theirs is lost
            Keyring.create(settings.keyring_path)
    return Keyring(settings.keyring_path)


def waiting_threads(settings: Settings) -> int:
    """How many requests of a worker may wait for something at a time."""
    return max(1, settings.threads - FREE_THREADS)


def _open_database(settings: Settings) -> Database:
    db = Database(settings.database_url, sqlite_synchronous=settings.sqlite_synchronous)
    if db.is_sqlite:
        old_mask = os.umask(0o077)  # the file is created on first use
        try:
            with db.read():
                pass
        finally:
            os.umask(old_mask)
    return db


@dataclass
class Facts:
    """What is known of a request so far, for its one event."""

    realm: str | None = None
    client_id: str | None = None
    user_id: str | None = None
    user_name: str | None = None
    factor: str | None = None
    server_ip: str | None = None
    """The address of the back end that sent the request, where it named its end user's."""
    details: dict[str, object] = field(default_factory=dict)
    configuration: Snapshot | None = None
    success_event: str = "s"
    failure_event: str = "f"


@dataclass(frozen=True)
class Context:
    server: Server
    now: datetime
    """Aware UTC, read once a request: every comparison in it is with the same moment."""
    ip: str
    user_agent: str = ""
    request_id: str = ""
    language: str = "en"
    """In which the person shall be written to."""
    facts: Facts = field(default_factory=Facts)

    def look_up(
        self, conn: Connection, find: Callable[Concatenate[Connection, P], T], *args: P.args, **_: P.kwargs
    ) -> T:
        """What `find` finds in the configuration, from memory while nobody changed any; one version a request."""
        if self.facts.configuration is None:
            self.facts.configuration = self.server.configuration.as_of_now(conn)
        return self.facts.configuration.look_up(conn, find, *args)

    def open_secrets(self, table: str, row_id: str, sealed: str | None) -> dict[str, str]:
        """The secrets of a row; none where none are sealed.

        Raises TemporarilyUnavailable when the key ring does not open them.
        """
        if sealed is None:
            return {}
        try:
            opened = self.server.keyring.open(sealed, owner_of(table, row_id))
        except (SealBroken, OSError):
            raise TemporarilyUnavailable(reason="secret_unreadable") from None
        found: dict[str, str] = json.loads(opened)
        return found

    @property
    def db(self) -> Database:
        return self.server.db

    @property
    def settings(self) -> Settings:
        return self.server.settings

    @property
    def waiting_threads(self) -> int:
        return waiting_threads(self.server.settings)

    @property
    def issuer(self) -> str:
        return self.server.settings.issuer
