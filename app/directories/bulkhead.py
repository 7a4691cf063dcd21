"""Keeps what hangs to itself: a directory that does not answer must cost nobody else's realm a thread.

Each directory has a few places to be asked in and a few to wait in, all of them together have fewer than a worker
has threads, and a server that failed some times in a row is left alone for a while: then one request tries it, and
the others hear at once that it cannot be asked. It is a matter of one process; another one finds out for itself.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

MOST_AT_ONCE = 16  # of one realm; twice as many may wait for them
WAIT_SECONDS = 1.0
FAILURES = 3
REST_SECONDS = 5.0
MANY = 1000  # servers remembered: more than there are, unless somebody changes their addresses all day


class Full(Exception):
    """No place to ask from."""


@dataclass
class _Places:
    asking: threading.Semaphore
    waiting: threading.Semaphore


@dataclass
class _Health:
    failures: int = 0
    rests_until: float = 0.0
    """By the monotonic clock. Whoever comes after moves it on, and is the one who tries."""


class Bulkhead:
    def __init__(self) -> None:
        self._together: threading.Semaphore | None = None
        self._lock = threading.Lock()
        self._places: dict[str, _Places] = {}
        self._health: dict[str, _Health] = {}

    @contextmanager
    def place(self, realm_id: str, threads: int) -> Iterator[None]:
        """Where one request asks the directory of a realm; `threads` are those of a worker that may wait for something.

        Raises Full.
        """
        at_once = max(1, min(MOST_AT_ONCE, threads // 8))
        with self._lock:
            together = self._together = self._together or threading.Semaphore(max(2, threads // 2))
            places = self._places.get(realm_id)
            if places is None:
                places = _Places(threading.Semaphore(at_once), threading.Semaphore(3 * at_once))
                self._places[realm_id] = places
        if not places.waiting.acquire(blocking=False):
            raise Full
        try:
            if not together.acquire(blocking=False):
                raise Full
            try:
                if not places.asking.acquire(timeout=WAIT_SECONDS):
                    raise Full
                try:
                    yield
                finally:
                    places.asking.release()
            finally:
                together.release()
        finally:
            places.waiting.release()

    def may_ask(self, server: str) -> bool:
        """Whether a server is not left alone at the moment; of those who come after its rest, one may."""
        now = time.monotonic()
        with self._lock:
            health = self._health.get(server)
            if health is None or health.failures < FAILURES:
                return True
            if now < health.rests_until:
                return False
            health.rests_until = now + REST_SECONDS
            return True

    def answered(self, server: str) -> bool:
        """Whether it is back from being left alone."""
        with self._lock:
            health = self._health.pop(server, None)
            return health is not None and health.failures >= FAILURES

    def failed(self, server: str) -> bool:
        """Whether it is left alone from now on."""
        with self._lock:
            if len(self._health) >= MANY:
                self._health.clear()
            health = self._health.setdefault(server, _Health())
            health.failures += 1
            health.rests_until = time.monotonic() + REST_SECONDS
            return health.failures == FAILURES
