"""Runs rules in worker processes apart from the server: some stay warm, more are started while those are busy.

A process has nothing of the server's memory, environment or files. It is given a job as a line of JSON, may ask for
requests to listed hosts meanwhile, and is ended when its time is over; a login then hears a defined refusal.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

from app.context import Server
from app.errors import TemporarilyUnavailable
from app.rules import outgoing
from app.rules.process import Gone, Late, Process, Program, Script
from app.rules.rule import Denied, Effects, Failed, Seen, effects_of
from app.settings import Settings

log = logging.getLogger("belay.rules")

CPU_SECONDS = 1.0  # of all rules of one login
GRACE_SECONDS = 0.4  # after the budget, in which a process may say itself that it is over
RETIRE_CPU_SECONDS = 150  # after which a process is replaced by a fresh one; the kernel ends it at twice that
MOST_THREADS = 32  # for requests of rules, over all processes


@dataclass(frozen=True)
class Ended:
    """How a run ended, with what each rule did on the way."""

    outcome: Effects | Denied | Failed
    trace: tuple[dict[str, Any], ...] = ()


def run(server: Server, program: Program, seen: Seen, *, wants_trace: bool = False) -> Ended:
    """Run the rules for one login. Raises TemporarilyUnavailable when no process can be had in time."""
    pool = _pool_of(server)
    with server.gate.outside():
        return pool.run(program, seen, wants_trace=wants_trace)


def warm(server: Server) -> None:
    """Have a process ready before somebody waits for it. Raises TemporarilyUnavailable."""
    _pool_of(server).warm()


def find_problem(server: Server, source: str, kind: Literal["rule", "action"] = "rule") -> str | None:
    """Why a text is no rule or action, without running it. Raises TemporarilyUnavailable."""
    with server.gate.outside():
        ended = _pool_of(server).run(
            Program((Script("", source, kind),)),
            Seen({"user_id": ""}, {"request": {}}),
            wants_trace=False,
            is_check=True,
        )
    outcome = ended.outcome
    return None if isinstance(outcome, Effects) else outcome.message[:200] or outcome.why


def close(server: Server) -> None:
    """End the processes; they are started again when they are needed."""
    pool = server.running.pop("rules", None)
    if isinstance(pool, Pool):
        pool.close()


def _pool_of(server: Server) -> "Pool":
    found = server.running.get("rules")
    if not isinstance(found, Pool) or found.owner != os.getpid():  # a fork shares no pipes with its parent
        found = server.running["rules"] = Pool(server.settings)
    return found


class Pool:
    """The processes of one server process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._idle: list[Process] = []
        self._count = 0
        self._changed = threading.Condition()
        self._requests = threading.BoundedSemaphore(MOST_THREADS)
        self._is_open = True
        self.owner = os.getpid()

    def run(self, program: Program, seen: Seen, *, wants_trace: bool, is_check: bool = False) -> Ended:
        deadline = time.monotonic() + self._settings.rules_seconds
        with self._process(deadline) as process:
            try:
                return self._run(process, program, seen, deadline, wants_trace, is_check)
            except Late:
                process.kill()
                return Ended(Failed(process.rule, "timed_out"))
            except Gone:
                process.kill()
                return Ended(Failed(process.rule, "killed"))

    def close(self) -> None:
        with self._changed:
            self._is_open = False
            idle, self._idle = self._idle, []
        for process in idle:
            process.kill()

    def _run(
        self,
        process: Process,
        program: Program,
        seen: Seen,
        deadline: float,
        wants_trace: bool,
        is_check: bool,
    ) -> Ended:
        job = {
            "seen": vars(seen),
            "seconds": max(0.05, deadline - time.monotonic()),
            "cpu_seconds": CPU_SECONDS,
            "wants_trace": wants_trace,
            "is_check": is_check,
        }
        run = process.begin(program, job, deadline)
        while True:
            message = process.receive(deadline + GRACE_SECONDS)
            if "begun" in message and message.get("run") == run:
                process.rule = str(message["begun"])[:200]
            elif "request" in message and message.get("run") == run:
                self._ask(process, run, message["request"], deadline)
            elif "done" in message and message.get("run") == run:
                process.cpu_seconds = float(message.get("cpu_seconds", 0.0))
                return _ended(message["done"], str(seen.user["user_id"]))

    # --- requests of rules ---

    def _ask(self, process: Process, run: int, wanted: dict[str, Any], deadline: float) -> None:
        """Answer in a thread of its own: the rule goes on, and may stop waiting."""

        def answer() -> None:
            try:
                left = deadline - time.monotonic()
                found = {"id": wanted.get("id")} | outgoing.ask(self._settings, wanted, left)
                with suppress(Late, Gone):
                    process.send({"answer": found, "run": run}, deadline + GRACE_SECONDS)
            finally:
                self._requests.release()

        if self._requests.acquire(blocking=False):
            try:
                threading.Thread(target=answer, name="rule-request", daemon=True).start()
                return
            except RuntimeError:  # no thread to be had
                self._requests.release()
        process.send({"answer": {"id": wanted.get("id"), "error": "too_busy"}, "run": run}, deadline)

    # --- processes ---

    @contextmanager
    def _process(self, deadline: float) -> Iterator[Process]:
        process = self._take(deadline)
        try:
            yield process
        except BaseException:
            process.kill()
            raise
        finally:
            self._give_back(process)

    def _take(self, deadline: float) -> Process:
        with self._changed:
            while True:
                while self._idle:
                    process = self._idle.pop()
                    if process.is_alive:
                        return process
                    process.kill()
                    self._count -= 1
                if self._count < self._settings.rules_processes:
                    self._count += 1
                    break
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    raise TemporarilyUnavailable(reason="rules_busy")
        return self._start()

    def _start(self) -> Process:
        try:
            return Process()
        except (OSError, MemoryError) as error:
            with self._changed:
                self._count -= 1
                self._changed.notify()
            log.error("no process for rules can be started: %s", error)
            raise TemporarilyUnavailable(reason="rules_unavailable") from None

    def _give_back(self, process: Process) -> None:
        is_worn = process.cpu_seconds > RETIRE_CPU_SECONDS
        if is_worn or not self._is_open:
            process.kill()
        with self._changed:
            if process.is_alive:
                self._idle.append(process)
            else:
                self._count -= 1
            self._changed.notify()
        if not process.is_alive and self._is_open:
            with suppress(RuntimeError):
                threading.Thread(target=self._replace, name="rule-process", daemon=True).start()

    def _replace(self) -> None:
        with suppress(TemporarilyUnavailable):
            self.warm()

    def warm(self) -> None:
        """So that the next login finds one that has started. Raises TemporarilyUnavailable."""
        with self._changed:
            if self._idle or self._count >= self._settings.rules_processes:
                return
            self._count += 1
        self._give_back(self._start())


def _ended(done: dict[str, Any], user_id: str) -> Ended:
    trace = tuple(done.get("trace", ()))
    kind, rule = done.get("kind"), str(done.get("rule", ""))[:200]
    message = str(done.get("message", ""))
    if kind == "passed":
        outcome = effects_of(done, user_id)
        return Ended(outcome, trace)
    if kind in ("denied", "threw"):
        is_unauthorized = done.get("name") == "UnauthorizedError"
        return Ended(Denied(rule, is_unauthorized, message, kind), trace)
    return Ended(Failed(rule, str(done.get("why", "broken")), message), trace)
