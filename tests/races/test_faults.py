"""Nature: killed workers, a database that goes away, a full disk, a lock that is held, a key ring that is gone."""

import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from tests import making
from tests.databases import KINDS, Cluster, Templates, free_port, new_cluster
from tests.evidence import report, size, within
from tests.live import BELAY, Live, serving
from tests.making import Cast
from tests.races.ledger import Ledger, audit_books, driving
from tests.races.load import cli_environment, full_login, login, mfa_token, token_request, until
from tests.wire import MFA_OTP, code_of

pytestmark = [pytest.mark.races, pytest.mark.timeout(7200)]

LONGEST_SECONDS = within(5)  # establishing a connection included


def is_well(live: Live) -> bool:
    """Somebody can log in, which reads, hashes, signs and writes."""
    try:
        return login(live, "bob@example.com", scope="openid").status == 200
    except OSError:
        return False


def only_defined_answers(ledger: Ledger) -> None:
    assert set(ledger.statuses) <= {200, 400, 401, 403, 429, 503}, ledger.statuses
    assert all("retry-after" in answer.headers for answer in ledger.unavailable)
    bodies = {answer.json.get("error", answer.json.get("status")) for answer in ledger.unavailable}
    assert bodies <= {"temporarily_unavailable", "DOWN"}
    assert ledger.slowest <= LONGEST_SECONDS
    assert set(ledger.probes["/healthz"]) == {200}, "alive without asking anybody"
    assert set(ledger.probes["/.well-known/openid-configuration"]) == {200}
    assert set(ledger.probes["/.well-known/jwks.json"]) <= {200, 503}


# --- killed processes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_killed_workers_lose_nothing_that_was_acknowledged(
    templates: Templates, tmp_path: Path, kind: str
) -> None:
    kills = size(6, 300)
    slowest = 0.0
    with serving(templates, kind, tmp_path, workers=4) as live:
        cast = making.make_cast(live.server)
        url, issuer = live.server.settings.database_url, live.server.settings.public_url
        with driving(live, cast) as ledger:
            for _ in range(kills):
                os.kill(random.choice(live.workers()), signal.SIGKILL)
                slowest = max(slowest, until(lambda: is_well(live), 2, "a login after a worker was killed"))
                until(lambda: len(live.workers()) == 4, 5, "the worker's successor")
                time.sleep(random.uniform(0.2, 1.0))  # the next kill comes at a random moment of the load
                assert live.process.poll() is None, live.log.read_text()[-2000:]
            os.killpg(live.process.pid, signal.SIGKILL)
            live.process.wait()
        assert not ledger.unavailable, [a.text for a in ledger.unavailable]
        with serving(templates, kind, tmp_path, workers=4, url=url, BELAY_PUBLIC_URL=issuer) as started_again:
            audit_books(started_again, ledger)
    report(
        f"5.2 kill -9 under load ({kind})",
        tried=f"{kills} workers, then all processes; {sum(ledger.statuses.values())} answers",
        held=f"{ledger.lost} answers lost, 0 acknowledged writes, 0 double uses; back in {slowest:.1f} s",
    )


def test_one_worker_killed_again_and_again_does_not_end_the_server(
    templates: Templates, tmp_path: Path
) -> None:
    with serving(templates, "sqlite", tmp_path, workers=2) as live:
        making.make_cast(live.server)
        for _ in range(4):
            steady, victim = live.workers()[0], live.workers()[-1]
            os.kill(victim, signal.SIGKILL)
            until(lambda gone=victim: gone not in live.workers(), 5, "the end of the worker")  # type: ignore[misc]
            until(lambda: len(live.workers()) == 2, 5, "the worker's successor")
            assert steady in live.workers()
            until(lambda: is_well(live), 5, "a login")
        assert live.process.poll() is None


# --- PostgreSQL ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with new_cluster() as found:
        yield found


@pytest.fixture(scope="module")
def on_postgresql(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    templates = Templates(tmp_path_factory.mktemp("templates"), iter([cluster]))
    with serving(templates, "postgresql", tmp_path_factory.mktemp("live"), workers=4) as live:
        yield live


@pytest.fixture(scope="module")
def their_cast(on_postgresql: Live) -> Cast:
    return making.make_cast(on_postgresql.server)


@contextmanager
def fast_restart(cluster: Cluster) -> Iterator[None]:
    cluster.stop("fast")
    yield
    cluster.start()


@contextmanager
def crash(cluster: Cluster) -> Iterator[None]:
    cluster.stop("immediate")
    yield
    cluster.start()


@contextmanager
def frozen(cluster: Cluster) -> Iterator[None]:
    """Every process stands still: connections are accepted by the kernel and nothing ever comes back."""
    postmaster = int((cluster.folder / "data" / "postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    everybody = [postmaster, *map(int, children)]
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in everybody:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def disconnected(cluster: Cluster) -> Iterator[None]:
    cluster.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    yield


@contextmanager
def read_only(cluster: Cluster) -> Iterator[None]:
    cluster.execute("ALTER SYSTEM SET default_transaction_read_only = on")
    cluster.execute("SELECT pg_reload_conf()")
    yield
    cluster.execute("ALTER SYSTEM RESET default_transaction_read_only")
    cluster.execute("SELECT pg_reload_conf()")


@contextmanager
def crowded(cluster: Cluster) -> Iterator[None]:
    """Others have taken every connection that was left."""
    taken: list[psycopg.Connection] = []
    try:
        while True:
            taken.append(psycopg.connect(cluster.url("postgres")))
    except psycopg.OperationalError:
        pass
    try:
        yield
    finally:
        for connection in taken:
            connection.close()


Fault = Callable[[Cluster], AbstractContextManager[None]]


@pytest.mark.parametrize(
    ("fault", "seconds", "times"),
    [
        (fast_restart, 1.0, size(1, 5)),
        (crash, 1.0, size(1, 5)),
        (frozen, size(6, 10), size(1, 3)),
        (disconnected, 0.2, size(3, 10)),
        (read_only, 2.0, size(1, 2)),
        (crowded, 2.0, size(1, 2)),
    ],
)
def test_postgresql_may_fail_for_a_while(
    on_postgresql: Live, their_cast: Cast, cluster: Cluster, fault: Fault, seconds: float, times: int
) -> None:
    back = 0.0
    with driving(on_postgresql, their_cast) as ledger:
        until(lambda: ledger.statuses[200] > 20, 20, "a load")
        for _ in range(times):
            with fault(cluster):
                time.sleep(seconds)  # how long it lasts
            back = max(back, until(lambda: is_well(on_postgresql), 3, "a login after the fault"))
    only_defined_answers(ledger)
    assert ledger.lost == 0
    audit_books(on_postgresql, ledger)
    report(
        f"5.3 PostgreSQL {fault.__name__}",
        tried=f"{times} x {seconds} s; {sum(ledger.statuses.values())} answers",
        held=f"only 200/4xx/503, slowest {ledger.slowest:.1f} s, back in {back:.1f} s",
    )


# --- SQLite --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def on_sqlite(templates: Templates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(templates, "sqlite", tmp_path_factory.mktemp("live"), workers=4) as live:
        yield live


@pytest.fixture(scope="module")
def whose_cast(on_sqlite: Live) -> Cast:
    return making.make_cast(on_sqlite.server)


@contextmanager
def full_disk(live: Live) -> Iterator[None]:
    """Its processes can write no file, its log included: what a full disk looks like."""
    pids = (live.process.pid, *live.workers())
    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        for pid in pids:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def test_a_full_disk_stops_writing_and_nothing_else(on_sqlite: Live, whose_cast: Cast) -> None:
    live = on_sqlite
    token = full_login(live, "bob@example.com")["access_token"]
    with driving(live, whose_cast) as ledger:
        until(lambda: ledger.statuses[200] > 20, 20, "a load")
        with full_disk(live):
            deadline = time.monotonic() + size(3, 120)
            while time.monotonic() < deadline:
                refused = login(live, "bob@example.com")
                assert refused.status == 503, refused.text
                assert refused.seconds < within(1), "said at once"
                assert live.get("/userinfo", token).status == 200, "verification needs no writing"
                assert live.get("/.well-known/jwks.json").status == 200
        back = until(lambda: is_well(live), 3, "a login with room on the disk")
    only_defined_answers(ledger)
    assert ledger.lost == 0
    audit_books(live, ledger)
    report(
        "5.6 full disk (SQLite, RLIMIT_FSIZE)",
        tried=f"{size(3, 120)} s, {sum(ledger.statuses.values())} answers",
        held=f"writers 503, readers 200, back in {back:.1f} s without restart",
    )


def test_a_lock_held_by_somebody_else_is_waited_for_and_then_refused(
    on_sqlite: Live, whose_cast: Cast
) -> None:
    live = on_sqlite
    locks = size(1, 5)
    other = sqlite3.connect(
        str(make_url(live.server.settings.database_url).database), isolation_level=None, timeout=10
    )
    slowest = 0.0
    until(lambda: is_well(live), 3, "a login before")
    for _ in range(locks):
        other.execute("BEGIN IMMEDIATE")
        answers = live.at_once(
            [token_request(live, grant_type="password", username=f"n{n}", password="x") for n in range(16)]
        )
        slowest = max(slowest, *(answer.seconds for answer in answers))
        assert {answer.status for answer in answers} == {503}
        assert all("retry-after" in answer.headers for answer in answers)
        assert live.get("/.well-known/jwks.json").seconds < within(1), "reading goes on"
        assert live.get("/readyz").status == 200
        other.execute("ROLLBACK")
        until(lambda: is_well(live), 1, "a login without the lock")
    other.close()
    assert slowest < within(7)
    report("T45 SQLite locked from outside", tried=f"{locks} x 16 logins", held=f"503 within {slowest:.1f} s")


def test_a_lock_held_for_a_moment_is_not_noticed(on_sqlite: Live, whose_cast: Cast) -> None:
    other = sqlite3.connect(
        str(make_url(on_sqlite.server.settings.database_url).database), isolation_level=None, timeout=10
    )
    with driving(on_sqlite, whose_cast) as ledger:
        for _ in range(size(3, 30)):
            other.execute("BEGIN IMMEDIATE")
            time.sleep(0.5)  # how long it is held
            other.execute("ROLLBACK")
            until(lambda: is_well(on_sqlite), 3, "a login")
    other.close()
    assert not ledger.unavailable
    audit_books(on_sqlite, ledger)


def test_backup_vacuum_and_checkpoints_do_not_disturb(on_sqlite: Live, whose_cast: Cast) -> None:
    """T45: what an operator runs beside the server."""
    file = str(make_url(on_sqlite.server.settings.database_url).database)
    with driving(on_sqlite, whose_cast) as ledger:
        for number in range(size(2, 20)):
            until(lambda: is_well(on_sqlite), 3, "a login")
            backup = Path(f"{file}.backup{number}")
            subprocess.run([BELAY, "db", "backup", backup], env=cli_environment(on_sqlite), check=True)
            copy = sqlite3.connect(backup)
            assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            copy.close()
            other = sqlite3.connect(file, isolation_level=None, timeout=10)
            other.execute("VACUUM")
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            other.close()
    assert not ledger.unavailable, [a.text for a in ledger.unavailable]
    audit_books(on_sqlite, ledger)


# --- the key ring --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ring", ["{", '{"keys": []}', '{"keys": [{"kid": "a", "key": "c2hvcnQ="}]}'])
def test_a_damaged_key_ring_stops_the_start_with_a_clear_line(
    templates: Templates, tmp_path: Path, ring: str
) -> None:
    url = templates.copy("sqlite", tmp_path)
    (tmp_path / "keyring.json").write_text(ring)
    refuses_to_start(tmp_path, url)


def test_a_key_ring_that_cannot_be_read_stops_the_start(templates: Templates, tmp_path: Path) -> None:
    url = templates.copy("sqlite", tmp_path)
    (tmp_path / "keyring.json").unlink()
    (tmp_path / "keyring.json").mkdir()
    refuses_to_start(tmp_path, url)


def test_another_key_ring_stops_the_start(templates: Templates, tmp_path: Path) -> None:
    """T43: with the wrong key nothing that is stored can be opened."""
    url = templates.copy("sqlite", tmp_path)
    ring = json.loads((tmp_path / "keyring.json").read_text())
    ring["keys"][0]["key"] = "A" * 43 + "="
    (tmp_path / "keyring.json").write_text(json.dumps(ring))
    refuses_to_start(tmp_path, url)


def test_a_missing_key_ring_is_not_replaced_where_secrets_are_sealed(
    templates: Templates, tmp_path: Path
) -> None:
    url = templates.copy("sqlite", tmp_path)
    (tmp_path / "keyring.json").unlink()
    refuses_to_start(tmp_path, url)
    assert not (tmp_path / "keyring.json").exists()


def refuses_to_start(instance: Path, url: str) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BELAY_")}
    env = clean | {"BELAY_INSTANCE": str(instance), "BELAY_DATABASE_URL": url, "PORT": str(free_port())}
    with subprocess.Popen([BELAY, "serve"], env=env, stderr=subprocess.PIPE, text=True) as started:
        try:
            _, said = started.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            started.terminate()
            pytest.fail("it serves")
    assert started.returncode == 78, said
    lines = said.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("belay: ") and "keyring.json" in lines[0], said


@pytest.mark.parametrize("kind", KINDS)
def test_logins_go_on_when_the_key_ring_disappears(templates: Templates, tmp_path: Path, kind: str) -> None:
    with serving(templates, kind, tmp_path, workers=2) as live:
        cast = making.make_cast(live.server)
        ring = live.server.settings.keyring_path
        people = []
        for number in range(9):
            user = making.make_user(live.server, cast.staff, f"ring{number}@example.com")
            people.append((f"ring{number}@example.com", making.enroll_totp(live.server, user)))
        for loss in (lambda: None, ring.unlink, lambda: ring.write_text("not a ring")):
            shutil.copy(ring, tmp_path / "kept.json")
            loss()
            for _ in range(3):
                name, secret = people.pop()
                token = mfa_token(live, name)
                proof = {"grant_type": MFA_OTP, "mfa_token": token, "otp": code_of(secret)}
                assert live.send(token_request(live, **proof)).status == 200
                assert is_well(live)
            shutil.copy(tmp_path / "kept.json", ring)


def test_a_worker_started_without_the_key_ring_makes_no_new_one(templates: Templates, tmp_path: Path) -> None:
    with serving(templates, "sqlite", tmp_path, workers=2) as live:
        making.make_cast(live.server)
        ring = live.server.settings.keyring_path
        ring.rename(tmp_path / "kept.json")
        victim = live.workers()[0]
        os.kill(victim, signal.SIGKILL)
        until(lambda: victim not in live.workers(), 5, "the end of the worker")
        deadline = time.monotonic() + 4  # its successor starts meanwhile
        while time.monotonic() < deadline:
            assert not ring.exists()
            time.sleep(0.05)
