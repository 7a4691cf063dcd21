"""The database: its engine, and the two ways in. Queries live beside their tables, one file a family.

Two rules shape it (docs/decisions/0003): nothing holds a connection while hashing or signing, and a transaction is
written out where it happens, `with db.write() as conn`, so that what commits together can be seen.
"""

import fcntl
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from app.errors import TemporarilyUnavailable
from app.store import configuration

log = logging.getLogger("belay.store")

FIRST_PAUSE_SECONDS = 0.0002
STATEMENT_SECONDS = 2
WAIT_SECONDS = 3  # for a lock, a pooled connection, or one statement; then 503


class Database:
    """An engine with the two ways in: `read()` without a transaction, `write()` with a short one."""

    def __init__(self, url: str, *, sqlite_synchronous: str = "NORMAL") -> None:
        self.is_sqlite = make_url(url).get_backend_name() == "sqlite"
        # One writer at a time: SQLite's own wait is a sleep of up to 100 ms.
        self._writing = threading.Lock()
        self._lock_file: int | None = None
        if self.is_sqlite:
            self._path = Path(make_url(url).database or "")
            self.engine = create_engine(
                url,
                pool_size=64,  # a new connection costs three PRAGMAs
                max_overflow=0,
                pool_timeout=WAIT_SECONDS,
                connect_args={"timeout": WAIT_SECONDS, "check_same_thread": False},
            )
            _prepare_sqlite(self.engine, sqlite_synchronous)
            self._reading = self.engine
        else:
            self.engine = create_engine(
                url,
                pool_size=4,
                max_overflow=4,
                pool_timeout=WAIT_SECONDS,
                pool_pre_ping=True,
                connect_args={
                    "connect_timeout": 2,
                    "options": f"-c statement_timeout={STATEMENT_SECONDS}s -c lock_timeout={STATEMENT_SECONDS}s"
                    f" -c idle_in_transaction_session_timeout={WAIT_SECONDS * 3}s -c timezone=utc",
                    "keepalives_idle": 5,
                    "tcp_user_timeout": WAIT_SECONDS * 1000,
                },
            )
            # Its driver is loaded where it serves.
            from app.store.silence import Connecting  # noqa: PLC0415

            event.listen(self.engine, "do_connect", Connecting())
            self._reading = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        configuration.watch(self.engine)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for looking only; each statement sees the newest committed rows."""
        with _defined(), self._reading.connect() as conn:
            yield conn

    @contextmanager
    def write(self, *, is_migration: bool = False) -> Iterator[Connection]:
        """One transaction, committed when the block ends and rolled back when it raises.

        A migration of SQLite copies tables and drops the old ones; to foreign keys that would look like deletion.
        Raises TemporarilyUnavailable when the database is gone, locked, full or read-only.
        """
        if not self.is_sqlite:
            with _defined(), self.engine.begin() as conn:
                configuration.begin(conn)
                yield conn
                configuration.renew_if_touched(conn)
            return
        deadline = time.monotonic() + WAIT_SECONDS
        if not self._writing.acquire(timeout=WAIT_SECONDS):
            raise TemporarilyUnavailable(reason="database_locked")
        try:
            with (
                self._turn_among_processes(deadline),
                _defined(),
                self.engine.connect().execution_options(belay_write=True) as conn,
                _foreign_keys(conn, on=not is_migration),
                conn.begin(),
            ):
                configuration.begin(conn)
                yield conn
                configuration.renew_if_touched(conn)
        finally:
            self._writing.release()

    @contextmanager
    def _turn_among_processes(self, deadline: float) -> Iterator[None]:
        """A file lock for the workers among each other; whoever does not know of it still meets SQLite's own."""
        if self._lock_file is None:
            path = self._path.with_name(self._path.name + "-turn")
            try:
                self._lock_file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            except OSError as error:  # no descriptor left, no room for its name
                log.error("the turn to write cannot be taken: %s", error.strerror)
                raise TemporarilyUnavailable(reason="database_unavailable") from None
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TemporarilyUnavailable(reason="database_locked") from None
                time.sleep(pause)
                pause = min(pause * 2, 0.004)
        try:
            yield
        finally:
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    def dispose(self) -> None:
        self.engine.dispose()


@contextmanager
def _defined() -> Iterator[None]:
    """Every failure of the database is one answer; a mistake of ours stays a mistake."""
    try:
        yield
    except PoolTimeout as error:
        log.error("no database connection became free: %s", error.code)
        raise TemporarilyUnavailable(reason="database_busy") from error
    except (IntegrityError, ProgrammingError):
        raise
    except DBAPIError as error:
        # The driver's text only: SQLAlchemy's carries the parameters.
        log.error("the database did not answer: %s", str(error.orig).strip().replace("\n", " "))
        raise TemporarilyUnavailable(reason="database_unavailable") from None


@contextmanager
def _foreign_keys(conn: Connection, *, on: bool) -> Iterator[None]:
    """The switch has no effect inside a transaction, so it is thrown before."""
    if on:
        yield
        return
    driver: Any = conn.connection.driver_connection
    driver.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys=ON")


def _prepare_sqlite(engine: Engine, synchronous: str) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(driver: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
        driver.isolation_level = None  # transactions begin where we say so
        for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", "foreign_keys=ON"):
            driver.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def on_begin(conn: Connection) -> None:
        # IMMEDIATE: two writers that upgrade a read lock would both fail at once instead of waiting.
        if conn.get_execution_options().get("belay_write"):
            conn.exec_driver_sql("BEGIN IMMEDIATE")


def lock_installation(conn: Connection) -> None:
    """Two servers that start at once set up one after the other, until the transaction ends."""
    if conn.dialect.name == "postgresql":
        conn.execute(text("SELECT pg_advisory_xact_lock(2349)"))
