"""What the product is compared with: hashing alone, commits alone, and Flask handlers that do next to nothing.

`python -m bench.reference NAME PORT WORKERS THREADS` serves a handler with the product's server settings.
"""

import sys
import threading
import time
from datetime import UTC, datetime
from typing import Literal

from argon2 import PasswordHasher
from flask import Flask, request
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings

from app.cli.server import MAX_HEADER_BYTES
from app.settings import DEFAULT_HASH_MEMORY_KIB, DEFAULT_HASH_TIME
from app.store.database import Database
from app.store.events import Event, add_event

HASHER = PasswordHasher(time_cost=DEFAULT_HASH_TIME, memory_cost=DEFAULT_HASH_MEMORY_KIB, parallelism=1)
PASSWORD = "correct horse battery staple"


def bare() -> Flask:
    """JSON in, JSON out."""
    app = Flask("bare")

    @app.post("/")
    def handle() -> dict[str, object]:
        return {"answer": request.get_json()["question"]}

    return app


def bare_hash() -> Flask:
    """One password verified, and nothing else."""
    app = Flask("bare_hash")
    stored = HASHER.hash(PASSWORD)

    @app.post("/")
    def handle() -> dict[str, object]:
        return {"answer": HASHER.verify(stored, request.get_json()["question"])}

    return app


def hash_for(threads: int, seconds: float) -> tuple[float, list[float]]:
    """So many threads verify together. Returns the time that they took on average, and that of each hash."""
    stored = HASHER.hash(PASSWORD)
    clock = time.perf_counter
    hashes: list[float] = []
    took: list[float] = []
    started = clock()

    def run() -> None:
        now = clock()
        while now < started + seconds:
            HASHER.verify(stored, PASSWORD)
            before, now = now, clock()
            hashes.append(now - before)
        took.append(now - started)

    running = [threading.Thread(target=run) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sum(took) / threads, hashes


def commit_for(url: str, synchronous: Literal["NORMAL", "FULL"], seconds: float) -> tuple[float, list[float]]:
    """One row of the audit log a transaction, one after the other, through the product's own engine.

    FULL waits for the disk on SQLite too. PostgreSQL does as its server is set up, whatever is asked for here.
    """
    db = Database(url, sqlite_synchronous=synchronous)
    clock = time.perf_counter
    commits: list[float] = []
    try:
        _commit(db)  # the first one opens the connection
        started = now = clock()
        while now < started + seconds:
            _commit(db)
            before, now = now, clock()
            commits.append(now - before)
        return now - started, commits
    finally:
        db.dispose()


def _commit(db: Database) -> None:
    event = Event(datetime.now(UTC), "bench", "", "127.0.0.1", "bench")
    with db.write() as conn:
        add_event(conn, event)


def main(name: str, port: int, workers: int, threads: int) -> None:
    Granian(
        f"bench.reference:{name}",
        factory=True,
        interface=Interfaces.WSGI,
        address="127.0.0.1",
        port=port,
        workers=workers,
        blocking_threads=threads,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(max_buffer_size=MAX_HEADER_BYTES, header_read_timeout=10_000),
        backlog=1024,
        log_enabled=True,
        log_level="warning",  # type: ignore[arg-type]
        workers_kill_timeout=10,
    ).serve()


if __name__ == "__main__":
    main(sys.argv[1], *(int(number) for number in sys.argv[2:5]))
