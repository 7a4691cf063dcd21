"""`belay users import` and `belay users export`, as processes that may be killed."""

import json
import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from app.context import Server, open_server
from app.store import users
from app.store.authenticators import authenticators
from app.store.users import identifiers
from tests import making
from tests.databases import Templates, test_settings
from tests.evidence import report, size
from tests.live import BELAY, serving
from tests.making import Cast
from tests.management.conftest import token_for
from tests.records import people, record, write
from tests.wire import Wire, code_of


def _heed_interrupts() -> None:
    """A suite that runs in the background hands on that interrupts are ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


Start = Callable[..., subprocess.Popen[str]]
MEMORY_MIB = 15  # what a long import may need beyond a short one


@pytest.fixture
def here(database: str, templates: Templates, tmp_path: Path) -> Iterator[Server]:
    with templates.borrowed(database, tmp_path / "instance") as url:
        server = open_server(test_settings(tmp_path / "instance", url))
        yield server
        server.db.dispose()


@pytest.fixture
def cast(here: Server) -> Cast:
    return making.make_cast(here)


@pytest.fixture
def start(here: Server, cast: Cast, tmp_path: Path) -> Start:
    """Start `belay users ...` beside the test's own server."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BELAY_")}
    settings = {
        "BELAY_INSTANCE": str(here.settings.instance),
        "BELAY_DATABASE_URL": here.settings.database_url,
        "BELAY_INSECURE_TEST": "1",
        "BELAY_HASH_MEMORY_KIB": "8",
        "BELAY_HASH_TIME": "1",
    }

    def belay(*words: str | Path, **more: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [BELAY, "users", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean | settings,
            cwd=tmp_path,
            preexec_fn=_heed_interrupts,
            **more,
        )

    return belay


def run(start: Start, *words: str | Path, code: int = 0, stdin: str = "") -> tuple[str, str]:
    process = start(*words)
    out, err = process.communicate(stdin, timeout=280)
    assert process.returncode == code, out + err
    return out, err


def take(
    start: Start, file: Path | str, *words: str | Path, code: int = 0, stdin: str = ""
) -> dict[str, Any]:
    out, _ = run(start, "import", file, "--connection", "staff", "--json", *words, code=code, stdin=stdin)
    found: dict[str, Any] = json.loads(out)
    return found


def counts(server: Server, cast: Cast) -> tuple[int, int, int]:
    """People of the realm, their identifiers, and everybody's authenticators."""
    with server.db.read() as conn:
        here = users.count_users_of(conn, cast.staff.id)
        keys = select(func.count()).where(identifiers.c.realm_id == cast.staff.id)
        factors = select(func.count()).select_from(authenticators)
        return here, conn.execute(keys).scalar_one(), conn.execute(factors).scalar_one()


def test_everybody_of_a_file_is_taken_and_can_log_in(start: Start, here: Server, tmp_path: Path) -> None:
    done = take(start, write(tmp_path / "people.json", people(25)))
    assert done == {"total": 25, "inserted": 25, "updated": 0, "failed": 0, "dry_run": False}
    wire = Wire(here)
    wire.ok(wire.password("person3@example.org", "the password of 3"))
    secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
    token = wire.mfa_token("person20@example.org", "the password of 20")
    wire.ok(wire.otp(token, code_of(secret)))


def test_lines_come_through_a_pipe(start: Start) -> None:
    lines = "\n".join(json.dumps(found) for found in people(5))
    assert take(start, "-", stdin=lines)["inserted"] == 5


def test_rejected_records_are_reported_a_line_each(start: Start, tmp_path: Path) -> None:
    hash_ = "$2b$10$" + "x" * 53
    records = [record("bob@example.com", password_hash=hash_), {}, record("dora@example.com")]
    file, told = write(tmp_path / "people.json", records), tmp_path / "rejected.ndjson"
    assert take(start, file, "--dry-run", "--report", told, code=3)["inserted"] == 1
    assert take(start, file, "--report", told, code=3) == {
        "total": 3,
        "inserted": 1,
        "updated": 0,
        "failed": 2,
        "dry_run": False,
    }
    found = [json.loads(line) for line in told.read_text().splitlines()]
    assert [(line["record"], line["errors"][0]["code"]) for line in found] == [
        (1, "CONFLICT_EMAIL"),
        (2, "OBJECT_REQUIRED"),
    ]
    assert hash_ not in told.read_text() and stat.S_IMODE(told.stat().st_mode) == 0o600
    kept = told.read_text()
    run(start, "import", file, "--connection", "staff", "--report", told, "--resume", code=1)
    assert told.read_text() == kept  # there was nothing to go on with
    _, err = run(start, "import", file, "--connection", "staff", code=3)
    assert len([line for line in err.splitlines() if line.startswith('{"record"')]) == 3
    assert take(start, file, "--upsert", code=3)["updated"] == 2


def test_what_cannot_be_begun_says_why(start: Start, tmp_path: Path) -> None:
    file = write(tmp_path / "people.json", people(1))
    assert "No such file" in run(start, "import", "nothing.json", "--connection", "staff", code=2)[1]
    assert "there is no realm" in run(start, "import", file, "--connection", "nowhere", code=1)[1]
    _, err = run(start, "import", file, "--connection", "staff", "--resume", code=1)
    assert "there is no interrupted import" in err
    run(start, "import", file, "--connection", "staff", "--resume", "--dry-run", code=2)
    told = tmp_path / "missing" / "report"
    assert "No such file" in run(start, "import", file, "--connection", "staff", "--report", told, code=2)[1]


def test_a_file_that_stops_being_json_can_be_mended_and_resumed(
    start: Start, here: Server, cast: Cast, tmp_path: Path
) -> None:
    file = write(tmp_path / "people.json", people(450))
    whole = file.read_text()
    file.write_text(whole[:-200] + "}}}")
    _, err = run(start, "import", file, "--connection", "staff", code=1)
    assert "400 records are done" in err and "--resume" in err
    file.write_text(whole.replace("Person 7", "Another 7", 1))
    assert "not the records" in run(start, "import", file, "--connection", "staff", "--resume", code=1)[1]
    file.write_text(whole)
    assert take(start, file, "--resume")["inserted"] == 450
    assert "no interrupted" in run(start, "import", file, "--connection", "staff", "--resume", code=1)[1]
    assert counts(here, cast)[0] == 452


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_import_that_was_killed_goes_on_nobody_twice_nobody_lost(
    start: Start, here: Server, cast: Cast, tmp_path: Path, how: signal.Signals
) -> None:
    """Killed again and again, somewhere in the middle."""
    count = 3000
    file, told = write(tmp_path / "people.json", [*people(count), {}, *people(1)]), tmp_path / "rejected"
    words = ("import", file, "--connection", "staff", "--report", told)
    before, kills = counts(here, cast), 0
    seen = before[0]
    for again in ((), ("--resume",), ("--resume",)):
        process = start(*words, *again)
        while process.poll() is None and counts(here, cast)[0] < seen + 300:
            time.sleep(0.005)
        if process.poll() is None:
            process.send_signal(how)
            kills += 1
        _, err = process.communicate(timeout=60)
        assert process.returncode == (-9 if how == signal.SIGKILL else 130), err
        seen = counts(here, cast)[0]
        assert 300 <= seen < count
    done = take(start, file, "--report", told, "--resume", code=3)
    assert kills == 3
    assert done == {"total": count + 2, "inserted": count, "updated": 0, "failed": 2, "dry_run": False}
    assert counts(here, cast) == (before[0] + count, before[1] + count, before[2] + count // 10)
    codes = [json.loads(line)["errors"][0]["code"] for line in told.read_text().splitlines()]
    assert codes == ["OBJECT_REQUIRED", "DUPLICATED_USER"]


def peak_of(start: Start, *words: str | Path) -> tuple[float, float, dict[str, Any]]:
    """Seconds and peak memory in MiB of a command, from the kernel."""
    begun = time.monotonic()
    process = start(*words, "--json")
    assert process.stdout is not None and process.stderr is not None and process.stdin is not None
    process.stdin.close()
    out = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, process.stderr.read()
    process.stdout.close()
    process.stderr.close()
    return time.monotonic() - begun, used.ru_maxrss / 1024, json.loads(out)


@pytest.mark.slow
def test_a_long_import_needs_no_more_memory_than_a_short_one(
    start: Start, here: Server, cast: Cast, tmp_path: Path, database: str
) -> None:
    count = size(2_000, 100_000)
    short = write(tmp_path / "short.json", people(200))
    _, least, _ = peak_of(start, "import", short, "--connection", "guests")
    file = write(tmp_path / "people.json", people(count))
    seconds, most, done = peak_of(start, "import", file, "--connection", "staff")
    assert done["inserted"] == count
    assert most - least < MEMORY_MIB
    report(
        f"import on {database}: memory and time",
        tried=f"{count} records, {file.stat().st_size / 2**20:.0f} MiB",
        held=f"{most:.0f} MiB at most ({least:.0f} for 200 records), {seconds:.0f} s",
    )


# --- exports -------------------------------------------------------------------------------------------------------


def test_an_export_lists_the_people_of_the_realm(start: Start, here: Server, tmp_path: Path) -> None:
    take(start, write(tmp_path / "people.json", people(1100)))
    out, _ = run(start, "export", "--connection", "staff", "--fields", "email,user_metadata.number")
    found = [json.loads(line) for line in out.splitlines()]
    assert len(found) == 1102 and {"email": "person7@example.org", "user_metadata.number": 7} in found
    target = tmp_path / "people.csv"
    run(start, "export", "--connection", "staff", "--format", "csv", "--output", target)
    assert len(target.read_text().splitlines()) == 1103 and stat.S_IMODE(target.stat().st_mode) == 0o600
    assert "argon2" not in target.read_text() and "foreign" not in target.read_text()
    _, err = run(start, "export", "--connection", "staff", "--fields", "password_hash", code=1)
    assert "Unknown field" in err


# --- beside a server -----------------------------------------------------------------------------------------------


@pytest.mark.races
def test_servers_work_off_a_job_once_and_logins_go_on(
    database: str, templates: Templates, tmp_path: Path
) -> None:
    with serving(templates, database, tmp_path, workers=3) as live:
        cast, wire = making.make_cast(live.server), Wire(live.server)
        token = token_for(wire)
        content = json.dumps(list(people(1500))).encode()
        head = 'name="users"; filename="u.json"'
        parts = [('name="connection_id"', cast.staff.id.encode()), (head, content)]
        body = b"".join(
            f"--x\r\nContent-Disposition: form-data; {d}\r\n\r\n".encode() + c + b"\r\n" for d, c in parts
        )
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "multipart/form-data; boundary=x"}
        answer = wire.client.post("/api/v2/jobs/users-imports", data=body + b"--x--\r\n", headers=headers)
        assert answer.status_code == 202 and answer.json is not None
        path, slowest, deadline = f"/api/v2/jobs/{answer.json['id']}", 0.0, time.monotonic() + 60
        while (job := live.get(path, token).json)["status"] in ("pending", "processing"):
            assert time.monotonic() < deadline, job
            login = live.post(
                "/oauth/token",
                grant_type="password",
                username="bob@example.com",
                password=making.PASSWORD,
                client_id="phone-app",
            )
            assert login.status == 200, login.text
            slowest = max(slowest, login.seconds)
        assert job["summary"] == {"failed": 0, "updated": 0, "inserted": 1500, "total": 1500}
        told = f"slowest login beside it {slowest * 1000:.0f} ms"
        report(f"import job on {database}", tried="1500 records, 3 workers", held=told)
