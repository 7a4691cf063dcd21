"""Databases for the tests: SQLite files, and a PostgreSQL cluster of our own that lives as long as the run.

Each test gets what looks like a fresh copy of a template that was migrated and installed once.
"""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from freezegun import freeze_time
from sqlalchemy import create_engine, text

from app import accounts
from app.context import Server, open_server
from app.settings import Settings
from app.store import schema
from tests import making
from tests.making import Cast

KINDS = ("sqlite", "postgresql")
BEGINNING = datetime(2026, 11, 1, tzinfo=UTC)  # when databases were installed: before whatever tests do
CHEAP = {"hash_memory_kib": 8, "hash_time": 1, "insecure_test": True}
CHEAP |= {"api_requests_per_second": 100_000, "auth_requests_per_second": 1_000_000}
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
    """Hands out installed databases as copies: fresh ones that live as long as the run, or borrowed ones."""

    def __init__(self, folder: Path, cluster: Iterator[Cluster]) -> None:
        self._folder = folder
        self._clusters = cluster
        self._cluster: Cluster | None = None
        self._casts: dict[str, Cast] = {}
        self._pool: Pool | None = None

    @property
    def cluster(self) -> Cluster:
        if self._cluster is None:
            self._cluster = next(self._clusters)
        return self._cluster

    def copy(self, kind: str, instance: Path, *, variant: str = "belay") -> str:
        """The URL of a fresh installed database; its key ring is put into the instance folder."""
        self._prepare(kind, instance)
        if kind == "sqlite":
            shutil.copy(self._folder / kind / f"{variant}.db", instance / "belay.db")
            return f"sqlite:///{instance / 'belay.db'}"
        name = f"t_{uuid4().hex}"
        self.cluster.execute(f"CREATE DATABASE {name} TEMPLATE template_{variant} STRATEGY FILE_COPY")
        return self.cluster.url(name)

    @contextmanager
    def borrowed(self, kind: str, instance: Path, *, has_cast: bool = False) -> Iterator[str]:
        """The URL of a database for one test, as if it were fresh."""
        variant = "cast" if has_cast else "belay"
        if kind == "sqlite":
            yield self.copy(kind, instance, variant=variant)
            return
        self._prepare(kind, instance)
        if self._pool is None:
            self._pool = Pool(self.cluster)
        with self._pool.borrowed(f"template_{variant}") as url:
            yield url

    def cast(self, kind: str) -> Cast:
        """Who lives on databases that were borrowed with them."""
        return self._casts[kind]

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()

    def _prepare(self, kind: str, instance: Path) -> None:
        if kind not in self._casts:
            self._make(kind)
        instance.mkdir(parents=True, exist_ok=True)
        shutil.copy(self._folder / kind / "keyring.json", instance)

    def _make(self, kind: str) -> None:
        """Install, copy, and let the cast move in."""
        instance = self._folder / kind
        with freeze_time(BEGINNING, tick=True):
            with self._opened(kind, "belay") as server:
                schema.upgrade(server.db)
                accounts.install(server, BEGINNING)
            if kind == "sqlite":
                shutil.copy(instance / "belay.db", instance / "cast.db")
            else:
                self.cluster.execute("CREATE DATABASE template_cast TEMPLATE template_belay")
            with self._opened(kind, "cast") as server:
                self._casts[kind] = making.make_cast(server)

    @contextmanager
    def _opened(self, kind: str, variant: str) -> Iterator[Server]:
        instance = self._folder / kind
        url = f"sqlite:///{instance / variant}.db"
        if kind == "postgresql":
            if variant == "belay":
                self.cluster.execute("CREATE DATABASE template_belay")
            url = self.cluster.url(f"template_{variant}")
        server = open_server(test_settings(instance, url))
        try:
            yield server
        finally:
            server.db.dispose()
        if kind == "sqlite":  # everything into the one file that is copied
            engine = create_engine(url)
            with engine.connect() as conn:
                conn.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
            engine.dispose()


class Pool:
    """Copies of PostgreSQL templates that are used again: emptied and filled anew in a tenth of a copy's time."""

    SHAPE = (
        "SELECT md5(string_agg(concat_ws(':', relname, relkind, relnatts, relchecks, relhastriggers), ',' "
        "ORDER BY relname)) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    )
    # A test may have left connections with locks.
    ALONE = (
        "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._free: dict[str, list[Reusable]] = {}

    @contextmanager
    def borrowed(self, template: str) -> Iterator[str]:
        free = self._free.setdefault(template, [])
        found = free.pop() if free else self._new(template)
        yield self._cluster.url(found.name)
        found.conn.execute(self.ALONE)
        if found.conn.execute(self.SHAPE).fetchone() == found.shape:
            found.conn.execute(found.restore)
            free.append(found)
        else:  # the test changed tables
            self._drop(found)

    def close(self) -> None:
        for found in self._free.values():
            for each in found:
                self._drop(each)

    def _new(self, template: str) -> "Reusable":
        name = f"p_{uuid4().hex}"
        self._cluster.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        conn = psycopg.connect(self._cluster.url(name), autocommit=True)
        conn.execute("SET session_replication_role = replica")  # no foreign keys while filling
        shape = conn.execute(self.SHAPE).fetchone()
        conn.execute("CREATE SCHEMA kept")
        statements = []
        for (table,) in conn.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall():
            conn.execute(f'CREATE TABLE kept."{table}" AS TABLE public."{table}"'.encode())
            is_filled = conn.execute(f'SELECT 1 FROM kept."{table}" LIMIT 1'.encode()).fetchone()
            statements.append(f'DELETE FROM public."{table}"')
            if is_filled:
                insert = f'INSERT INTO public."{table}" OVERRIDING SYSTEM VALUE SELECT * FROM kept."{table}"'
                statements.append(insert)
        for sequence, last in conn.execute(
            "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public'"
        ).fetchall():
            statements.append(f"SELECT setval('public.\"{sequence}\"', {last or 1}, {last is not None})")
        return Reusable(name, conn, shape, "; ".join(statements).encode())

    def _drop(self, found: "Reusable") -> None:
        found.conn.close()
        self._cluster.execute(f"DROP DATABASE {found.name} WITH (FORCE)")


@dataclass(frozen=True)
class Reusable:
    name: str
    conn: psycopg.Connection
    shape: object
    restore: bytes


def test_settings(instance: Path, database_url: str, **changes: object) -> Settings:
    values = {"instance": instance, "database_url": database_url, "workers": 1} | CHEAP | GATEWAYS | changes
    return Settings.model_validate(values)


test_settings.__test__ = False  # type: ignore[attr-defined]
