"""Rules in Python: the operator's files, with the effects of all rules, and as closed when they fail."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.context import Server
from app.rules import files, runtime
from app.rules.process import Program, Script
from app.rules.rule import Denied, Effects, Failed, Seen
from app.store import users
from tests import making
from tests.databases import Templates
from tests.evidence import within
from tests.live import BELAY, serving
from tests.making import CAROLS_PASSWORD, PASSWORD, Cast
from tests.rules.running import CONTEXT, USER, rule_server
from tests.test_ruling import claims, put
from tests.wire import APP, FULL, Wire, refused

PLAN = "https://example.com/plan"


def write(folder: Path, name: str, body: str) -> None:
    folder.mkdir(exist_ok=True)
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    (folder / name).write_text(f"def rule(user, context):\n{lines}", "utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "python").mkdir(mode=0o700)
    return tmp_path / "python"


@pytest.fixture
def server(server: Server, folder: Path) -> Iterator[Server]:
    changed = replace(server, settings=server.settings.model_copy(update={"python_rules": folder}))
    yield changed
    runtime.close(changed)


def login(wire: Wire, name: str = "bob@example.com", **more: str) -> dict[str, str]:
    return wire.ok(wire.password(name, **FULL, **more))


# --- effects -------------------------------------------------------------------------------------------------------


def test_a_rule_sets_claims_of_both_tokens(wire: Wire, cast: Cast, folder: Path) -> None:
    write(folder, "10-plan.py", f"context['idToken']['{PLAN}'] = user['email'].split('@')[0].upper()")
    write(folder, "20-more.py", f"context['accessToken']['{PLAN}'] = context['idToken']['{PLAN}'] + '!'")
    tokens = login(wire)
    assert claims(tokens["id_token"])[PLAN] == "BOB" and claims(tokens["access_token"])[PLAN] == "BOB!"
    (event,) = [event for event in wire.events() if event.type == "sepft"]
    told: Any = event.details["rules"]
    assert told["ran"] == ["10-plan", "20-more"]


def test_a_rule_demands_a_second_factor_and_no_other_rule_takes_it_back(
    wire: Wire, cast: Cast, folder: Path
) -> None:
    put(
        wire.server,
        "context.multifactor = {provider: 'none'}; user.seen = true; callback(null, user, context);",
    )
    write(folder, "demand.py", "assert user['seen']\ncontext['multifactor'] = {'provider': 'any'}")
    refused(wire.password("bob@example.com"), 403, "mfa_required")


def test_a_rule_refuses_in_its_own_words(wire: Wire, cast: Cast, folder: Path) -> None:
    write(folder, "deny.py", "raise UnauthorizedError('not on ' + context['connection'])")
    refused(wire.password("bob@example.com"), 401, "unauthorized", "not on staff")
    refused(
        wire.password("alice@example.com", CAROLS_PASSWORD, realm="guests"),
        401,
        "unauthorized",
        "not on guests",
    )


def test_a_rule_writes_metadata_when_tokens_are_issued(wire: Wire, cast: Cast, folder: Path) -> None:
    write(folder, "count.py", "update_app_metadata({'logins': user['app_metadata'].get('logins', 0) + 1})")
    login(wire)
    login(wire)
    with wire.server.db.read() as conn:
        found = users.find_user(conn, cast.bob.id)
    assert found is not None and found.app_metadata == {"logins": 2}


def test_a_redirect_ends_the_login(wire: Wire, cast: Cast, folder: Path) -> None:
    write(folder, "terms.py", "context['redirect'] = {'url': 'https://example.com/terms'}")
    refused(wire.password("bob@example.com"), 403, "interaction_required")


# --- fail closed ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def rule(user, context):\n    1 / 0", "rule_threw"),
        ("def rule(user, context):\n    return 1", "rule_bad_answer"),
        ("def rule(user, context)", "rule_not_compiled"),
        ("import socket_that_is_not_there", "rule_not_compiled"),
        ("def another(user, context): pass", "rule_not_compiled"),
        ("def rule(user, context):\n    context['idToken'] = {1, 2}", "rule_bad_answer"),
        ("def rule(user, context):\n    raise SystemExit", "rule_threw"),
    ],
)
def test_what_cannot_be_run_refuses_the_login(
    wire: Wire, cast: Cast, folder: Path, source: str, reason: str
) -> None:
    (folder / "rule.py").write_text(source)
    refused(wire.password("bob@example.com"), 403, "access_denied")
    assert wire.events()[-1].reason == reason


def test_a_folder_that_cannot_be_read_refuses_the_login(wire: Wire, cast: Cast, folder: Path) -> None:
    folder.rmdir()
    refused(wire.password("bob@example.com"), 403, "access_denied")
    assert wire.events()[-1].reason == "rule_not_readable"
    folder.mkdir()
    assert wire.password("bob@example.com").status_code == 200, "and it is tried again"


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with rule_server(tmp_path_factory.mktemp("rules"), rules_seconds=1.5) as found:
        yield found


def run(server: Server, *sources: str, **configuration: str) -> Effects | Denied | Failed:
    scripts = [
        Script(f"rule-{at}", source, "python" if source.startswith(("def", "import")) else "rule")
        for at, source in enumerate(sources)
    ]
    seen = Seen(USER, CONTEXT)
    return runtime.run(server, Program(tuple(scripts), configuration), seen).outcome


def python(body: str) -> str:
    return f"def rule(user, context):\n    {body}"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("while True: pass", "timed_out"),
        ("import time; time.sleep(30)", "timed_out"),
        ("x = 'x' * (1 << 30)", "out_of_memory"),
        ("rule(user, context)", "out_of_memory"),
        ("print('x' * 100_000_000); context['idToken']['https://x/a'] = 'x' * 300_000", "answer_too_large"),
    ],
)
def test_a_rule_that_takes_too_much_is_ended_within_its_budget(apart: Server, body: str, why: str) -> None:
    started = time.monotonic()
    outcome = run(apart, python(body))
    assert isinstance(outcome, Failed) and outcome.why == why, outcome
    assert time.monotonic() - started < within(2.5)
    assert isinstance(run(apart, python("pass")), Effects), "the next login finds a process that works"


def test_a_rule_that_swallows_its_end_is_killed(apart: Server) -> None:
    body = """
    while True:
        try:
            while True: pass
        except BaseException:
            pass"""
    started = time.monotonic()
    outcome = run(apart, python(body))
    assert isinstance(outcome, Failed) and time.monotonic() - started < within(2.5), outcome
    assert isinstance(run(apart, python("pass")), Effects)


# --- what a rule finds ---------------------------------------------------------------------------------------------


def test_a_rule_has_no_files_no_network_and_no_environment(apart: Server) -> None:
    for body in ("open('/etc/passwd')", "import socket", "import subprocess", "import os; os.fork()"):
        outcome = run(apart, python(body))
        assert isinstance(outcome, Denied) and outcome.why == "threw", (body, outcome)
    outcome = run(apart, python("import os; context['idToken']['https://x/env'] = ' '.join(os.environ)"))
    assert isinstance(outcome, Effects) and "BELAY" not in str(outcome.id_token_claims)


def test_rules_of_both_languages_share_configuration_and_cache(apart: Server) -> None:
    outcome = run(
        apart,
        "function (user, context, callback) { global.a = configuration.KEY; callback(null, user, context); }",
        python("cache['b'] = cache['a'] + configuration['KEY']"),
        "function (user, context, done) { context.idToken['https://x/b'] = global.b; done(null, user, context); }",
        KEY="k",
    )
    assert isinstance(outcome, Effects) and outcome.id_token_claims == {"https://x/b": "kk"}


def test_hosts_that_are_not_listed_are_not_asked(apart: Server) -> None:
    outcome = run(apart, python("fetch('https://example.com/', method='post', body={'a': 1})"))
    assert isinstance(outcome, Denied) and "host_not_allowed" in outcome.message


def test_an_answer_that_nobody_waited_for_is_not_the_next_rules(apart: Server) -> None:
    """The first rule asks and does not wait; its refusal must not reach the second one's request."""
    hasty = (
        "function (user, context, callback) { fetch('https://first.example/').catch(function () {}); "
        "callback(null, user, context); }"
    )
    patient = python(
        "try:\n        fetch('not an address')\n"
        "    except ConnectionError as error:\n        context['idToken']['https://x/why'] = str(error)"
    )
    outcome = run(apart, hasty, patient)
    assert isinstance(outcome, Effects)
    assert outcome.id_token_claims["https://x/why"] == "the request failed: address_not_allowed"


# --- the operator's side -------------------------------------------------------------------------------------------


def test_what_is_wrong_with_a_folder_is_told(folder: Path) -> None:
    write(folder, "good.py", "pass")
    assert files.problems_of(folder) == []
    (folder / "bad.py").write_text("def rule(")
    (folder / "good.py").chmod(0o666)
    told = files.problems_of(folder)
    assert len(told) == 2 and "good.py" in told[0] and "bad.py" in told[1]
    assert files.problems_of(folder / "nowhere")


def test_a_signal_reads_the_files_again(templates: Templates, tmp_path: Path, folder: Path) -> None:
    write(folder, "rule.py", "raise UnauthorizedError('first')")
    login = {"grant_type": "password", "username": "bob@example.com", "password": PASSWORD} | APP
    with serving(templates, "sqlite", tmp_path, workers=2, BELAY_PYTHON_RULES=str(folder)) as live:
        making.make_cast(live.server)
        assert live.post("/oauth/token", **login).json["error_description"] == "first"
        write(folder, "rule.py", "raise UnauthorizedError('second')")
        assert live.post("/oauth/token", **login).json["error_description"] == "first"
        os.kill(live.process.pid, signal.SIGHUP)
        deadline = time.monotonic() + 20
        told: set[str] = set()
        while told != {"second"}:
            assert time.monotonic() < deadline, told
            time.sleep(0.1)
            told = {live.post("/oauth/token", **login).json["error_description"] for _ in range(6)}
        assert live.process.poll() is None


def test_the_command_line_lists_and_tests_them(folder: Path, tmp_path: Path) -> None:
    write(folder, "10-plan.py", f"print('hello')\ncontext['idToken']['{PLAN}'] = 'gold'")
    env = {"BELAY_INSTANCE": str(tmp_path / "instance"), "BELAY_PYTHON_RULES": str(folder)}

    def belay(*words: str) -> str:
        done = subprocess.run([BELAY, *words], env=env, capture_output=True, text=True, check=True)
        return done.stdout

    belay("db", "upgrade")
    (listed,) = json.loads(belay("rules", "list", "--json"))
    assert listed["name"] == "10-plan" and listed["id"] == str(folder / "10-plan.py")
    for told in (
        json.loads(belay("rules", "test", "--json")),
        json.loads(belay("rules", "test", str(folder / "10-plan.py"), "--json")),
    ):
        assert told["outcome"]["result"] == "passed"
        (step,) = told["rules"]
        assert step["console"] == ["hello"] and step["differences"] == [f'+ context.idToken.{PLAN}: "gold"']
