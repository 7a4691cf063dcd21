"""Nobody gets out of a rule, forges its end, or takes the server down with it."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from app.context import Server
from app.errors import TemporarilyUnavailable
from app.rules import runtime
from app.rules.process import Process
from app.rules.rule import Denied, Effects, Failed, Seen
from tests.evidence import report, size, within
from tests.rules.escapes import ASKING, EXHAUSTING, FORGING, PASS, REACHING
from tests.rules.running import CONTEXT, USER, program, rule_server, run

CANARY = "canary-" + os.urandom(8).hex()
SEPARATE = ("root:x:", "root:*:", "uid=", CANARY, "site-packages", "worker.py", "prelude.js")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("escapes")
    os.environ["BELAY_CANARY"] = CANARY
    hosts = ("listed.example.com",)
    try:
        with rule_server(folder, rules_seconds=1.0, rules_processes=4, rules_hosts=hosts) as found:
            yield found
    finally:
        del os.environ["BELAY_CANARY"]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Everything that worker processes say."""
    heard: list[Any] = []
    receive = Process.receive

    def hear(self: Process, deadline: float) -> dict[str, Any]:
        message = receive(self, deadline)
        heard.append(message)
        return message

    monkeypatch.setattr(Process, "receive", hear)
    return heard


def chosen(attempts: list[str], small: int) -> list[str]:
    """Some, spread over all of them; every one in `make evidence`."""
    step = max(1, len(attempts) // size(small, len(attempts)))
    return attempts[::step]


def in_parallel(server: Server, attempts: list[str]) -> list[tuple[str, object, float]]:
    def attempt(body: str) -> tuple[str, object, float]:
        started = time.monotonic()
        try:
            outcome: object = run(server, body).outcome
        except TemporarilyUnavailable as refusal:
            outcome = refusal.reason
        return body, outcome, time.monotonic() - started

    with ThreadPoolExecutor(3) as threads:
        return list(threads.map(attempt, attempts))


def test_there_are_enough_of_them() -> None:
    everything = [*REACHING, *FORGING, *EXHAUSTING, *ASKING]
    assert len(set(everything)) == len(everything) >= 150


def test_nothing_outside_is_reached(server: Server, answers: list[Any]) -> None:
    other = program(
        "globalThis.left_by_another = configuration.OTHER_SECRET; global.previous_secret = configuration.OTHER_SECRET;"
        "global.call = () => configuration.OTHER_SECRET; callback(null, user, context);",
        configuration={"OTHER_SECRET": CANARY},
    )
    for _ in range(4):
        runtime.run(server, other, Seen(USER, CONTEXT))
    answers.clear()
    attempts = chosen(REACHING, len(REACHING))
    for body, outcome, seconds in in_parallel(server, attempts):
        assert isinstance(outcome, Effects | Denied | Failed), (body, outcome)
        assert seconds < server.settings.rules_seconds + within(1), body
    told = str(answers)
    assert not [word for word in SEPARATE if word in told]
    assert isinstance(run(server, PASS).outcome, Effects)
    report("rules: reaching out", tried=f"{len(attempts)} attempts", held="nothing found")


def test_no_refusal_is_forged_into_a_yes(server: Server) -> None:
    for body in FORGING:
        outcome = run(server, body).outcome
        assert isinstance(outcome, Denied | Failed), (body, outcome)
    report("rules: forging the end", tried=f"{len(FORGING)} attempts", held="none passed")


def test_exhaustion_ends_in_time_and_spares_the_others(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "CPU_SECONDS", 0.15)
    attempts = chosen(EXHAUSTING, 15)
    beside: list[tuple[object, float]] = []
    is_over = threading.Event()

    def go_on() -> None:
        while not is_over.is_set():
            started = time.monotonic()
            beside.append((run(server, PASS).outcome, time.monotonic() - started))
            is_over.wait(0.02)

    before = [_timed(server) for _ in range(30)]
    others = threading.Thread(target=go_on)
    others.start()
    for body, outcome, seconds in in_parallel(server, attempts):
        assert isinstance(outcome, Denied | Failed), (body, outcome)
        assert seconds < server.settings.rules_seconds + within(1), (body, seconds)
    is_over.set()
    others.join()
    assert all(isinstance(outcome, Effects) for outcome, _ in beside)
    alone, during = _p95(before), _p95([seconds for _, seconds in beside])
    held = f"rules of others p95 {alone * 1000:.1f} ms alone, {during * 1000:.1f} ms beside"
    report("rules: exhaustion, 3 at a time on 4 processes", tried=f"{len(attempts)} attempts", held=held)


def _timed(server: Server) -> float:
    started = time.monotonic()
    run(server, PASS)
    return time.monotonic() - started


def _p95(seconds: list[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.95) - 1]


def test_no_request_goes_where_it_may_not(server: Server, answers: list[Any]) -> None:
    with socket.socket() as trap:
        trap.bind(("127.0.0.1", 0))
        trap.listen()
        trap.settimeout(0)
        port = trap.getsockname()[1]
        attempts = [body.replace("{port}", str(port)) for body in ASKING]
        for body, outcome, seconds in in_parallel(server, attempts):
            assert isinstance(outcome, Effects | Denied | Failed), (body, outcome)
            assert seconds < server.settings.rules_seconds + within(1), body
        with pytest.raises(BlockingIOError):
            trap.accept()
    report("rules: forbidden requests", tried=f"{len(attempts)} attempts", held="0 connections")


def test_the_server_is_as_it_was(server: Server, tmp_path: Path) -> None:
    assert isinstance(run(server, PASS).outcome, Effects)
    assert not list(tmp_path.iterdir())
    assert len([thread for thread in threading.enumerate() if thread.name == "rule-request"]) <= 32
