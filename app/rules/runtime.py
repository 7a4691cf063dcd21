"""Runs rules in worker processes apart from the server: some stay warm, more are started while those are busy.

A process has nothing of the server's memory, environment or files. It is given a job as a line of JSON, may ask for
requests to listed hosts meanwhile, and is ended when its time is over; a login then hears a defined refusal.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from app.context import Server
from app.errors import TemporarilyUnavailable
from app.rules import outgoing
from app.rules.process import Gone, Kind, Late, Process, Program, Script
from app.rules.rule import Answered, Denied, Effects, Failed, Seen, answer_of, effects_of
from app.settings import Settings

log = logging.getLogger("belay.rules")

RULES, HOOKS = "rules", "hooks"  # the two pools
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
        done = pool.run(program, vars(seen), wants_trace=wants_trace)
    return _ended(done, str(seen.user["user_id"]))


def call(server: Server, program: Program, args: Sequence[object]) -> Answered | Denied | Failed:
    """Call a hook. Raises TemporarilyUnavailable when no process can be had in time.

    Its processes are not those of logins: a hook that waits for a gateway holds up no login.
    """
    pool = _pool_of(server, HOOKS)
    with server.gate.outside():
        done = pool.run(program, {"args": args})
    return _stopped(done) or answer_of(done)


def warm(server: Server) -> None:
    """Have a process ready before somebody waits for it. Raises TemporarilyUnavailable."""
    _pool_of(server).warm()


def find_problem(server: Server, source: str, kind: Kind = "rule") -> str | None:
    """Why a text is no rule or action, without running it. Raises TemporarilyUnavailable."""
    with server.gate.outside():
        done = _pool_of(server).run(
            Program((Script("", source, kind),)),
            vars(Seen({"user_id": ""}, {"request": {}})),
            is_check=True,
        )
    stopped = _stopped(done)
    return None if stopped is None else stopped.message[:200] or stopped.why


def close(server: Server) -> None:
    """End the processes; they are started again when they are needed."""
    for name in (RULES, HOOKS):
        pool = server.running.pop(name, None)
        if isinstance(pool, Pool):
            pool.close()


def _pool_of(server: Server, name: str = RULES) -> "Pool":
    found = server.running.get(name)
    if not isinstance(found, Pool) or found.owner != os.getpid():  # a fork shares no pipes with its parent
        found = server.running[name] = Pool(server.settings)
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
        self._runs_python = settings.python_rules is not None
        self.owner = os.getpid()

    def run(
        self, program: Program, seen: dict[str, Any], *, wants_trace: bool = False, is_check: bool = False
    ) -> dict[str, Any]:
        """What the process says of the run, or what is to be said of one that does not."""
        deadline = time.monotonic() + self._settings.rules_seconds
        self._runs_python = self._runs_python or any(script.kind == "python" for script in program.scripts)
        with self._process(deadline) as process:
            try:
                return self._run(process, program, seen, deadline, wants_trace, is_check)
            except Late:
                process.kill()
                return {"kind": "failed", "why": "timed_out", "rule": process.rule}
            except Gone:
                process.kill()
                return {"kind": "failed", "why": "killed", "rule": process.rule}

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
        seen: dict[str, Any],
        deadline: float,
        wants_trace: bool,
        is_check: bool,
    ) -> dict[str, Any]:
        job = {
            "seen": seen,
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
                done: dict[str, Any] = message["done"]
                return done

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
            return Process(runs_python=self._runs_python)
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
    return Ended(_stopped(done) or effects_of(done, user_id), tuple(done.get("trace", ())))


def _stopped(done: dict[str, Any]) -> Denied | Failed | None:
    """None for what came to its end."""
    kind, rule = done.get("kind"), str(done.get("rule", ""))[:200]
    message = str(done.get("message", ""))
    if kind == "passed":
        return None
    if kind in ("denied", "threw"):
        return Denied(rule, done.get("name") == "UnauthorizedError", message, kind)
    return Failed(rule, str(done.get("why", "broken")), message)
