"""The program of a worker process: runs rules and nothing else. Started by `app.rules.runtime`, never imported by it.

It gets jobs as lines of JSON and answers with lines of JSON. What a rule can reach is its own JavaScript context; what
a rule that broke out of that could reach is this process, which has no environment, no files, no network, no other
processes, little memory, and is ended from outside and by the kernel when it takes too long.
"""

import binascii
import contextlib
import importlib.machinery
import importlib.util
import json
import os
import select
import signal
import sys
import time
from typing import Any

CONTEXT_BYTES = 32 << 20
STACK_BYTES = 256 << 10
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


def load_beside(name: str) -> Any:
    """A file of this folder, which is no package here."""
    spec = importlib.util.spec_from_file_location(name, os.path.join(os.path.dirname(__file__), f"{name}.py"))
    assert spec is not None and spec.loader is not None  # noqa: S101 - it was made from a file
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


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


class Requests:
    """What one rule of one run asks the server for. An answer that an earlier rule did not wait for is none of its."""

    def __init__(self, line: Line, run: int, rule: int) -> None:
        self._line, self._run, self._rule = line, run, rule

    def send(self, wanted: dict[str, Any]) -> None:
        self._line.send({"request": wanted | {"id": [self._rule, wanted["id"]]}, "run": self._run})

    def receive(self, seconds: float) -> dict[str, Any] | None:
        """An answer, if one came in time."""
        message = self._line.receive(seconds)
        answer = message.get("answer") if message is not None and message.get("run") == self._run else None
        if answer is None or answer["id"][0] != self._rule:
            return None
        return dict(answer) | {"id": answer["id"][1]}


class Run:
    """One rule of one login."""

    def __init__(self, machine: Machine, requests: Requests, job: dict[str, Any], number: int) -> None:
        self._requests, self._job, self._number = requests, job, number
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
            "seen": seen | {"ran": [before["id"] for before in loaded.rules[: self._number]]},
            "is_check": self._job["is_check"],
        }
        self._call("start", json.dumps(given))
        while True:
            self._settle_jobs()
            look = json.loads(self._call("look", ""))
            if look["is_over"]:
                break
            for wanted in look["requests"]:
                self._requests.send(wanted)
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
        answer = self._requests.receive(seconds)
        if answer is not None:
            self._call("settle", json.dumps(answer))

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
        self._trusted: dict[int, Any] = {}

    def trusted(self, number: int, trusted: Any) -> Any:
        """The Python rule of that number; its file is run once. Raises Failed."""
        if number not in self._trusted:
            rule = self.rules[number]
            try:
                self._trusted[number] = trusted.Rule(rule["name"], rule["script"])
            except BaseException as error:
                text = f"{type(error).__name__}: {error}"
                raise Failed("not_compiled", text[:300]) from None
        return self._trusted[number]


def run_trusted(
    trusted: Any, loaded: Loaded, number: int, requests: Requests, job: dict[str, Any], seen: dict[str, Any]
) -> dict[str, Any]:
    """How a Python rule ended. Raises Failed."""
    rule = loaded.trusted(number, trusted)
    if job["is_check"]:
        return {"kind": "passed", "user": seen["user"], "context": seen["context"], "writes": []}
    ids = iter(range(1 << 30))

    def ask(wanted: dict[str, Any]) -> dict[str, Any]:
        asked = next(ids)
        requests.send(wanted | {"id": asked})
        while (left := job["ends_at"] - time.monotonic()) > 0:
            answer = requests.receive(left)
            if answer is not None and answer["id"] == asked:
                return answer
        raise trusted.OutOfTime

    left = min(job["cpu_ends_at"] - time.process_time(), job["ends_at"] - time.monotonic())
    if left <= 0:
        raise Failed("timed_out")
    shared = {"configuration": loaded.configuration, "cache": loaded.kept}
    ended: dict[str, Any] = trusted.run(rule, seen, shared, ask, left)
    return ended


def run(machine: Machine, trusted: Any, line: Line, loaded: Loaded, job: dict[str, Any]) -> dict[str, Any]:
    """All rules, one after the other; the first that does not pass ends it."""
    job["ends_at"] = time.monotonic() + job["seconds"]
    job["cpu_ends_at"] = time.process_time() + job["cpu_seconds"]
    seen, writes, trace = job["seen"], [], []
    result: dict[str, Any] = {"kind": "passed"}
    for number, rule in enumerate(loaded.rules):
        started = time.monotonic()
        requests = Requests(line, job["run"], number)
        line.send({"begun": rule["name"], "run": job["run"]})  # in case that nothing more is heard
        try:
            if rule["kind"] == "python":
                ended = run_trusted(trusted, loaded, number, requests, job, seen)
            else:
                ended = Run(machine, requests, job, number).of(rule, seen, loaded)
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


def serve(engine_path: str, prelude_paths: list[str], with_trusted: bool) -> None:
    prelude, modules, actions = map(_text, prelude_paths)
    for place, text in (("MODULES", modules), ("ACTIONS", actions)):
        prelude = prelude.replace(f"/*{place}*/''", json.dumps(text))
    machine = Machine(load_engine(engine_path), prelude)
    line = Line()
    json.loads(json.dumps({"warm": 1.5}))
    trusted = load_beside("trusted") if with_trusted else None
    confinement = load_beside("confinement")
    confinement.confine()
    is_filtered = confinement.filter_calls()
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
        done = run(machine, trusted, line, loaded, job)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        line.send({"done": done, "run": job["run"], "cpu_seconds": time.process_time()})
        machine.prepare()


if __name__ == "__main__":
    with contextlib.suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        serve(sys.argv[1], sys.argv[2:5], "python" in sys.argv[5:])
