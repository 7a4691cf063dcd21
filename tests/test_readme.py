"""README stays true: its tour runs, its settings are the program's, its commands exist."""

import os
import re
import subprocess
from pathlib import Path

from click.testing import CliRunner

from app import errors
from app.cli import COMMANDS, main
from app.cli.demo import TOUR
from app.settings import Settings, variable
from tests.databases import free_port
from tests.live import BELAY

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
COMPATIBILITY = (ROOT / "docs" / "compatibility.md").read_text("utf-8")


def readme_tour() -> str:
    found = re.search(r"<!-- tour -->\n```sh\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_tour_is_the_one_that_the_demo_prints() -> None:
    assert readme_tour() == ". instance/demo.env\n\n" + TOUR.read_text("utf-8")


def test_the_tour_runs_as_printed_by_the_demo_and_as_written_in_the_readme(tmp_path: Path) -> None:
    """In a folder that looks like a checkout: `.venv` is the environment, `instance` is new."""
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    port = str(free_port())
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BELAY_")}
    env = clean | {"PORT": port, "WEB_CONCURRENCY": "1"}
    with (tmp_path / "printed").open("w") as printed:
        demo = subprocess.Popen(
            [BELAY, "demo"], cwd=tmp_path, env=env, stdout=printed, stderr=subprocess.PIPE
        )
    try:
        wait = f"for i in $(seq 300); do curl -sf http://127.0.0.1:{port}/readyz && exit 0; sleep 0.1; done; exit 1"
        subprocess.run(["bash", "-c", wait], check=True, capture_output=True)
        script = readme_tour()
        done = subprocess.run(
            ["bash", "-e", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0 and done.stderr == "", done.stderr
        for expected in (
            "mfa_required",
            '"secret":',
            "'aud': ['https://orders.example.com'",
            '"refresh_token":"v1.',
        ):
            assert expected in done.stdout
        types = [line.split("\t")[1] for line in done.stdout.splitlines()[-6:]]
        types = [
            type for type in types if type != "gd_send_email"
        ]  # the notice goes out meanwhile, or a little later
        assert types[-5:] == ["mfar", "gd_start_enroll", "seotpft", "sertft", "sepft"]
    finally:
        demo.terminate()
        demo.communicate(timeout=20)
    lines = (tmp_path / "printed").read_text().splitlines()
    values = dict(
        line.split("=", 1) for line in (tmp_path / "instance" / "demo.env").read_text().splitlines()
    )
    assert any(values["EMPLOYEE_PASSWORD"] in line for line in lines), "the real values are printed"


def test_every_setting_is_in_the_table_with_its_meaning() -> None:
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \|[^|]*\| (.*) \|$", README, re.MULTILINE))
    wanted = {variable(name): field.description for name, field in Settings.model_fields.items()}
    assert rows == wanted


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`?make ([a-z]+)`?", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_command_of_the_readme_has_help() -> None:
    for words in set(re.findall(r"belay ((?:[a-z-]+ ?){1,2})", README)):
        if words.split()[0] in COMMANDS:
            asked = CliRunner().invoke(main, [*words.split()[:2], "--help"])
            assert asked.exit_code == 0 and asked.output.startswith("Usage:"), words


def test_lock_files_hold_hashes_and_no_address() -> None:
    for lock in ROOT.glob("requirements*.lock"):
        text = lock.read_text()
        assert "--hash=sha256:" in text
        assert not re.search(r"https?://|file:|--index|--find", text), lock.name


def test_every_refusal_has_a_status_and_a_code() -> None:
    codes = {errors.wire_code(kind): kind.status for kind in errors.Refusal.__subclasses__()}
    assert codes["invalid_grant"] == 403 and codes["mfa_required"] == 403
    assert all(400 <= status <= 503 for status in codes.values())
