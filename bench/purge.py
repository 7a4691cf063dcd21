"""How fast the product removes what has run out, and how long a single transaction of it keeps writers waiting.

The product's own steps (`app.store.prune`, and what `app.upkeep` does beside them), called in this process while no
server runs. The time of a transaction begins when it holds the lock and ends when it is committed.
"""

import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from statistics import median

from sqlalchemy import Connection

from app.context import Server
from app.store import prune, refresh_families
from app.store.refresh_families import LONGEST_LEEWAY
from bench.crowd import dead_rows, insert_rows, parts
from bench.seeding import API, Ground

SUCCESSORS = "sealed successors"
LATER_PASSES = 4  # that find nothing: what looking costs, more often than once


def add_dead(server: Server, ground: Ground, user_ids: list[str], now: datetime) -> None:
    """For each of these people two rows that have run out."""
    for part in parts(dead_rows(ground.realm, ground.client, API, user_ids, now)):
        for table in {table for table, _ in part}:
            insert_rows(server, table, (row for its, row in part if its is table))


def purge(server: Server, now: datetime) -> dict[str, float]:
    """Remove all that is dead. Returns the speed; the longest transaction; and the median one of the slowest step.

    The longest is what the goal speaks of. Where it stands far above the median, the machine was busy elsewhere.
    """
    held: dict[str, list[float]] = {}
    removed = _pass(server, now, held)
    seconds = sum(map(sum, held.values()))
    for _ in range(LATER_PASSES):
        _pass(server, now, held)
    locks = {f"lock of {name} ms": median(times) * 1000 for name, times in held.items()}
    return {
        "purged rows": float(removed),
        "purged a second": removed / seconds,
        "longest lock ms": max(map(max, held.values())) * 1000,
        "slowest step ms": max(locks.values()),
    } | locks


def _pass(server: Server, now: datetime, held: dict[str, list[float]]) -> int:
    """Every step until it finds nothing more; adds the time of each transaction. Returns the rows removed."""
    removed = 0
    for step in range(prune.steps(now)):
        gone = prune.BATCH
        while gone == prune.BATCH:
            gone = _timed(server, partial(_prune, step=step, now=now), held)
            removed += gone
    return removed + _timed(server, partial(_forget, now=now), held)


def _timed(
    server: Server, work: Callable[[Connection], tuple[str, int]], held: dict[str, list[float]]
) -> int:
    with server.db.write() as conn:
        began = time.perf_counter()
        name, gone = work(conn)
    held.setdefault(name, []).append(time.perf_counter() - began)
    return gone


def _prune(conn: Connection, *, step: int, now: datetime) -> tuple[str, int]:
    table, gone = prune.prune_step(conn, step, now)
    return f"{table} (step {step})", gone


def _forget(conn: Connection, *, now: datetime) -> tuple[str, int]:
    refresh_families.forget_successors(conn, now - LONGEST_LEEWAY)
    return SUCCESSORS, 0
