"""The gate: at most one password hash per core over all worker processes, and few requests running at a time.

Hashes beyond the cores only slow each other down (memory bandwidth), and every thread that ever hashed keeps its
19 MiB. So a few threads of each process do all hashing, and each holds one of the machine's slots, a locked file,
while it does: the lock of a process that dies is released by the kernel. Waiting is bounded in time.

A worker needs many threads, because logins wait; but many threads that run at once take the interpreter's lock from
each other and get a third less done. So a request runs `inside`, where only a few are at a time, and steps out while
it waits for its hash. Logins are patient: in a flood of them, those who need no hash go in first. It is a courtesy
and no lock: after a moment a request goes in anyway, so that a slow database never holds up those who do not need it.

Hashes are taken in turns of the clients that ask for them, and of the addresses of each.
"""

import fcntl
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from app.fair_queue import FairQueue, Places, Whose
from app.turnstile import Turnstile

log = logging.getLogger("belay.gate")

T = TypeVar("T")

POLL_SECONDS = 0.001  # a slot passes between processes at most this late: a tenth of one hash
COURTESY_SECONDS = 0.05  # how long a request waits for the others inside before it goes in regardless
PATIENCE_SECONDS = 0.5  # the same for a login: what a worker needs when it is full of them
NICENESS = 10  # of the threads that hash: a hash takes what processor time the requests leave
TURNS = 8  # hashes in a row on one slot before other processes get their chance


class GateFull(Exception):
    """No turn to hash within the allowed time, or no place to wait for one."""


class Gate:
    def __init__(self, folder: Path, slots: int, wait_seconds: float, places: int, inside: int = 1) -> None:
        """`places`: how many may wait here at a time; below the number of a worker's threads, so that requests
        which need no hash always find one; the last places are for those who hold few. `inside`: how many requests
        run at a time.
        """
        self._places = Places(places)
        self._inside = Turnstile(inside)
        self._thread = threading.local()
        self._files = [folder / f"slot-{number}" for number in range(slots)]
        self._wait_seconds = wait_seconds
        self._jobs: FairQueue[tuple[Future[Any], Callable[[], Any]]] = FairQueue()
        self._owner = self._threads = 0
        self._starting = threading.Lock()

    @contextmanager
    def inside(self, *, is_patient: bool = False) -> Iterator[None]:
        """Where a request runs."""
        self._thread.is_patient, self._thread.whose = is_patient, Whose()
        self._enter()
        try:
            yield
        finally:
            self._leave()

    def is_asked_by(self, client: str, address: str) -> None:
        """Whose the rest of this request is: those who ask much wait for each other, not the others for them."""
        self._thread.whose = Whose(client, address)

    def _whose(self) -> Whose:
        found: Whose = getattr(self._thread, "whose", Whose())
        return found

    def _enter(self) -> None:
        is_patient = getattr(self._thread, "is_patient", False)
        timeout = PATIENCE_SECONDS if is_patient else COURTESY_SECONDS
        self._thread.is_inside = self._inside.enter(timeout, is_patient=is_patient)

    def _leave(self) -> bool:
        was_inside = getattr(self._thread, "is_inside", False)
        self._thread.is_inside = False
        if was_inside:
            self._inside.leave()
        return was_inside

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Where a request waits; it goes back in only if it was inside."""
        was_inside = self._leave()
        try:
            yield
        finally:
            if was_inside:
                self._enter()

    def run(self, work: Callable[[], T]) -> T:
        """Do the work in its turn. Raises GateFull when no turn came in time or too many wait already."""
        with self.waiting():
            return self._take_turn(work)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A place to wait in, outside. Raises GateFull when none is free."""
        whose = self._whose()
        if not self._places.take(whose):
            raise GateFull
        try:
            with self.outside():
                yield
        finally:
            self._places.give_back(whose)

    def _take_turn(self, work: Callable[[], T]) -> T:
        self._start()
        turn: Future[T] = Future()
        self._jobs.put(self._whose(), (turn, work))
        try:
            return turn.result(timeout=self._wait_seconds)
        except TimeoutError:
            if turn.cancel():
                raise GateFull from None
            return turn.result()  # it has begun: one hash more to wait

    def _start(self) -> None:
        """Threads do not survive a fork, so they are started in the process that uses them.

        Raises GateFull when there is no thread or no descriptor to be had; the next request tries again.
        """
        if self._owner == os.getpid() and self._threads == len(self._files):
            return
        with self._starting:
            if self._owner != os.getpid():
                self._threads = 0
                self._owner = os.getpid()
            try:
                while self._threads < len(self._files):
                    self._start_one(self._threads)
                    self._threads += 1
            except (OSError, RuntimeError) as error:
                log.error("nothing can be hashed: %s", error)
                raise GateFull from None

    def _start_one(self, number: int) -> None:
        # Processes begin at different slots: as many workers as cores then seldom meet.
        first = (number + os.getpid()) % len(self._files)
        slots: list[int] = []
        try:
            for file in self._files[first:] + self._files[:first]:
                slots.append(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
            threading.Thread(target=self._serve, args=(slots,), name="hash", daemon=True).start()
        except (OSError, RuntimeError):
            for slot in slots:
                os.close(slot)
            raise

    def _serve(self, slots: list[int]) -> None:
        with suppress(OSError):  # where a thread has no priority of its own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        while True:
            turn, work = self._jobs.get()
            held = _take(slots, turn)
            if held is None:
                continue
            try:
                _do(turn, work)
                for _ in range(TURNS):
                    try:
                        turn, work = self._jobs.get_nowait()
                    except queue.Empty:
                        break
                    _do(turn, work)
            finally:
                fcntl.flock(held, fcntl.LOCK_UN)
            if not self._jobs.empty():
                time.sleep(2 * POLL_SECONDS)  # let another process see the free slot


def _take(slots: list[int], turn: Future[Any]) -> int | None:
    """Lock the first free slot; None when whoever asked has gone away meanwhile."""
    while not turn.cancelled():
        for slot in slots:
            try:
                fcntl.flock(slot, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            return slot
        time.sleep(POLL_SECONDS)
    return None


def _do(turn: Future[Any], work: Callable[[], Any]) -> None:
    if not turn.set_running_or_notify_cancel():
        return
    try:
        turn.set_result(work())
    except BaseException as error:  # whatever it is belongs to the caller, and this thread must live
        turn.set_exception(error)
