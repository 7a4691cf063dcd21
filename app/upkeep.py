"""What a serving process does beside answering: it works off jobs, and removes dead rows, a small batch at a time."""

import ctypes
import logging
import random
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime

from app import rehearsal
from app.accounts import jobs
from app.context import Server
from app.errors import Refusal
from app.rules import runtime
from app.store import outbox, prune, refresh_families, rules
from app.store.refresh_families import LONGEST_LEEWAY

log = logging.getLogger("belay.upkeep")

EVERY_SECONDS = 60.0
JOBS_EVERY_SECONDS = 1.0  # one look at an index that is empty as a rule
BATCHES_A_ROUND = 20  # of each kind: more rows than any limit lets strangers make meanwhile
PAUSE_SECONDS = 0.05


def prune_all(server: Server, now: datetime) -> dict[str, int]:
    """Remove everything that is dead, in batches; returns the rows removed by table."""
    removed: dict[str, int] = {}
    for step in range(prune.steps(now)):
        gone = prune.BATCH
        while gone == prune.BATCH:
            table, gone = _step(server, step, now)
            removed[table] = removed.get(table, 0) + gone
    return removed


def prune_round(server: Server, now: datetime) -> None:
    """What a serving process removes each minute, with pauses in which logins go first."""
    for step in range(prune.steps(now)):
        for _ in range(BATCHES_A_ROUND):
            _, gone = _step(server, step, now)
            if gone < prune.BATCH:
                break
            time.sleep(PAUSE_SECONDS)


def _step(server: Server, step: int, now: datetime) -> tuple[str, int]:
    with server.db.write() as conn:
        return prune.prune_step(conn, step, now)


M_ARENA_MAX = -8  # glibc's malloc.h


def start(server: Server) -> None:
    # Hundreds of threads would keep hundreds of heaps. Only glibc knows the word; elsewhere nothing happens.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)
    threading.Thread(target=_run, args=(server,), name="upkeep", daemon=True).start()


def _run(server: Server) -> None:
    due = _next_prune()
    with suppress(Refusal):
        _warm_rules(server)
    while True:
        time.sleep(JOBS_EVERY_SECONDS)
        try:
            while jobs.work_off(server, {"mfa_rehearsal": rehearsal.work}):
                pass
            if time.monotonic() < due:
                continue
            due = _next_prune()
            now = datetime.now(UTC)
            prune_round(server, now)
            with server.db.write() as conn:
                refresh_families.forget_successors(conn, now - LONGEST_LEEWAY)
                outbox.drop_hopeless(conn, now)
        except Refusal as refusal:
            log.warning("upkeep was put off: %s", refusal.reason)


def _warm_rules(server: Server) -> None:
    """The first login after a start is not the one that waits for a process."""
    with server.db.read() as conn:
        has_rules = bool(rules.get_rule_set(conn).names) or server.settings.python_rules is not None
    if has_rules:
        runtime.warm(server)


def _next_prune() -> float:
    """Spread over the processes, so that they do not all wait for the same lock."""
    return time.monotonic() + EVERY_SECONDS * random.uniform(0.5, 1.5)  # noqa: S311 - not a secret
