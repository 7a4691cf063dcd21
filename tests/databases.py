"""Databases for the tests: SQLite files, and a PostgreSQL cluster of our own that lives as long as the run.

Each test gets a copy of a template that was migrated and installed once.
"""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

from app import accounts
from app.context import open_server
from app.settings import Settings
from app.store import schema

KINDS = ("sqlite", "postgresql")
CHEAP = {"hash_memory_kib": 8, "hash_time": 1, "insecure_test": True, "api_requests_per_second": 100_000}
# There is something to send through, and nothing sends by itself: tests read the outbox.
GATEWAYS = {
    "sms_url": "terminal:",
    "voice_url": "terminal:",
    "smtp_url": "terminal:",
    "push_url": "terminal:",
}


def missing(service: str) -> None:
    """Skip and name what is missing; with REQUIRE_SERVICES=1 that is a failure."""
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(f"{service} is required and was not found")
    pytest.skip(f"{service} not found; apt-get install {service}")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Cluster:
    """A PostgreSQL server in a temporary folder, durable only as far as tests need."""

    def __init__(self, bin_folder: Path) -> None:
        self.bin = bin_folder
        self.folder = Path(tempfile.mkdtemp(prefix="belay-pg-"))
        self.port = free_port()
        self._as: list[str] = []
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(self.folder, "postgres")
            pwd.getpwnam("postgres")
            self._as = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        data = str(self.folder / "data")
        self._run(
            "initdb", "-D", data, "-U", "belay", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"
        )
        self.start()

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [*self._as, str(self.bin / program), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )

    def start(self) -> None:
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} "
            "-c fsync=off -c full_page_writes=off -c max_connections=300 -c shared_buffers=64MB"
        )
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-l", log, "-o", options, "-w", "start")

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", mode, "-w", "stop")

    def url(self, database: str) -> str:
        return f"postgresql://belay@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str) -> None:
        engine = create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as conn:
            conn.execute(text(statement))
        engine.dispose()


@lru_cache
def postgresql_folder() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


@contextmanager
def new_cluster() -> Iterator[Cluster]:
    folder = postgresql_folder()
    if folder is None:
        missing("postgresql")
    assert folder is not None
    cluster = Cluster(folder)
    try:
        yield cluster
    finally:
        cluster.stop("immediate")
        shutil.rmtree(cluster.folder, ignore_errors=True)


class Templates:
    """Hands out installed databases as copies."""

    def __init__(self, folder: Path, cluster: Iterator[Cluster]) -> None:
        self._folder = folder
        self._clusters = cluster
        self._cluster: Cluster | None = None
        self._made: set[str] = set()
        self._used: list[str] = []

    @property
    def cluster(self) -> Cluster:
        if self._cluster is None:
            self._cluster = next(self._clusters)
        return self._cluster

    def copy(self, kind: str, instance: Path) -> str:
        """The URL of a fresh installed database; its key ring is put into the instance folder."""
        if kind not in self._made:
            self._make(kind)
        instance.mkdir(parents=True, exist_ok=True)
        shutil.copy(self._folder / kind / "keyring.json", instance)
        if kind == "sqlite":
            shutil.copy(self._folder / kind / "belay.db", instance)
            return f"sqlite:///{instance / 'belay.db'}"
        name = f"t_{uuid4().hex}"
        self.cluster.execute(f"CREATE DATABASE {name} TEMPLATE template_belay")
        self._used.append(name)
        return self.cluster.url(name)

    def drop_used(self) -> None:
        for name in self._used:
            self.cluster.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self._used.clear()

    def _make(self, kind: str) -> None:
        instance = self._folder / kind
        url = f"sqlite:///{instance / 'belay.db'}"
        if kind == "postgresql":
            self.cluster.execute("CREATE DATABASE template_belay")
            url = self.cluster.url("template_belay")
        server = open_server(test_settings(instance, url))
        schema.upgrade(server.db)
        accounts.install(server, datetime.now(UTC))
        server.db.dispose()
        if kind == "sqlite":  # everything into the one file that is copied
            engine = create_engine(url)
            with engine.connect() as conn:
                conn.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
            engine.dispose()
        self._made.add(kind)


def test_settings(instance: Path, database_url: str, **changes: object) -> Settings:
    values = {"instance": instance, "database_url": database_url, "workers": 1} | CHEAP | GATEWAYS | changes
    return Settings.model_validate(values)


test_settings.__test__ = False  # type: ignore[attr-defined]
