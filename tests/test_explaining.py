"""Every refusal has an id, and an administrator finds by it which limit, which policy, with the counts."""

import json
import re
from typing import Any

import pytest
from click.testing import CliRunner

from app.accounts import explaining
from app.cli import logs
from app.guards.protection import BRUTE_FORCE
from app.settings import variable
from tests.making import CAROLS_PASSWORD, Cast
from tests.management.conftest import Admin, token_for
from tests.wire import Wire, code_of

FORM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{16}")


@pytest.fixture
def admin(wire: Wire, cast: Cast) -> Admin:
    return Admin(wire, token_for(wire))


def error_id(answer: Any) -> str:
    assert answer.json is not None and FORM.fullmatch(answer.json["error_id"]), answer.text
    return str(answer.json["error_id"])


def explained(admin: Admin, answer: Any) -> str:
    found = admin.get(f"/logs/{error_id(answer)}")
    assert found["details"]["error_id"] == error_id(answer)
    assert admin.get(f"/logs/{found['log_id']}") == found
    return " ".join(found["explanation"])


def test_the_administrator_hears_which_limit_with_its_counts(admin: Admin, wire: Wire, cast: Cast) -> None:
    admin.patch(f"/{BRUTE_FORCE}", {"max_attempts": 2})
    wrong = [wire.password("bob@example.com", "wrong") for _ in range(2)]
    over = wire.password("bob@example.com")
    assert explained(admin, wrong[0]) == "The password was wrong."
    text = explained(admin, over)
    assert "identifier bob@example.com, source 127.0.0.1, count 2, max 2" in text
    assert "bob" not in over.text and "127.0.0.1" not in over.text, "to the administrator only"
    assert "Nobody in the realm" in explained(admin, wire.password("nobody@example.com", "wrong"))


def test_the_policy_and_the_second_factors_limit_are_named(admin: Admin, wire: Wire, cast: Cast) -> None:
    owed = wire.password(password=CAROLS_PASSWORD, realm="guests")
    assert "mode always" in explained(admin, owed)
    token = wire.mfa_token()
    for number in range(10):
        wire.otp(token, f"{number:06}")
    limited = wire.otp(token, code_of(cast.alice_totp))
    assert limited.status_code == 429 and "max 10" in explained(admin, limited)
    admin.patch(f"/users/{cast.bob.id}", {"blocked": True})
    assert "administrator has blocked" in explained(admin, wire.password("bob@example.com"))


def test_every_kind_of_answer_carries_an_id_of_one_form(admin: Admin, wire: Wire, cast: Cast) -> None:
    answers = [
        wire.post("/oauth/token"),
        wire.post("/oauth/token", grant_type="password"),
        wire.password(client_secret="wrong"),
        wire.get("/userinfo", "nobody's"),
        wire.get("/nothing"),
        wire.client.delete("/oauth/token"),
        wire.client.get("/api/v2/users"),
        wire.client.post("/dbconnections/signup", json={}),
        admin.ask("GET", "/users/nobody"),
        wire.password("bob@example.com", "wrong", headers={"X-Request-ID": "of-a-proxy"}),
    ]
    assert len({error_id(answer) for answer in answers}) == len(answers)
    assert "secret" not in error_id(answers[2])


@pytest.mark.parametrize("wanted", ["00000000-0000000000000000", "zz", "ffffffff-0123456789abcdef", "1"])
def test_an_id_of_nothing_finds_nothing(admin: Admin, wire: Wire, wanted: str) -> None:
    with wire.server.db.read() as conn:
        assert explaining.find(conn, wanted) == []
    if wanted != "1":
        assert admin.ask("GET", f"/logs/{wanted}").status_code == 404


def test_the_command_says_the_same(wire: Wire, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("instance", "database_url", "public_url", "hash_memory_kib", "hash_time", "insecure_test"):
        monkeypatch.setenv(variable(name), str(getattr(wire.server.settings, name)))
    wanted = error_id(wire.password("bob@example.com", "wrong"))
    said = CliRunner().invoke(logs.logs, ["explain", wanted])
    assert said.exit_code == 0 and said.output.rstrip().endswith("The password was wrong."), said.output
    (found,) = json.loads(CliRunner().invoke(logs.logs, ["explain", wanted, "--json"]).output)
    assert found["explanation"] == ["The password was wrong."] and found["type"] == "fp"
    missing = CliRunner().invoke(logs.logs, ["explain", "00000000-0000000000000000"])
    assert missing.exit_code == 1 and "no event belongs" in missing.output
