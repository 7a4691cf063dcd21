"""`belay rules`: from files to logins, and trying rules out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from app.cli import main
from app.context import Server
from app.rules import runtime
from tests.making import Cast
from tests.wire import Wire, refused

NAME = "https://example.com/plan"


@pytest.fixture
def belay(server: Server) -> Callable[..., Result]:
    settings = {
        "BELAY_INSTANCE": str(server.settings.instance),
        "BELAY_DATABASE_URL": server.settings.database_url,
        "BELAY_INSECURE_TEST": "1",
        "BELAY_HASH_MEMORY_KIB": "8",
        "BELAY_HASH_TIME": "1",
    }

    def run(*words: str, code: int = 0, stdin: str = "") -> Result:
        done = CliRunner().invoke(main, list(map(str, words)), env=settings, input=stdin)
        assert done.exit_code == code, done.output
        return done

    return run


def write(folder: Path, name: str, body: str) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"function (user, context, callback) {{ {body} }}", "utf-8")
    return file


def test_rules_are_deployed_from_a_folder_and_logins_pass_through_them(
    belay: Callable[..., Result], wire: Wire, cast: Cast, tmp_path: Path
) -> None:
    folder = tmp_path / "rules"
    write(folder, "20-deny.js", "callback(new Error(user.note + configuration.END));")
    write(folder, "10-note.js", "user.note = 'noted'; callback(null, user, context);")
    belay("rules", "config", "END", stdin="!\n")
    assert belay("rules", "config").stdout == "END\n"
    told = json.loads(belay("rules", "deploy", str(folder), "--json").stdout)
    assert told == {"created": ["note", "deny"], "updated": [], "removed": []}
    refused(wire.password("bob@example.com"), 403, "access_denied", "noted!")

    (folder / "20-deny.js").rename(folder / "05-deny.js")
    write(folder, "30-last.js", "callback(null, user, context);")
    told = json.loads(belay("rules", "deploy", str(folder), "--json").stdout)
    assert told["created"] == ["last"] and set(told["updated"]) == {"deny", "note"}
    refused(wire.password("bob@example.com"), 403, "access_denied", "undefined!")
    (folder / "05-deny.js").unlink()
    told = json.loads(belay("rules", "deploy", str(folder), "--prune", "--json").stdout)
    assert told["removed"] == ["deny"]
    wire.ok(wire.password("bob@example.com"))
    write(folder, "40-broken.js", "if")
    assert "must be one JavaScript function" in belay("rules", "deploy", str(folder), code=1).stderr
    assert [line.split("\t")[1] for line in belay("rules", "list").stdout.splitlines()] == ["note", "last"]
    runtime.close(wire.server)


def test_one_rule_is_created_shown_changed_and_deleted(belay: Callable[..., Result], tmp_path: Path) -> None:
    file = write(tmp_path, "a.js", "callback(null, user, context);")
    belay("rules", "create", "Mine", str(file), "--disabled")
    assert "callback(null" in belay("rules", "show", "Mine").stdout
    belay("rules", "update", "Mine", "--enable", "--order", "7")
    shown = json.loads(belay("rules", "show", "Mine", "--json").stdout)
    assert (shown["order"], shown["enabled"]) == (7, True)
    assert "same name" in belay("rules", "create", "Mine", str(file), code=1).stderr
    assert "letters" in belay("rules", "create", "no/name", str(file), code=1).stderr
    belay("rules", "delete", "Mine", "--yes")
    belay("rules", "show", "Mine", code=1)


def test_a_trial_tells_time_differences_console_and_outcome(
    belay: Callable[..., Result], cast: Cast, tmp_path: Path
) -> None:
    file = write(
        tmp_path,
        "plan.js",
        f"""console.log('plan of', user.email); context.idToken['{NAME}'] = 'gold'; delete user.name;
            context.multifactor = {{provider: 'any'}};
            auth0.users.updateAppMetadata(user.user_id, {{seen: 1}}).then(() => callback(null, user, context));""",
    )
    told: Any = json.loads(belay("rules", "test", str(file), "--json").stdout)
    assert told["outcome"]["result"] == "passed" and told["outcome"]["multifactor"] == "demand"
    (step,) = told["rules"]
    assert step["console"] == ["plan of ana@example.com"] and step["milliseconds"] > 0
    assert f'+ context.idToken.{NAME}: "gold"' in step["differences"] and "- user.name" in step["differences"]
    assert step["writes"] == ['app_metadata: {"seen": 1}']
    assert "> plan of" in belay("rules", "test", str(file)).stdout

    seen = tmp_path / "seen.json"
    login = ("--realm", "staff", "--user", "bob@example.com", "--client", "app", "--save", str(seen))
    told = json.loads(belay("rules", "test", str(file), *login, "--json").stdout)
    assert told["rules"][0]["console"] == ["plan of bob@example.com"]
    again = json.loads(belay("rules", "test", str(file), "--context", str(seen), "--json").stdout)
    assert again["rules"][0]["differences"] == told["rules"][0]["differences"]
    assert cast.bob.id in seen.read_text()

    write(tmp_path, "plan.js", "callback(new UnauthorizedError('Not today'));")
    assert "Not today" in belay("rules", "test", str(file), code=1).stdout
    seen.write_text("[]")
    assert "not an object" in belay("rules", "test", str(file), "--context", str(seen), code=1).stderr
