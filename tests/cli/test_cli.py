"""The command line, as a person without the demo uses it: from an empty folder to a login."""

import json
import os
import re
import select
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli import COMMANDS, main
from app.settings import Settings, variable
from tests.databases import Templates
from tests.live import BELAY, serving
from tests.wire import MFA_OTP, code_of

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `belay` with an instance folder of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BELAY_")}
    settings = {
        "BELAY_INSTANCE": str(tmp_path / "instance"),
        "BELAY_INSECURE_TEST": "1",
        "BELAY_HASH_MEMORY_KIB": "8",
        "BELAY_HASH_TIME": "1",
    }

    def belay(*words: str, stdin: str = "", code: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [BELAY, *words],
            input=stdin,
            capture_output=True,
            text=True,
            env=clean | settings | env,
            cwd=tmp_path,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return belay


def made(run: Run, *words: str, stdin: str = "") -> dict[str, object]:
    found: dict[str, object] = json.loads(run(*words, "--json", stdin=stdin).stdout)
    return found


def test_help_is_worth_reading(run: Run) -> None:
    text = run("--help").stdout
    assert "Exit codes: 0 done, 1 failed, 2 wrong usage" in text
    for name in COMMANDS:
        help_of = CliRunner().invoke(main, [name, "--help"])
        assert re.search(rf"^  {name} ", text, re.MULTILINE) and f"Usage: main {name}" in help_of.output
    run("nonsense", code=2)


def test_ctrl_c_ends_with_a_code_of_its_own(run: Run, tmp_path: Path) -> None:
    run("db", "upgrade")
    env = os.environ | {"BELAY_INSTANCE": str(tmp_path / "instance")}
    # A shell's background jobs, and so this suite in one, ignore the signal unless told otherwise.
    with subprocess.Popen(
        [BELAY, "logs", "follow"],
        env=env,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stdout is not None
        for number in range(30):  # until it is there to see one
            run("realms", "create", f"staff-{number}")
            if select.select([process.stdout], [], [], 1)[0]:
                break
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130


def test_an_empty_database_says_what_to_do(run: Run) -> None:
    assert "run: belay db upgrade" in run("realms", "list", code=4).stderr
    assert "run: belay db upgrade" in run("serve", code=4).stderr
    run("db", "upgrade")
    run("db", "check")
    assert json.loads(run("realms", "list", "--json").stdout) == []


def test_the_instance_folder_is_private(run: Run, tmp_path: Path) -> None:
    run("db", "upgrade")
    instance = tmp_path / "instance"
    assert stat.S_IMODE(instance.stat().st_mode) == 0o700
    for name in ("belay.db", "keyring.json"):
        assert stat.S_IMODE((instance / name).stat().st_mode) == 0o600


def test_wrong_configuration_is_told_all_at_once(run: Run) -> None:
    env = {"PORT": "many", "BELAY_PUBLIC_URL": "http://login.example.com", "BELAY_HASH_TIME": "0"}
    told = run("config", "check", code=78, **env).stderr
    assert "PORT" in told and "BELAY_HASH_TIME" in told
    told = run("config", "check", code=78, BELAY_PUBLIC_URL="http://login.example.com").stderr
    assert "must be an https:// address" in told
    assert "did you mean BELAY_INSTANCE?" in run("config", "check", BELAY_INSTANSE="x").stderr
    cheap = run("config", "check", code=78, BELAY_INSECURE_TEST="0").stderr
    assert "may not go below 19456 and 2" in cheap


def test_settings_come_from_files_too_and_secrets_are_masked(run: Run, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s" * 40 + "\n")
    env = {
        "BELAY_BOOTSTRAP_CLIENT_ID": "boot",
        "BELAY_BOOTSTRAP_CLIENT_SECRET_FILE": str(tmp_path / "secret"),
    }
    found = json.loads(run("config", "check", "--json", **env).stdout)
    values = {line["variable"]: line["value"] for line in found}
    assert values["BELAY_BOOTSTRAP_CLIENT_SECRET"] == "***"
    assert set(values) == {variable(name) for name in Settings.model_fields}
    run("db", "upgrade", **env)
    assert [c["client_id"] for c in json.loads(run("clients", "list", "--json").stdout)] == ["boot"]


def test_realms_policies_clients_apis_and_people(run: Run) -> None:
    run("db", "upgrade")
    run("realms", "create", "staff", "--mfa", "always", "--default")
    run("policy", "set", "staff", "never")
    assert json.loads(run("policy", "show", "staff", "--json").stdout)["effective_mode"] == "never"
    run("policy", "set", "staff", "sometimes", code=2)
    assert "the same name already exists" in run("realms", "create", "staff", code=1).stderr
    client = made(run, "clients", "create", "Back end", "--grant", "password", "--realm", "staff")
    assert len(str(client["client_secret"])) == 64
    shown = made(run, "clients", "show", str(client["client_id"]))
    assert "client_secret" not in shown and shown["grant_types"] == ["password"]
    rotated = made(run, "clients", "update", str(client["client_id"]), "--rotate-secret", "--disable")
    assert rotated["client_secret"] != client["client_secret"] and rotated["enabled"] is False
    run("apis", "create", "https://api.example", "--scope", "read:x")
    granted = ("--offline", "--grant", str(client["client_id"]), "read:x")
    assert made(run, "apis", "update", "https://api.example", *granted)["allow_offline_access"] is True
    assert made(run, "realms", "update", "staff", "--disable")["enabled"] is False
    assert made(run, "realms", "update", "staff", "--enable")["enabled"] is True
    told = run("apis", "update", "https://api.example", "--grant", str(client["client_id"]), "no:x", code=1)
    assert "the API has no scope no:x" in told.stderr
    person = made(run, "users", "create", "ana@example.com", "--realm", "staff", "--generate")
    assert len(str(person["password"])) == 20
    weak = run(
        "users", "create", "bo@example.com", "--realm", "staff", "--password-stdin", stdin="short\n", code=1
    )
    assert "At least 8 characters" in weak.stderr
    again = run("users", "create", "ANA@example.com", "--realm", "staff", "--generate", code=1)
    assert "The user already exists." in again.stderr
    alike = run("users", "create", "\u0430na@example.com", "--realm", "staff", "--generate", code=1)
    assert "looks too much like one that is taken" in alike.stderr
    assert made(run, "users", "update", "ana@example.com", "--realm", "staff", "--block")["blocked"] is True
    assert made(run, "users", "show", "ana@example.com", "--realm", "staff")["blocked"] is True
    run("users", "delete", "ana@example.com", "--realm", "staff", "--yes")
    run("users", "show", "ana@example.com", "--realm", "staff", code=1)
    run("clients", "delete", str(client["client_id"]), "--yes")
    run("apis", "delete", "https://api.example", "--yes")
    run("realms", "delete", "staff", "--yes")


def test_from_the_command_line_to_a_login_and_back(templates: Templates, tmp_path: Path) -> None:
    with serving(templates, "sqlite", tmp_path, workers=2) as live:
        env = os.environ | {"BELAY_INSTANCE": str(tmp_path / "instance"), "BELAY_PUBLIC_URL": live.base}

        def belay(*words: str, stdin: str = "") -> str:
            return subprocess.run(
                [BELAY, *words], input=stdin, capture_output=True, text=True, env=env, check=True
            ).stdout

        belay("realms", "create", "staff", "--mfa", "always", "--default")
        grants = [word for name in ("password", "mfa") for word in ("--grant", name)]
        belay("clients", "create", "CLI", "--id", "cli", "--type", "native", "--realm", "staff", *grants)
        belay(
            "users",
            "create",
            "ana@example.com",
            "--realm",
            "staff",
            "--password-stdin",
            stdin="hunter2 hunter2\n",
        )
        login = {
            "grant_type": "password",
            "username": "ana@example.com",
            "password": "hunter2 hunter2",
            "client_id": "cli",
        }
        token = live.post("/oauth/token", **login).json["mfa_token"]
        secret = live.post_json("/mfa/associate", {"authenticator_types": ["otp"]}, token).json["secret"]
        proof = {"grant_type": MFA_OTP, "mfa_token": token, "otp": code_of(secret), "client_id": "cli"}
        assert live.post("/oauth/token", **proof).status == 200
        assert "totp" in belay("users", "reset-mfa", "ana@example.com", "--realm", "staff", "--yes")
        assert live.post("/oauth/token", **login).json["mfa_requirements"] == {"enroll": [{"type": "otp"}]}
        for _ in range(10):
            live.post("/oauth/token", **(login | {"password": "wrong"}))
        assert live.post("/oauth/token", **login).status == 429
        assert "1 address" in belay("users", "unblock", "ana@example.com", "--realm", "staff")
        assert live.post("/oauth/token", **login).status == 403
        types = [json.loads(belay("logs", "list", "--json", "--limit", "3"))[i]["type"] for i in range(3)]
        assert types == ["limit_wc", "ublkdu", "mfar"]
        report = json.loads(belay("doctor", "--json"))
        assert all(line["ok"] for line in report), report
        belay("prune")
        belay("db", "backup", str(tmp_path / "copy.db"))


def test_logs_follow_prints_what_happens(templates: Templates, tmp_path: Path) -> None:
    with serving(templates, "sqlite", tmp_path, workers=2) as live:
        env = os.environ | {"BELAY_INSTANCE": str(tmp_path / "instance"), "PYTHONUNBUFFERED": "1"}
        follower = subprocess.Popen(
            [BELAY, "logs", "follow", "--json"], env=env, stdout=subprocess.PIPE, text=True
        )
        done = threading.Event()

        def knock() -> None:
            while not done.wait(0.2):
                live.post("/oauth/token", grant_type="password", client_id="nobody")

        knocking = threading.Thread(target=knock)
        knocking.start()
        try:
            assert follower.stdout is not None
            lines = [json.loads(follower.stdout.readline()) for _ in range(3)]
        finally:
            done.set()
            knocking.join()
            follower.terminate()
            follower.communicate()
    assert {line["reason"] for line in lines} == {"unknown_client"}
    assert len({line["id"] for line in lines}) == 3


def test_keys_rotate_revoke_and_reseal(run: Run, tmp_path: Path) -> None:
    run("db", "upgrade")
    run("realms", "create", "staff")
    keys = json.loads(run("keys", "list", "--json").stdout)
    assert sorted(key["state"] for key in keys) == ["current", "next"]
    assert "use --now" in run("keys", "rotate", code=1).stderr
    run("keys", "rotate", "--now")
    [previous] = [
        k["kid"] for k in json.loads(run("keys", "list", "--json").stdout) if k["state"] == "previous"
    ]
    run("keys", "revoke", previous, "--yes")
    run("keys", "revoke", previous, "--yes", code=1)
    done = run("keys", "reseal", "--forget-old").stdout
    assert "0 are left on older keys" in done
    assert len(json.loads((tmp_path / "instance" / "keyring.json").read_text())["keys"]) == 1
    run("doctor")


def test_a_lost_key_ring_is_noticed(run: Run, tmp_path: Path) -> None:
    run("db", "upgrade")
    (tmp_path / "instance" / "keyring.json").unlink()
    for command in ("doctor", "serve"):
        told = run(command, code=78).stderr
        assert "keyring.json is missing; restore the key ring" in told
    assert not (tmp_path / "instance" / "keyring.json").exists()


def test_it_runs_as_a_module_of_any_wsgi_server() -> None:
    script = "import app; print(app.create_app.__name__)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "create_app"


def test_a_list_of_leaked_passwords_becomes_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "list").write_text(
        "password\n" + "5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8:9\n" + "letmein\n"
    )
    done = run("breaches", "build", "list", "leaks")
    assert done.stdout == "leaks: 2 leaked passwords\n"
    assert run("breaches", "build", "-", "other", stdin="one\ntwo\n").stdout == "other: 2 leaked passwords\n"
    (tmp_path / "folder").mkdir()
    run("breaches", "build", "list", "nowhere/leaks", code=1)
    (tmp_path / "other").write_bytes(b"broken")
    run("db", "upgrade")
    assert "a file of 2" in run("doctor", BELAY_BREACH_RANGE_URL="file:leaks", code=4).stdout
    assert "not made by" in run("doctor", BELAY_BREACH_RANGE_URL="file:other", code=4).stdout
