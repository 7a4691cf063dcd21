"""Runs rules in worker processes apart from the server: some stay warm, more are started while those are busy.

A process has nothing of the server's memory, environment or files. It is given a job as a line of JSON, may ask for
requests to listed hosts meanwhile, and is ended when its time is over; a login then hears a defined refusal.
"""

import importlib.util
import json
import logging
import os
import select
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from app.context import Server
from app.errors import TemporarilyUnavailable
from app.rules import outgoing
from app.rules.rule import Denied, Effects, Failed, Seen, effects_of
from app.settings import Settings

log = logging.getLogger("belay.rules")

CPU_SECONDS = 1.0  # of all rules of one login
GRACE_SECONDS = 0.4  # after the budget, in which a process may say itself that it is over
RETIRE_CPU_SECONDS = 150  # after which a process is replaced by a fresh one; the kernel ends it at twice that
MOST_BYTES = 4 << 20  # that one run may send
MOST_THREADS = 32  # for requests of rules, over all processes

_HERE = Path(__file__).parent
_SCRIPTS = ("prelude.js", "modules.js", "actions.js")
_ENGINE = importlib.util.find_spec("_quickjs")  # its file only: the engine is no part of this process
_FILES = [_HERE / "worker.py", _ENGINE and _ENGINE.origin, *(_HERE / name for name in _SCRIPTS)]
COMMAND = [sys.executable, "-I", "-S", *map(str, _FILES)]


@dataclass(frozen=True)
class Script:
    """A rule, or an action with the secrets that are its own."""

    name: str
    source: str = field(repr=False)
    kind: Literal["rule", "action"] = "rule"
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def loaded(self) -> dict[str, object]:
        return {"name": self.name, "script": self.source, "kind": self.kind, "secrets": dict(self.secrets)}


@dataclass(frozen=True, eq=False)
class Program:
    """Rules in their order and what they share: a process loads it once and runs it for many logins."""

    scripts: tuple[Script, ...]
    configuration: Mapping[str, str] = field(default_factory=dict, repr=False)


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


class _Late(Exception):
    """The process did not answer in time."""


class _Gone(Exception):
    """The process ended, or does not speak as it should."""


def _end(child: "subprocess.Popen[bytes]", owner: int) -> None:
    if os.getpid() != owner:
        return
    child.kill()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    child.wait()


class Process:
    def __init__(self) -> None:
        """Raises OSError."""
        self._child = subprocess.Popen(  # noqa: S603 - nothing of it is anybody's input
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"TZ": "UTC"},
            cwd="/",
            bufsize=0,
        )
        assert self._child.stdin is not None and self._child.stdout is not None  # noqa: S101 - they are pipes
        self._in, self._out = self._child.stdin.fileno(), self._child.stdout.fileno()
        os.set_blocking(self._in, False)
        self.end = weakref.finalize(self, _end, self._child, os.getpid())
        self._sending = threading.Lock()
        self._read, self._bytes_left = b"", MOST_BYTES
        self._runs = 0
        self._program: Program | None = None
        self.rule = ""
        """The one that runs, or ran last."""
        self.cpu_seconds = 0.0

    @property
    def is_alive(self) -> bool:
        return self.end.alive and self._child.poll() is None

    def kill(self) -> None:
        with self._sending:  # nobody writes to a number that meanwhile is another file's
            self.end()

    def begin(self, program: Program, job: dict[str, Any], deadline: float) -> int:
        """Raises _Late, _Gone."""
        if self._program is not program:
            rules = [script.loaded for script in program.scripts]
            self.send({"load": {"rules": rules, "configuration": dict(program.configuration)}}, deadline)
            self._program = program
        self._runs += 1
        self._bytes_left, self.rule = MOST_BYTES, ""
        self.send({"job": job | {"run": self._runs}}, deadline)
        return self._runs

    def send(self, message: dict[str, Any], deadline: float) -> None:
        """Raises _Late, _Gone."""
        data = memoryview(json.dumps(message).encode() + b"\n")
        with self._sending:
            if not self.end.alive:
                raise _Gone
            while data:
                try:
                    data = data[os.write(self._in, data) :]
                except BlockingIOError:
                    _wait_for(self._in, select.POLLOUT, deadline)
                except OSError:
                    raise _Gone from None

    def receive(self, deadline: float) -> dict[str, Any]:
        """Raises _Late, _Gone."""
        while b"\n" not in self._read:
            _wait_for(self._out, select.POLLIN, deadline)
            part = os.read(self._out, 1 << 16)
            self._read += part
            self._bytes_left -= len(part)
            if not part or self._bytes_left < 0:
                raise _Gone
        line, _, self._read = self._read.partition(b"\n")
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            raise _Gone from None
        if not isinstance(found, dict):
            raise _Gone
        return found


def _wait_for(descriptor: int, event: int, deadline: float) -> None:
    left = deadline - time.monotonic()
    poll = select.poll()
    poll.register(descriptor, event)
    if left <= 0 or not poll.poll(left * 1000):
        raise _Late


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
            except _Late:
                process.kill()
                return Ended(Failed(process.rule, "timed_out"))
            except _Gone:
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
                with suppress(_Late, _Gone):
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
