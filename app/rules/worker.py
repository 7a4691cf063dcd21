"""The program of a worker process: runs rules and nothing else. Started by `app.rules.runtime`, never imported by it.

It gets jobs as lines of JSON and answers with lines of JSON. What a rule can reach is its own JavaScript context; what
a rule that broke out of that could reach is this process, which has no environment, no files, no network, no other
processes, little memory, and is ended from outside and by the kernel when it takes too long.
"""

import binascii
import contextlib
import ctypes
import importlib.machinery
import importlib.util
import json
import os
import resource
import select
import signal
import struct
import sys
import time
from typing import Any

CONTEXT_BYTES = 32 << 20
STACK_BYTES = 256 << 10
PROCESS_BYTES = 512 << 20
PROCESS_CPU_SECONDS = 300
READY_CONTEXTS = 4
RANDOM_BYTES = 256
MOST_LINE_BYTES = 16 << 20


def load_engine(path: str) -> Any:
    """The JavaScript engine, from its file alone: there is no way to other packages in this process."""
    loader = importlib.machinery.ExtensionFileLoader("_quickjs", path)
    spec = importlib.util.spec_from_file_location("_quickjs", path, loader=loader)
    assert spec is not None  # noqa: S101 - it was made from a loader
    engine = importlib.util.module_from_spec(spec)
    loader.exec_module(engine)
    return engine


def confine(address_space: int = PROCESS_BYTES) -> None:
    """Give up what rules never need: files, sockets, processes, memory without end."""
    limits = {
        resource.RLIMIT_NOFILE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_AS: address_space,
        resource.RLIMIT_CPU: PROCESS_CPU_SECONDS,
    }
    for kind, value in limits.items():
        resource.setrlimit(kind, (value, value))


# What a process that computes needs of the kernel, by machine: x86-64 and arm64. Opening, connecting, starting and
# looking at anything are not among them.
_CALLS = {
    "x86_64": (
        0xC000003E,
        (
            0,
            1,
            3,
            7,
            9,
            10,
            11,
            12,
            13,
            14,
            15,
            23,
            24,
            25,
            28,
            36,
            38,
            60,
            96,
            98,
            131,
            202,
            219,
            228,
            230,
            231,
        )
        + (270, 271, 318),
    ),
    "aarch64": (
        0xC00000B7,
        (
            57,
            63,
            64,
            72,
            73,
            93,
            94,
            98,
            102,
            103,
            113,
            115,
            124,
            128,
            132,
            134,
            135,
            139,
            165,
            169,
            214,
            215,
            216,
        )
        + (222, 226, 233, 278),
    ),
}
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001  # the second answers EPERM
_NO_NEW_PRIVILEGES, _SET_FILTER = 38, 22  # of prctl


def filter_calls() -> bool:
    """Let the kernel refuse every system call but a few (seccomp); False where it cannot."""
    arch, allowed = _CALLS.get(os.uname().machine, (0, ()))
    if not allowed:
        return False
    lines = [(_LOAD, 0, 0, 4), (_JUMP_IF_EQUAL, 1, 0, arch), (_RETURN, 0, 0, _REFUSE), (_LOAD, 0, 0, 0)]
    lines += [(_JUMP_IF_EQUAL, len(allowed) - at, 0, call) for at, call in enumerate(allowed)]
    lines += [(_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in lines))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(lines), ctypes.addressof(code)))
    prctl = ctypes.CDLL(None).prctl
    prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    if prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        return False
    return bool(prctl(_SET_FILTER, 2, ctypes.addressof(program), 0, 0) == 0)


class Failed(Exception):
    """A rule did not come to an end of its own."""

    def __init__(self, why: str, message: str = "") -> None:
        super().__init__(why)
        self.why, self.message = why, message


class Line:
    """The way to the server and back."""

    def __init__(self) -> None:
        self._read = b""

    def send(self, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode() + b"\n"
        while data:
            data = data[os.write(1, data) :]

    def receive(self, seconds: float | None = None) -> dict[str, Any] | None:
        """The next message; None when none came in time. Raises EOFError when the server is gone."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while b"\n" not in self._read:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not select.select([0], [], [], left)[0]:
                return None
            part = os.read(0, 1 << 16)
            if not part or len(self._read) > MOST_LINE_BYTES:
                raise EOFError
            self._read += part
        line, _, self._read = self._read.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found


class Machine:
    """Fresh contexts, prepared while nobody waits for them."""

    def __init__(self, engine: Any, prelude: str) -> None:
        self._engine, self._prelude = engine, prelude
        self._ready: list[tuple[Any, Any]] = []

    def take(self) -> tuple[Any, Any]:
        return self._ready.pop() if self._ready else self._make()

    def prepare(self) -> None:
        while len(self._ready) < READY_CONTEXTS:
            self._ready.append(self._make())

    def _make(self) -> tuple[Any, Any]:
        context = self._engine.Context()
        context.set_memory_limit(CONTEXT_BYTES)
        context.set_max_stack_size(STACK_BYTES)
        return context, context.eval(self._prelude)

    @property
    def exception(self) -> Any:
        return self._engine.JSException


class Run:
    """One rule of one login."""

    def __init__(self, machine: Machine, line: Line, job: dict[str, Any]) -> None:
        self._line, self._job = line, job
        self._context, self._step = machine.take()
        self._exception = machine.exception

    def of(self, rule: dict[str, Any], seen: dict[str, Any], loaded: "Loaded") -> dict[str, Any]:
        """How the rule ended. Raises Failed."""
        given = {
            "source": rule["script"],
            "kind": rule["kind"],
            "secrets": rule["secrets"],
            "configuration": loaded.configuration,
            "global": loaded.kept,
            "random": binascii.b2a_base64(os.urandom(RANDOM_BYTES), newline=False).decode(),
            "seen": seen,
            "is_check": self._job["is_check"],
        }
        self._call("start", json.dumps(given))
        while True:
            self._settle_jobs()
            look = json.loads(self._call("look", ""))
            if look["is_over"]:
                break
            for wanted in look["requests"]:
                self._line.send({"request": wanted, "run": self._job["run"]})
            if look["ran"]:
                continue
            if look["wait"] is None and not look["waits"]:
                raise Failed("never_called_back")
            self._wait(look["wait"])
        ended: dict[str, Any] = json.loads(self._call("end", ""))
        return ended

    def _wait(self, milliseconds: float | None) -> None:
        left = self._job["ends_at"] - time.monotonic()
        if left <= 0:
            raise Failed("timed_out")
        seconds = left if milliseconds is None else min(left, milliseconds / 1000)
        message = self._line.receive(seconds)
        if message is not None and message.get("run") == self._job["run"] and "answer" in message:
            self._call("settle", json.dumps(message["answer"]))

    def _settle_jobs(self) -> None:
        while True:
            self._limit()
            try:
                if not self._context.execute_pending_job():
                    return
            except self._exception as error:
                raise _failed(error) from None

    def _call(self, command: str, text: str) -> str:
        self._limit()
        try:
            return str(self._step(command, text))
        except self._exception as error:
            raise _failed(error) from None

    def _limit(self) -> None:
        left = min(self._job["cpu_ends_at"] - time.process_time(), self._job["ends_at"] - time.monotonic())
        if left <= 0:
            raise Failed("timed_out")
        self._context.set_time_limit(left)


def _failed(error: Exception) -> Failed:
    """Only what JavaScript cannot catch arrives here."""
    text = str(error)
    if "interrupted" in text[:40]:
        return Failed("timed_out")
    if "out of memory" in text[:60]:
        return Failed("out_of_memory")
    return Failed("broken", text[:300])


class Loaded:
    """The rules that logins pass at the moment, and what they keep in `global` from run to run."""

    def __init__(self, rules: list[dict[str, Any]], configuration: dict[str, str]) -> None:
        self.rules, self.configuration = rules, configuration
        self.kept: dict[str, Any] = {}


def run(machine: Machine, line: Line, loaded: Loaded, job: dict[str, Any]) -> dict[str, Any]:
    """All rules, one after the other; the first that does not pass ends it."""
    job["ends_at"] = time.monotonic() + job["seconds"]
    job["cpu_ends_at"] = time.process_time() + job["cpu_seconds"]
    seen, writes, trace = job["seen"], [], []
    result: dict[str, Any] = {"kind": "passed"}
    for rule in loaded.rules:
        started = time.monotonic()
        line.send({"begun": rule["name"], "run": job["run"]})  # in case that nothing more is heard
        try:
            ended = Run(machine, line, job).of(rule, seen, loaded)
        except Failed as failure:
            ended = {"kind": "failed", "why": failure.why, "message": failure.message}
        except (MemoryError, RecursionError):
            ended = {"kind": "failed", "why": "out_of_memory", "message": ""}
        except ValueError:  # not even its answer is JSON
            ended = {"kind": "failed", "why": "bad_answer", "message": ""}
        loaded.kept = ended.pop("kept", loaded.kept)
        milliseconds = round((time.monotonic() - started) * 1000, 2)
        told = {"rule": rule["name"], "milliseconds": milliseconds}
        if job.get("wants_trace"):
            told |= {name: ended.get(name) for name in ("lines", "dropped", "user", "context", "writes")}
        trace.append(told)
        if ended["kind"] != "passed":
            kept = {name: ended[name] for name in ("kind", "why", "name", "message") if name in ended}
            result = kept | {"rule": rule["name"]}
            break
        seen = seen | {"user": ended["user"], "context": ended["context"]}
        writes += ended["writes"]
    if result["kind"] == "passed":
        result |= {"user": seen["user"], "context": seen["context"], "writes": writes}
    return result | {"trace": trace}


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def serve(engine_path: str, prelude_paths: list[str]) -> None:
    prelude, modules, actions = map(_text, prelude_paths)
    for place, text in (("MODULES", modules), ("ACTIONS", actions)):
        prelude = prelude.replace(f"/*{place}*/''", json.dumps(text))
    machine = Machine(load_engine(engine_path), prelude)
    line = Line()
    json.loads(json.dumps({"warm": 1.5}))
    confine()
    is_filtered = filter_calls()
    machine.prepare()
    line.send({"ready": True, "is_filtered": is_filtered})
    loaded = Loaded([], {})
    while True:
        message = line.receive()
        if message is None or "answer" in message:  # too late: the run is over
            continue
        if "load" in message:
            loaded = Loaded(**message["load"])
            continue
        job = message["job"]
        # The kernel ends what neither the engine nor the server manages to interrupt.
        signal.setitimer(signal.ITIMER_PROF, job["cpu_seconds"] + 0.5)
        signal.setitimer(signal.ITIMER_REAL, job["seconds"] + 1)
        done = run(machine, line, loaded, job)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        line.send({"done": done, "run": job["run"], "cpu_seconds": time.process_time()})
        machine.prepare()


if __name__ == "__main__":
    with contextlib.suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        serve(sys.argv[1], sys.argv[2:5])
