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

from sqlalchemy import URL, create_engine, make_url, text

from app.context import Server, open_server
from app.settings import Settings
from bench.limit import undisturbed
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
        """Repeatable."""
        with undisturbed():
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
    try:
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
        raise TimeoutError(f"{command[0]} did not answer:\n{log.read_text()[-2000:]}")
    except BaseException:
        running.stop()
        raise


def _url(db: str) -> URL:
    """With the product's driver; a plain postgresql:// would ask for another one."""
    return make_url(db).set(drivername="postgresql+psycopg")


@contextmanager
def database_url(db: str, folder: Path) -> Iterator[str]:
    """A fresh database: a file, or one made beside the given PostgreSQL database and dropped in the end."""
    if db == "sqlite":
        yield f"sqlite:///{folder / 'instance' / 'belay.db'}"
        return
    name = f"belay_bench_{uuid4().hex[:12]}"
    url = _url(db)
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as conn:
        conn.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        with undisturbed(), engine.connect() as conn:
            conn.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        engine.dispose()


def told_of(db: str) -> str:
    """The database and what its commits wait for: without a disk behind them they are not durable."""
    if db == "sqlite":
        return "SQLite, which waits for the disk only in durable commits (BELAY_SQLITE_SYNCHRONOUS=NORMAL)"
    engine = create_engine(_url(db))
    with engine.connect() as conn:
        names = ("server_version", "fsync", "synchronous_commit")
        found = [f"{name} {conn.execute(text(f'SHOW {name}')).scalar_one()}" for name in names]
    engine.dispose()
    return f"PostgreSQL, {', '.join(found)}"


@dataclass(frozen=True)
class Servers:
    belay: Running
    bare: Running
    bare_hash: Running
    world: World
    start_seconds: list[float]
    pss_at_start: float


@contextmanager
def fresh(db: str) -> Iterator[Settings]:
    """How to run the product on a database of its own, which is removed with the block."""
    folder = Path(tempfile.mkdtemp(prefix="belay-bench-"))
    try:
        with database_url(db, folder) as url:
            yield Settings.model_validate(
                {
                    "instance": folder / "instance",
                    "database_url": url,
                    "port": free_port(),
                    "workers": WORKERS,
                }
            )
    finally:
        with undisturbed():
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def opened(settings: Settings) -> Iterator[Server]:
    """The product's functions in this process."""
    server = open_server(settings)
    try:
        yield server
    finally:
        server.db.dispose()


def serve(settings: Settings) -> Running:
    """`belay serve`."""
    env = _clean_environment() | {
        "BELAY_INSTANCE": str(settings.instance),
        "BELAY_AUTH_REQUESTS_PER_SECOND": "1000000",  # all come from one address
        "BELAY_DATABASE_URL": settings.database_url,
        "PORT": str(settings.port),
        "WEB_CONCURRENCY": str(settings.workers),
    }
    return start([str(BELAY), "serve"], settings.port, settings.instance.parent / "belay.log", env)


def _clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("BELAY_")}


@contextmanager
def serving(db: str, *, reuse_tokens: int) -> Iterator[Servers]:
    """All servers, up and idle; ended and removed with the block."""
    up: list[Running] = []
    with fresh(db) as settings:
        with opened(settings) as server:
            world = seed(server, spent=reuse_tokens)
        try:
            for number in range(STARTS):
                up.append(serve(settings))
                time.sleep(SETTLE_SECONDS)  # the other worker may still be on its way up
                if number < STARTS - 1:
                    up[-1].stop()
            starts = [belay.start_seconds for belay in up]
            belay = up[-1]
            at_start = belay.pss_mib()
            for name in ("bare", "bare_hash"):
                port = free_port()
                command = [sys.executable, "-m", "bench.reference", name, str(port), str(WORKERS)]
                command.append(str(settings.threads))
                log = settings.instance.parent / f"{name}.log"
                up.append(start(command, port, log, _clean_environment()))
            yield Servers(belay, up[-2], up[-1], world, starts, at_start)
        finally:
            for running in up:
                running.stop()
