"""A worker process, seen from the server: what it is given, how it is spoken with, and how it ends."""

import importlib.util
import json
import os
import select
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

MOST_BYTES = 4 << 20  # that one run may send

Kind = Literal["rule", "action", "hook", "python"]

_HERE = Path(__file__).parent
_SCRIPTS = ("prelude.js", "modules.js", "actions.js")
_ENGINE = importlib.util.find_spec("_quickjs")  # its file only: the engine is no part of this process
_FILES = [_HERE / "worker.py", _ENGINE and _ENGINE.origin, *(_HERE / name for name in _SCRIPTS)]
COMMAND = [sys.executable, "-I", "-S", *map(str, _FILES)]


@dataclass(frozen=True)
class Script:
    """A rule of either language, or an action or hook with the secrets that are its own."""

    name: str
    source: str = field(repr=False)
    kind: Kind = "rule"
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    id: str = ""
    """Under which an action asks whether a rule ran before it."""

    @property
    def loaded(self) -> dict[str, object]:
        return {
            "name": self.name,
            "script": self.source,
            "kind": self.kind,
            "secrets": dict(self.secrets),
            "id": self.id,
        }


@dataclass(frozen=True, eq=False)
class Program:
    """Rules in their order and what they share: a process loads it once and runs it for many logins."""

    scripts: tuple[Script, ...]
    configuration: Mapping[str, str] = field(default_factory=dict, repr=False)


class Late(Exception):
    """The process did not answer in time."""


class Gone(Exception):
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
    def __init__(self, *, runs_python: bool = False) -> None:
        """Raises OSError."""
        self._child = subprocess.Popen(  # noqa: S603 - nothing of it is anybody's input
            [*COMMAND, *(["python"] if runs_python else [])],
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
        """Raises Late, Gone."""
        if self._program is not program:
            rules = [script.loaded for script in program.scripts]
            self.send({"load": {"rules": rules, "configuration": dict(program.configuration)}}, deadline)
            self._program = program
        self._runs += 1
        self._bytes_left, self.rule = MOST_BYTES, ""
        self.send({"job": job | {"run": self._runs}}, deadline)
        return self._runs

    def send(self, message: dict[str, Any], deadline: float) -> None:
        """Raises Late, Gone."""
        data = memoryview(json.dumps(message).encode() + b"\n")
        with self._sending:
            if not self.end.alive:
                raise Gone
            while data:
                try:
                    data = data[os.write(self._in, data) :]
                except BlockingIOError:
                    _wait_for(self._in, select.POLLOUT, deadline)
                except OSError:
                    raise Gone from None

    def receive(self, deadline: float) -> dict[str, Any]:
        """Raises Late, Gone."""
        while b"\n" not in self._read:
            _wait_for(self._out, select.POLLIN, deadline)
            part = os.read(self._out, 1 << 16)
            self._read += part
            self._bytes_left -= len(part)
            if not part or self._bytes_left < 0:
                raise Gone
        line, _, self._read = self._read.partition(b"\n")
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            raise Gone from None
        if not isinstance(found, dict):
            raise Gone
        return found


def _wait_for(descriptor: int, event: int, deadline: float) -> None:
    left = deadline - time.monotonic()
    poll = select.poll()
    poll.register(descriptor, event)
    if left <= 0 or not poll.poll(left * 1000):
        raise Late
