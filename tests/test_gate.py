"""The gate: as many at a time as there are slots, over processes; waiting is bounded in time and number."""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.gate import Gate, GateFull


class Work:
    """Something that takes as long as the test wants, and knows how many do it at once."""

    def __init__(self) -> None:
        self.lock, self.release = threading.Lock(), threading.Event()
        self.running = self.most = 0

    def __call__(self) -> int:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.release.wait(10)
        with self.lock:
            self.running -= 1
        return os.getpid()


@pytest.fixture
def work() -> Iterator[Work]:
    work = Work()
    yield work
    work.release.set()


def in_threads(count: int, gate: Gate, work: Work) -> list[threading.Thread]:
    threads = [threading.Thread(target=gate.run, args=(work,)) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def until(condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_no_more_run_at_once_than_there_are_slots(tmp_path: Path, work: Work) -> None:
    gate = Gate(tmp_path, 2, 10, 100)
    threads = in_threads(8, gate, work)
    until(lambda: work.running == 2)
    work.release.set()
    for thread in threads:
        thread.join()
    assert work.most == 2


def test_a_slot_that_another_process_holds_is_not_taken(tmp_path: Path, work: Work) -> None:
    work.release.set()
    gate = Gate(tmp_path, 1, 0.1, 100)
    assert gate.run(work) == os.getpid()
    other = os.open(tmp_path / "slot-0", os.O_RDWR)  # a description of its own, as another process has
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(GateFull):
        gate.run(work)
    fcntl.flock(other, fcntl.LOCK_UN)
    assert gate.run(work) == os.getpid()
    os.close(other)


def test_waiting_ends_after_the_allowed_time(tmp_path: Path, work: Work) -> None:
    gate = Gate(tmp_path, 1, 0.2, 100)
    [first] = in_threads(1, gate, work)
    until(lambda: work.running == 1)
    started = time.monotonic()
    with pytest.raises(GateFull):
        gate.run(lambda: None)
    assert 0.15 < time.monotonic() - started < 5
    work.release.set()
    first.join()


def test_only_so_many_may_wait(tmp_path: Path, work: Work) -> None:
    gate = Gate(tmp_path, 1, 10, 3)
    threads = in_threads(3, gate, work)
    until(lambda: work.running == 1)
    with pytest.raises(GateFull):
        gate.run(lambda: None)
    work.release.set()
    for thread in threads:
        thread.join()


def test_a_failure_belongs_to_the_caller_and_the_gate_goes_on(tmp_path: Path) -> None:
    gate = Gate(tmp_path, 1, 5, 10)
    with pytest.raises(ZeroDivisionError):
        gate.run(lambda: 1 // 0)
    assert gate.run(lambda: 7) == 7
