"""The servers under test: the product as `belay serve` on a fresh database, and the reference handlers."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from sqlalchemy import create_engine, make_url, text

from app.context import open_server
from app.settings import Settings
from bench.processes import pss_mib, tree
from bench.seeding import World, seed
from bench.wire import request

BELAY = Path(sys.executable).with_name("belay")
ROOT = Path(__file__).parents[1]
WORKERS = 2
STARTS = 3
SETTLE_SECONDS = 1.0


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class Running:
    process: subprocess.Popen[bytes]
    port: int
    start_seconds: float
    """From the command to the first answer."""

    @property
    def pids(self) -> list[int]:
        return tree(self.process.pid)

    def pss_mib(self) -> float:
        return pss_mib(self.pids)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def start(command: list[str], port: int, log: Path, env: dict[str, str]) -> Running:
    started = time.perf_counter()
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdout=output, stderr=output, start_new_session=True
        )
    running = Running(process, port, 0.0)
    while time.perf_counter() < started + 30:
        if process.poll() is not None:
            raise RuntimeError(f"{command[0]} ended:\n{log.read_text()[-2000:]}")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
                sock.sendall(request("GET", "/healthz"))
                if sock.recv(100).startswith(b"HTTP/1.1 "):
                    running.start_seconds = time.perf_counter() - started
                    return running
        except OSError:
            time.sleep(0.005)
    running.stop()
    raise TimeoutError(f"{command[0]} did not answer:\n{log.read_text()[-2000:]}")


@contextmanager
def database_url(db: str, folder: Path) -> Iterator[str]:
    """A fresh database: a file, or one made beside the given PostgreSQL database and dropped in the end."""
    if db == "sqlite":
        yield f"sqlite:///{folder / 'instance' / 'belay.db'}"
        return
    name = f"belay_bench_{uuid4().hex[:12]}"
    # The product's driver; a plain postgresql:// would ask for another one.
    url = make_url(db).set(drivername="postgresql+psycopg")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as conn:
        conn.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as conn:
            conn.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        engine.dispose()


@dataclass(frozen=True)
class Servers:
    belay: Running
    bare: Running
    bare_hash: Running
    world: World
    start_seconds: list[float]
    pss_at_start: float


@contextmanager
def serving(db: str) -> Iterator[Servers]:
    """All servers, up and idle; ended and removed with the block."""
    folder = Path(tempfile.mkdtemp(prefix="belay-bench-"))
    clean = {n: v for n, v in os.environ.items() if not n.startswith("BELAY_")}
    up: list[Running] = []
    try:
        with database_url(db, folder) as url:
            port = free_port()
            settings = Settings.model_validate(
                {"instance": folder / "instance", "database_url": url, "port": port, "workers": WORKERS}
            )
            server = open_server(settings)
            try:
                world = seed(server)
            finally:
                server.db.dispose()
            env = clean | {
                "BELAY_INSTANCE": str(settings.instance),
                "BELAY_DATABASE_URL": url,
                "PORT": str(port),
                "WEB_CONCURRENCY": str(WORKERS),
            }
            starts = []
            for number in range(STARTS):
                belay = start([str(BELAY), "serve"], port, folder / "belay.log", env)
                starts.append(belay.start_seconds)
                time.sleep(SETTLE_SECONDS)  # the other worker may still be on its way up
                if number < STARTS - 1:
                    belay.stop()
            up.append(belay)
            at_start = belay.pss_mib()
            for name in ("bare", "bare_hash"):
                port = free_port()
                command = [sys.executable, "-m", "bench.reference", name, str(port), str(WORKERS)]
                command.append(str(settings.threads))
                up.append(start(command, port, folder / f"{name}.log", clean))
            try:
                yield Servers(up[0], up[1], up[2], world, starts, at_start)
            finally:
                for running in up:
                    running.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
