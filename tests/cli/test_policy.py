"""`belay policy`, and the way back for somebody without a factor, at the command line."""

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from app.cli import main
from app.context import Server
from tests.making import Cast
from tests.wire import Wire, code_of, refused


@pytest.fixture
def database() -> str:
    return "sqlite"


class Command:
    def __init__(self, server: Server, folder: Path) -> None:
        self.folder = folder
        self.env = {
            "BELAY_INSTANCE": str(server.settings.instance),
            "BELAY_DATABASE_URL": server.settings.database_url,
            "BELAY_INSECURE_TEST": "1",
        }

    def run(self, *words: str, code: int = 0, stdin: str = "") -> str:
        assert isinstance(main, click.Group)
        done = CliRunner().invoke(main, list(words), env=self.env, input=stdin)
        assert done.exit_code == code, done.output
        return done.output

    def json(self, *words: str, stdin: str = "") -> dict[str, object]:
        found: dict[str, object] = json.loads(self.run(*words, "--json", stdin=stdin))
        return found


@pytest.fixture
def belay(server: Server, cast: Cast, tmp_path: Path) -> Command:
    return Command(server, tmp_path)


def test_a_policy_is_set_shown_and_asked(belay: Command, wire: Wire, cast: Cast) -> None:
    assert belay.run("policy", "set", "staff", "always") == "staff: mode=always\n"
    file = belay.folder / "policy.json"
    file.write_text('{"enrollment": {"grace": {"type": "skips", "skips": 1}}, "locked": true}')
    assert belay.run("policy", "set", "staff", "--file", str(file)) == "staff: mode=always;grace=skips:1\n"
    shown = belay.json("policy", "show", "staff")
    assert (shown["effective_mode"], shown["version"], shown["updated_by"]) == ("always", 3, "belay cli")
    told = belay.json("policy", "evaluate", "staff", "bob@example.com", "--client", "app")
    assert (told["decision"], told["reasons"]) == ("allow", ["mode_always", "in_grace"])
    assert "in_grace" in belay.run("policy", "evaluate", "staff", "bob@example.com")
    wire.ok(wire.password("bob@example.com"))
    told = belay.json("policy", "evaluate", "staff", "bob@example.com")
    assert (told["decision"], told["grace_skips_left"]) == ("enroll", 0)

    replaced = belay.run("policy", "set", "staff", "never", "--file", "-", "--replace", stdin="{}")
    assert replaced == "staff: mode=never\n"
    for wrong in ("[]", "{", '{"mode": "often"}', '{"blind": true}'):
        belay.run("policy", "set", "staff", "--file", "-", stdin=wrong, code=2 if wrong in "[]{" else 1)
    belay.run("policy", "set", "staff", code=2)
    assert belay.json("policy", "show", "staff")["mode"] == "never"


def test_adoption_and_rehearsal_are_told(belay: Command, wire: Wire, cast: Cast) -> None:
    wire.ok(wire.password("bob@example.com"))
    wire.mfa_token()
    told = belay.json("policy", "adoption", "staff")
    assert told["now"]["users_enrolled"] == 1 and told["days"][0]["challenges"]["issued"] == 1  # type: ignore[index]
    assert "users_total" in belay.run("policy", "adoption", "staff")
    told = belay.json("policy", "rehearse", "staff", "always", "--days", "2")
    assert (told["logins"], told["challenge"], told["enroll"]) == (2, 1, 1)
    closed = '{"mode": "always", "enrollment": {"self_service": "closed"}}'
    table = belay.run("policy", "rehearse", "staff", "--file", "-", stdin=closed)
    assert f"{cast.bob.id}\tenrollment_closed" in table and "app\t0\t1\t0\t1" in table


def test_what_people_read_is_not_what_programs_read(belay: Command, wire: Wire, cast: Cast) -> None:
    wire.ok(wire.otp(wire.mfa_token(), code_of(cast.alice_totp)))
    belay.run("policy", "set", "staff", "always")
    adoption = belay.run("policy", "adoption", "staff").splitlines()
    assert "by_factor               otp:1 recovery-code:1" in adoption
    date, issued, passed, failed, *_ = adoption[-1].split("\t")
    assert (issued, passed, failed) == ("1", "otp:1", "0") and len(date) == 10
    told = belay.run("policy", "evaluate", "staff", "alice@example.com")
    (id,) = [f["id"] for f in belay.json("policy", "evaluate", "staff", "alice@example.com")["factors"]  # type: ignore[attr-defined]
             if f["name"] == "otp"]  # fmt: skip
    assert f"otp ({id})" in told and "mode_always enrolled" in told
    words = (("show", "staff"), ("rehearse", "staff", "never"))
    printed = "\n".join([*adoption, told, *(belay.run("policy", *command) for command in words)])
    assert not set("{}[]'\"") & set(printed), printed
    assert not any(word in printed.split() for word in ("True", "False", "None"))


def test_somebody_without_a_factor_is_brought_back(belay: Command, wire: Wire, cast: Cast) -> None:
    done = belay.json("users", "reset-mfa", "alice", "--realm", "staff", "--yes", "--access-pass", "600")
    assert sorted(done["removed"]) == ["recovery_code", "totp"]  # type: ignore[call-overload]
    belay.run(
        "policy", "set", "staff", "always", "--file", "-", stdin='{"enrollment": {"proof": "access_pass"}}'
    )
    made = belay.json("users", "access-pass", "alice", "--realm", "staff", "--reason", "on the telephone")
    token = wire.mfa_token()

    def associate(text: object) -> object:
        headers = {"Authorization": f"Bearer {token}"}
        return wire.post_json(
            "/mfa/associate", headers=headers, authenticator_types=["otp"], access_pass=text
        )

    refused(associate(done["access_pass"]), 403, "access_denied")  # type: ignore[arg-type]
    wire.ok(associate(made["access_pass"]))  # type: ignore[arg-type]


def test_many_are_reset_at_once(belay: Command, wire: Wire, cast: Cast) -> None:
    words = ("users", "reset-mfa", "--realm", "staff", "--yes")
    assert belay.json(*words, "--query", "email:bob*") == {"reset": 0, "unchanged": 1}
    assert belay.json(*words, "--everybody", "--factor", "phone") == {"reset": 0, "unchanged": 2}
    assert belay.json(*words, "--everybody", "--reason", "a drill") == {"reset": 1, "unchanged": 1}
    wire.ok(wire.password())  # nothing is left that could be asked for
    for wrong in ((), ("alice", "--everybody"), ("alice", "--factor", "otp"), ("--query", "nonsense:1")):
        belay.run(*words, *wrong, code=2)
    belay.run(*words, "--everybody", "--access-pass", "600", code=2)
