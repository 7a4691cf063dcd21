"""A keep-alive HTTP/1.1 client for load: cheap, because it shares the cores with the server that it measures.

What is sent on a connection is told by a script, a generator that yields steps and is sent their answers.
"""

import select
import socket
import time
from collections import Counter, deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlencode

from bench.processes import cpu_seconds


class Step(NamedTuple):
    kind: str
    """What it counts as; empty for what only prepares."""
    expected: int
    request: bytes


class Answer(NamedTuple):
    status: int
    body: bytes


Script = Generator[Step, Answer, None]

READY = Step("", 0, b"")
"""Yielded once by every script: prepared, now wait for the others and the clock."""

PREPARING_SECONDS = 30.0
DRAIN_SECONDS = 6.0  # longer than the product lets anybody wait for a turn to hash


def request(method: str, path: str, body: bytes = b"", media_type: str = "") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
    if media_type:
        head += f"Content-Type: {media_type}\r\n"
    return head.encode() + b"\r\n" + body


def form(path: str, members: dict[str, str]) -> bytes:
    return request("POST", path, urlencode(members).encode(), "application/x-www-form-urlencoded")


@dataclass
class Measured:
    """What happened while the clock ran."""

    seconds: float = 0.0
    latencies: dict[str, list[float]] = field(default_factory=dict)
    """Seconds by kind, of the answers that had the expected status."""
    unexpected: Counter[str] = field(default_factory=Counter)
    """Other answers, by kind and status."""
    unanswered: int = 0
    """Paced requests without an answer at the end."""
    cpu: float = 0.0
    """Seconds of processor that the server took."""

    def rate(self, kind: str) -> float:
        return len(self.latencies.get(kind, ())) / self.seconds

    @property
    def answers(self) -> int:
        return sum(map(len, self.latencies.values()))


class _Wire:
    def __init__(self, port: int, script: Script, is_paced: bool) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=PREPARING_SECONDS)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.script = script
        self.is_paced = is_paced
        self.step = next(script)
        self.started = 0.0
        self.received = b""

    def begin(self, started: float) -> None:
        self.started = started
        self.sock.sendall(self.step.request)

    def receive(self) -> Answer | None:
        """The answer when it is complete."""
        chunk = self.sock.recv(65536)
        if not chunk:
            raise ConnectionError("the server closed a connection")
        received = self.received = self.received + chunk if self.received else chunk
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = received[:end].lower()
        at = head.find(b"content-length:")
        if at < 0:
            raise ConnectionError("an answer without Content-Length")
        length = int(head[at + 15 : head.find(b"\r", at) if b"\r" in head[at:] else end])
        if len(received) < end + 4 + length:
            return None
        self.received = b""
        return Answer(int(received[9:12]), received[end + 4 :])

    def prepare(self) -> None:
        """Run the script up to its READY, and have its first step at hand."""
        while self.step is not READY:
            self.sock.sendall(self.step.request)
            while (answer := self.receive()) is None:
                pass
            if answer.status != self.step.expected:
                raise RuntimeError(f"expected {self.step.expected}, got {answer.status}: {answer.body!r}")
            self.step = self.script.send(answer)
        self.step = self.script.send(Answer(0, b""))


def drive(
    port: int,
    scripts: Sequence[Script],
    *,
    seconds: float,
    warm_up: float,
    pids: Sequence[int],
    paced: Sequence[Script] = (),
    rate: float = 0.0,
) -> Measured:
    """Run `scripts` in closed loops, and the `paced` ones at a fixed rate together.

    A paced latency counts from the moment at which the request was meant to start, so that a server that makes its
    callers wait cannot hide it.
    """
    wires = [_Wire(port, script, False) for script in scripts] + [_Wire(port, s, True) for s in paced]
    try:
        for wire in wires:
            wire.prepare()
        return _run(wires, seconds, warm_up, pids, rate)
    finally:
        for wire in wires:
            wire.sock.close()


def _run(wires: list[_Wire], seconds: float, warm_up: float, pids: Sequence[int], rate: float) -> Measured:
    found = Measured()
    polled = select.epoll()
    by_number = {wire.sock.fileno(): wire for wire in wires}
    for number in by_number:
        polled.register(number, select.EPOLLIN)
    clock = time.perf_counter
    started = clock() + warm_up
    end = started + seconds
    idle = deque(wire for wire in wires if wire.is_paced)
    overdue: deque[float] = deque()
    pause = 1 / rate if rate else 0.0
    due = started if rate else end + DRAIN_SECONDS
    busy = 0
    for wire in wires:
        if not wire.is_paced:
            wire.begin(clock())
            busy += 1
    cpu = spent = None
    while busy or overdue or due < end:
        now = clock()
        if cpu is None and now >= started:
            cpu, started = cpu_seconds(pids), now
        if now >= end:
            if spent is None:
                spent = cpu_seconds(pids)
            if now >= end + DRAIN_SECONDS:
                break
        while due <= now and due < end:
            overdue.append(due)
            due += pause
        while overdue and idle:
            idle.popleft().begin(overdue.popleft())
            busy += 1
        for number, _ in polled.poll(max(0.0, min(due, end + DRAIN_SECONDS) - now)):
            wire = by_number[number]
            answer = wire.receive()
            if answer is None:
                continue
            busy -= 1
            now = clock()
            kind = wire.step.kind
            if wire.is_paced or started <= now < end and cpu is not None:
                if answer.status == wire.step.expected:
                    found.latencies.setdefault(kind, []).append(now - wire.started)
                else:
                    found.unexpected[f"{kind} {answer.status}"] += 1
            wire.step = wire.script.send(answer)
            if wire.is_paced:
                idle.append(wire)
            elif now < end:
                wire.begin(now)
                busy += 1
    found.seconds = end - started
    found.cpu = (cpu_seconds(pids) if spent is None else spent) - (cpu or 0.0)
    found.unanswered = len(overdue) + sum(w.is_paced for w in wires) - len(idle)
    return found
