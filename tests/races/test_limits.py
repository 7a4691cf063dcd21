"""A server that runs out of what the machine gives it (5.6, T48): descriptors, memory, room on the disk."""

import os
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests import making
from tests.databases import KINDS, Templates
from tests.evidence import report, size, within
from tests.live import Answer, Live, serving
from tests.races.ledger import audit_books, driving
from tests.races.load import full_login, login, password_request, spread, until

pytestmark = pytest.mark.races

READS = ("/readyz", "/.well-known/jwks.json", "/.well-known/openid-configuration")


def logs_in(live: Live) -> bool:
    with suppress(OSError):
        return login(live, "bob@example.com", scope="openid").status == 200
    return False


def is_ready(live: Live) -> bool:
    with suppress(OSError):
        return live.get("/readyz").status == 200
    return False


@contextmanager
def limited(live: Live, what: int, limit: int) -> Iterator[None]:
    """The workers get no more of it than that; the limit of the whole is lifted again afterwards."""
    held = {pid: resource.prlimit(pid, what) for pid in live.workers()}
    for pid, (_, hard) in held.items():
        resource.prlimit(pid, what, (limit, hard))
    try:
        yield
    finally:
        for pid, limits in held.items():
            with suppress(ProcessLookupError):
                resource.prlimit(pid, what, limits)


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


# --- descriptors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("has_hashed", [False, True])
def test_no_descriptor_is_left(templates: Templates, tmp_path: Path, kind: str, has_hashed: bool) -> None:
    """What is open already serves; what would need another file or connection is 503 until there is one again."""
    with serving(templates, kind, tmp_path, workers=1) as live:
        making.make_cast(live.server)
        (worker,) = live.workers()
        if has_hashed:
            assert logs_in(live)
        answers: list[Answer] = []
        for room in range(
            8
        ):  # the lock for writing, the slots to hash in, a connection of the database: each in turn
            with limited(live, resource.RLIMIT_NOFILE, descriptors(worker) + 1 + room):
                answers += [login(live, "bob@example.com", scope="openid") for _ in range(3)]
                answers += [live.get(path) for path in READS]
        until(lambda: logs_in(live), 5, "a login with descriptors again")
        assert live.workers() == [worker], "the same process"
    assert {answer.status for answer in answers} <= {200, 503}, [a.text for a in answers if a.status == 500]


@pytest.mark.parametrize("kind", KINDS)
def test_more_connections_than_descriptors_wait_and_break_nothing(
    templates: Templates, tmp_path: Path, kind: str
) -> None:
    limit, strangers = 64, size(150, 1000)
    with serving(templates, kind, tmp_path, workers=2) as live:
        cast = making.make_cast(live.server)
        with limited(live, resource.RLIMIT_NOFILE, limit), driving(live, cast) as ledger:
            until(lambda: ledger.statuses[200] > 20, 20, "a load")
            idle: list[socket.socket] = []
            for _ in range(strangers):
                sock = live.connect()
                sock.sendall(b"POST /oauth/token HTTP/1.1\r\n")
                idle.append(sock)
            until(lambda: max(map(descriptors, live.workers())) >= limit, 5, "no descriptor left")
            time.sleep(size(2, 8))  # how long they stay
            for sock in idle:
                sock.close()
            back = until(lambda: logs_in(live), 10, "a login when they have gone")
        audit_books(live, ledger)
    assert set(ledger.statuses) <= {200, 400, 401, 403, 429, 503}, ledger.statuses
    report(
        f"5.6 descriptors used up ({kind})",
        tried=f"{strangers} idle connections, {limit} descriptors a worker; {sum(ledger.statuses.values())} answers",
        held=f"only 200/4xx/503, others waited at the door; back in {back:.1f} s without restart",
    )


# --- memory --------------------------------------------------------------------------------------------------------


def address_space(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()


@pytest.mark.parametrize("kind", KINDS)
def test_no_memory_to_hash_is_nobodys_failure(templates: Templates, tmp_path: Path, kind: str) -> None:
    """Everything else has room. The right password is never "wrong", and counts as no attempt."""
    mebibytes = 64  # more than malloc keeps for the next time
    with serving(templates, kind, tmp_path, workers=1, BELAY_HASH_MEMORY_KIB=str(mebibytes * 1024)) as live:
        making.make_cast(live.server)
        assert logs_in(live) and logs_in(live), "and now the hash is of the new size"
        (worker,) = live.workers()
        with limited(live, resource.RLIMIT_AS, address_space(worker) + (mebibytes // 2 << 20)):
            refused = [login(live, "bob@example.com", scope="openid") for _ in range(12)]
            refused += [login(live, f"nobody{n}@example.com") for n in range(3)]
            reads = [live.get(path) for path in READS]
        until(lambda: logs_in(live), 5, "a login with memory again")
        assert live.workers() == [worker], "the same process"
    assert Counter(answer.status for answer in refused) == {503: 15}, [answer.text for answer in refused]
    assert all("retry-after" in answer.headers for answer in refused)
    assert {answer.status for answer in reads} == {200}
    assert "out of memory" in live.log.read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_no_memory_at_all_ends_nothing_but_requests(templates: Templates, tmp_path: Path, kind: str) -> None:
    with serving(templates, kind, tmp_path, workers=2) as live:
        cast = making.make_cast(live.server)
        with driving(live, cast) as ledger:
            until(lambda: ledger.statuses[200] > 20, 20, "a load")
            for room in range(size(4, 12)):
                for worker in live.workers():
                    with suppress(ProcessLookupError):
                        limit = address_space(worker) + room * (128 << 10)
                        resource.prlimit(worker, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
                time.sleep(1)  # how long it lasts
                for worker in live.workers():
                    with suppress(ProcessLookupError):
                        resource.prlimit(worker, resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
                back = until(lambda: logs_in(live), 10, "a login with memory again")
        after = spread(live, [password_request(live, "bob@example.com", scope="openid")] * 64, 16)
        assert {answer.status for answer in after} == {200}, "every worker is whole again"
        # Where not even a frame can be made to run our code in, the HTTP server answers by itself: 500 without a body.
        bare = [answer for answer in ledger.accidents if (answer.status, answer.text) == (500, "")]
        ledger.accidents = [answer for answer in ledger.accidents if answer not in bare]
        audit_books(live, ledger)
    answers = ledger.statuses
    # How many is luck: it answers so within a millisecond, for as long as not a page is left.
    assert len(bare) <= sum(answers.values()) / size(10, 100), answers
    assert set(answers) <= {200, 400, 401, 403, 429, 503} | ({500} if bare else set()), answers
    report(
        f"5.6 no address space ({kind})",
        tried=f"{size(4, 12)} times; {sum(answers.values())} answers",
        held=f"only 200/4xx/503 and {len(bare)} without memory to run in, {ledger.lost} lost; back in {back:.1f} s",
    )


# --- room on the disk ----------------------------------------------------------------------------------------------


@contextmanager
def small_disk(mount_point: Path, mebibytes: int) -> Iterator[Path]:
    """A file system of that size. Whoever may not mount one can still run these tests under `unshare -Urm`."""
    mount_point.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(mount_point)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip(
            "no tmpfs can be mounted here (try `unshare -Urm`); test_faults.py has RLIMIT_FSIZE for it"
        )
    try:
        yield mount_point
    finally:
        subprocess.run(["umount", "-l", mount_point], check=True)


def fill(disk: Path) -> Path:
    """Take all the room that is left."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    assert os.statvfs(disk).f_bavail == 0
    return ballast


@pytest.mark.parametrize("has_written", [True, False])
def test_a_file_system_without_room_stops_writing_and_nothing_else(
    templates: Templates, tmp_path: Path, has_written: bool
) -> None:
    """Database, lock files and log on it. The workers wrote before, or they are new and have opened nothing yet."""
    with small_disk(tmp_path / "disk", 16) as disk, serving(templates, "sqlite", disk, workers=2) as live:
        cast = making.make_cast(live.server)
        token = full_login(live, "bob@example.com")["access_token"]
        if not has_written:
            before = live.workers()
            for worker in before:
                os.kill(worker, signal.SIGKILL)
            until(lambda: len(set(live.workers()) - set(before)) == 2, 10, "new workers")
            until(lambda: is_ready(live), 10, "a worker that answers")
        refused: list[Answer] = []
        with driving(live, cast) as ledger:
            if has_written:
                until(lambda: ledger.statuses[200] > 20, 20, "a load")
            for _ in range(size(1, 5)):
                ballast = fill(disk)
                until(lambda: login(live, "bob@example.com").status == 503, 3, "no room in the database")
                deadline = time.monotonic() + size(2, 30)
                while time.monotonic() < deadline:
                    refused.append(login(live, "bob@example.com"))
                    assert live.get("/userinfo", token).status == 200, "verification needs no writing"
                    assert {live.get(path).status for path in READS} == {200}
                ballast.unlink()
                back = until(lambda: logs_in(live), 3, "a login with room on the disk")
        audit_books(live, ledger)
    assert {answer.status for answer in refused} == {503}
    assert max(answer.seconds for answer in refused) < within(1), "said at once"
    assert set(ledger.statuses) <= {200, 400, 401, 403, 429, 503}, ledger.statuses
    report(
        f"5.6 full file system (SQLite, tmpfs, {'running' if has_written else 'new'} workers)",
        tried=f"{len(refused)} logins without room, {sum(ledger.statuses.values())} answers",
        held=f"writers 503, readers 200, back in {back:.1f} s without restart",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_log_without_room_stops_nothing(templates: Templates, tmp_path: Path, kind: str) -> None:
    with small_disk(tmp_path / "disk", 1) as disk:
        (tmp_path / "serve.log").symlink_to(disk / "serve.log")
        ballast = fill(disk)
        with serving(templates, kind, tmp_path, workers=2) as live:
            making.make_cast(live.server)
            for _ in range(5):
                assert logs_in(live)
                assert login(live, "bob@example.com", "wrong").status == 403
                assert {live.get(path).status for path in READS} == {200}
            assert live.log.stat().st_size == 0
            ballast.unlink()
            assert logs_in(live)
            assert '"outcome":"ok"' in live.log.read_text()
