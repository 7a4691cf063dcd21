"""Few inside at a time, and whoever is in a hurry goes first."""

import threading
from collections import deque


class Turnstile:
    """A place passes straight from who leaves to who has waited longest, so nobody slips in between.

    It is a courtesy and no lock: `enter` says after a while that there was no place, and the caller decides.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._lock = threading.Lock()
        self._hurried, self._patient = deque[threading.Lock](), deque[threading.Lock]()

    def enter(self, timeout: float, *, is_patient: bool = False) -> bool:
        """Wait at most `timeout` seconds for a place; patient ones wait behind all others."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            line = self._patient if is_patient else self._hurried
            turn = threading.Lock()
            turn.acquire()
            line.append(turn)
        if turn.acquire(timeout=timeout):
            return True
        with self._lock:
            if turn in line:
                line.remove(turn)
                return False
        return True  # it was given a place at the very last moment

    def leave(self) -> None:
        with self._lock:
            for line in (self._hurried, self._patient):
                if line:
                    line.popleft().release()
                    return
            self._free += 1
