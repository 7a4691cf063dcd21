"""What the product is compared with: hashing alone, and Flask handlers that do next to nothing.

`python -m bench.reference NAME PORT WORKERS THREADS` serves a handler with the product's server settings.
"""

import sys
import threading
import time

from argon2 import PasswordHasher
from flask import Flask, request
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings

from app.cli.server import MAX_HEADER_BYTES
from app.settings import DEFAULT_HASH_MEMORY_KIB, DEFAULT_HASH_TIME

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
