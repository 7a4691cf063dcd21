"""The real thing for tests: `belay serve` with several worker processes, and requests that arrive at once."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from app.context import Server, open_server
from tests.databases import Templates, free_port, test_settings
from tests.making import loosen_limits

BELAY = Path(sys.executable).with_name("belay")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str
    seconds: float

    @property
    def json(self) -> Any:
        return json.loads(self.text)


def raw_request(method: str, path: str, host: str, body: bytes, headers: dict[str, str]) -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {host}",
        "Connection: close",
        f"Content-Length: {len(body)}",
    ]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def form_request(live: "Live", path: str, members: dict[str, str]) -> bytes:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return raw_request("POST", path, live.host, urlencode(members).encode(), headers)


def _read(sock: socket.socket, started: float) -> Answer:
    received = b""
    while chunk := sock.recv(65536):
        received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    if not head:
        raise ConnectionError("the server closed the connection without an answer")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    if len(body) < int(headers.get("content-length", 0)):
        raise ConnectionError("the server closed the connection in the middle of an answer")
    return Answer(int(lines[0].split()[1]), headers, body.decode(), time.perf_counter() - started)


@dataclass
class Live:
    """A running server. `server` opens the same database for looking at what happened."""

    process: subprocess.Popen[bytes]
    base: str
    server: Server
    log: Path

    @property
    def host(self) -> str:
        return urlsplit(self.base).netloc

    def connect(self) -> socket.socket:
        port = urlsplit(self.base).port
        sock = socket.create_connection(("127.0.0.1", port), timeout=30)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def send(self, request: bytes) -> Answer:
        started = time.perf_counter()
        with self.connect() as sock:
            sock.sendall(request)
            return _read(sock, started)

    def post(self, path: str, **members: str) -> Answer:
        return self.send(form_request(self, path, members))

    def get(self, path: str, token: str | None = None) -> Answer:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self.send(raw_request("GET", path, self.host, b"", headers))

    def post_json(self, path: str, body: object, token: str | None = None) -> Answer:
        headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {token}"} if token else {}
        )
        return self.send(raw_request("POST", path, self.host, json.dumps(body).encode(), headers))

    def at_once(self, requests: Sequence[bytes]) -> list[Answer]:
        """Send all but the last byte of each request, then the last bytes together: they arrive within a
        millisecond, on connections of their own, spread over the workers.
        """
        socks = [self.connect() for _ in requests]
        answers: list[Answer | BaseException | None] = [None] * len(requests)
        barrier = threading.Barrier(len(requests))

        def run(number: int) -> None:
            try:
                barrier.wait()
                started = time.perf_counter()
                socks[number].sendall(requests[number][-1:])
                answers[number] = _read(socks[number], started)
            except BaseException as error:
                answers[number] = error

        for sock, request in zip(socks, requests, strict=True):
            sock.sendall(request[:-1])
        threads = [threading.Thread(target=run, args=(number,)) for number in range(len(requests))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for sock in socks:
            sock.close()
        failures = [answer for answer in answers if not isinstance(answer, Answer)]
        assert not failures, failures
        return [answer for answer in answers if isinstance(answer, Answer)]

    def workers(self) -> list[int]:
        """The process ids of the worker processes."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(child) for child in children]

    def wait_until_ready(self, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended:\n{self.log.read_text()}")
            try:
                if self.base.startswith("https"):
                    context = ssl._create_unverified_context()
                    with self.connect() as sock, context.wrap_socket(sock) as tls:
                        tls.sendall(raw_request("GET", "/readyz", self.host, b"", {}))
                        ready = b" 200 " in tls.recv(100)
                else:
                    ready = self.get("/readyz").status == 200
                if ready:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise TimeoutError(f"the server did not become ready:\n{self.log.read_text()}")


@contextmanager
def serving(
    templates: Templates,
    kind: str,
    folder: Path,
    *,
    workers: int = 4,
    url: str | None = None,
    command: Sequence[str | Path] = (BELAY, "serve"),
    host_name: str = "127.0.0.1",
    **env: str,
) -> Iterator[Live]:
    """`belay serve` on a fresh database of that kind, ended when the block ends. `env` are further BELAY_ settings."""
    instance = folder / "instance"
    database_url = url or templates.copy(kind, instance)
    port = free_port()
    scheme = "https" if "BELAY_TLS_CERT" in env else "http"
    base = f"{scheme}://{host_name}:{port}"
    # A server of the same settings in this process, for setting up and looking.
    public_url = env.get("BELAY_PUBLIC_URL", base + "/")
    server = open_server(test_settings(instance, database_url, public_url=public_url, port=port))
    settings = {
        "BELAY_INSTANCE": str(instance),
        "BELAY_DATABASE_URL": database_url,
        "BELAY_PUBLIC_URL": public_url,
        "BELAY_INSECURE_TEST": "1",
        "BELAY_HASH_MEMORY_KIB": "8",
        "BELAY_HASH_TIME": "1",
        "BELAY_API_REQUESTS_PER_SECOND": "100000",
        "BELAY_AUTH_REQUESTS_PER_SECOND": "100000",
        "PORT": str(port),
        "WEB_CONCURRENCY": str(workers),
    }
    log = folder / "serve.log"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BELAY_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=clean | settings | env, stdout=output, stderr=output, start_new_session=True
        )
    live = Live(process, base, server, log)
    try:
        live.wait_until_ready()
        loosen_limits(server)
        yield live
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        server.db.dispose()
