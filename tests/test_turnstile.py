"""The turnstile: few inside, the hurried first, and nobody is shut out for good."""

import threading
import time
from pathlib import Path

from app.gate import Gate
from app.turnstile import Turnstile
from tests.test_gate import until


def arrive(turnstile: Turnstile, name: str, entered: list[str], *, is_patient: bool) -> threading.Thread:
    """Somebody who waits, goes in and comes out at once."""

    def walk() -> None:
        assert turnstile.enter(10, is_patient=is_patient)
        entered.append(name)
        turnstile.leave()

    thread = threading.Thread(target=walk)
    thread.start()
    return thread


def in_line(turnstile: Turnstile, count: int) -> bool:
    return len(turnstile._hurried) + len(turnstile._patient) == count


def test_the_hurried_go_first_and_each_kind_in_its_order() -> None:
    turnstile, entered = Turnstile(1), list[str]()
    assert turnstile.enter(1)
    threads = []
    for number, (name, is_patient) in enumerate(
        {"login": True, "refresh": False, "second login": True, "second refresh": False}.items()
    ):
        threads.append(arrive(turnstile, name, entered, is_patient=is_patient))
        until(lambda number=number: in_line(turnstile, number + 1))
    turnstile.leave()
    for thread in threads:
        thread.join()
    assert entered == ["refresh", "second refresh", "login", "second login"]


def test_whoever_waited_in_vain_leaves_the_line_and_no_place_is_lost() -> None:
    turnstile = Turnstile(2)
    assert turnstile.enter(1) and turnstile.enter(1)
    assert not turnstile.enter(0.01) and not turnstile.enter(0.01, is_patient=True)
    turnstile.leave()
    turnstile.leave()
    assert turnstile.enter(0) and turnstile.enter(0)
    assert not turnstile.enter(0.01)


def test_a_place_given_at_the_moment_of_giving_up_is_kept() -> None:
    turnstile, inside, most = Turnstile(1), 0, 0
    lock = threading.Lock()

    def walk() -> None:
        nonlocal inside, most
        for _ in range(200):
            if turnstile.enter(0.0002):
                with lock:
                    inside += 1
                    most = max(most, inside)
                time.sleep(0.0001)
                with lock:
                    inside -= 1
                turnstile.leave()

    threads = [threading.Thread(target=walk) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert turnstile.enter(0), "the place came back"


def test_a_request_goes_in_regardless_of_one_that_is_stuck(tmp_path: Path) -> None:
    gate = Gate(tmp_path, 1, 1, 1)
    with gate.inside():
        others = [threading.Thread(target=enter_and_leave, args=(gate, patient)) for patient in (True, False)]
        for other in others:
            other.start()
        for other in others:
            other.join(5)
            assert not other.is_alive()


def enter_and_leave(gate: Gate, is_patient: bool) -> None:
    with gate.inside(is_patient=is_patient):
        pass
