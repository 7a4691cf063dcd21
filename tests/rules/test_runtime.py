"""Rules in their processes: what they find there, how they end, and what happens to a process that does not end."""

import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from app.context import Server
from app.errors import TemporarilyUnavailable
from app.rules import runtime
from app.rules.outgoing import is_listed
from app.rules.process import COMMAND, Process, Program, Script
from app.rules.rule import Denied, Effects, Failed, Seen
from tests.evidence import within
from tests.rules.running import rule_server, run

PASS = "callback(null, user, context);"
PUT = "context.idToken['https://x/found'] = "


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with rule_server(tmp_path_factory.mktemp("rules"), rules_seconds=1.5, rules_processes=3) as found:
        yield found


def found_by(server: Server, expression: str) -> Any:
    """What a rule's expression is, as a claim tells it."""
    outcome = run(server, f"{PUT} {expression}; {PASS}").outcome
    assert isinstance(outcome, Effects), outcome
    return outcome.id_token_claims.get("https://x/found")


# --- fail closed ---------------------------------------------------------------------------------------------------

FAILURES = {
    "throws": ("throw new Error('x');", "threw"),
    "throws nothing": ("throw undefined;", "threw"),
    "throws what throws when looked at": ("throw {get message() { throw 1; }};", "threw"),
    "throws in a timer": ("setTimeout(function () { throw new Error('x'); }, 1);", "threw"),
    "rejects": ("async function (user, context, callback) { throw new Error('x'); }", "threw"),
    "rejects after a while": ("async function (u, c, callback) { await null; null.x; }", "threw"),
    "throws in a tick": ("process.nextTick(function () { null.x; });", "threw"),
    "says no": ("callback(new Error('x'));", "denied"),
    "says no with a false name": ("callback({name: 'passed', kind: 'passed'});", "denied"),
    "says no before yes": (f"callback('no'); {PASS}", "denied"),
    "never calls back": ("1;", "never_called_back"),
    "never calls back, asynchronously": (
        "async function (u, c, callback) { await null; }",
        "never_called_back",
    ),
    "swallows its rejection": ("Promise.reject(1).catch(function () {});", "never_called_back"),
    "is no function": ("function (user, context, callback) {}; module.exports = 5;", "not_compiled"),
    "is no JavaScript": ("function (user, context, callback) { if }", "not_compiled"),
    "asks for what is not there": (f"require('fs'); {PASS}", "threw"),
    "answers with a number": ("callback(null, 1, 2);", "bad_answer"),
    "answers with lists": ("callback(null, [], []);", "bad_answer"),
    "answers with a ring": (f"context.self = context; {PASS}", "bad_answer"),
    "answers with what throws": (f"user.toJSON = function () {{ throw 1; }}; {PASS}", "bad_answer"),
    "answers with half a character": (f"context.idToken['https://x/a'] = '\\ud800'; {PASS}", "bad_answer"),
    "answers with an abyss": (
        f"var deep = 1; for (var i = 0; i < 200; i++) deep = [deep]; context.deep = deep; {PASS}",
        "bad_answer",
    ),
    "answers with too much": (
        f"context.idToken['https://x/a'] = 'x'.repeat(300000); {PASS}",
        "answer_too_large",
    ),
    "answers with too long claims": (
        f"context.idToken['https://x/a'] = 'x'.repeat(20000); {PASS}",
        "answer_too_large",
    ),
    "asks for other scopes than texts": (f"context.accessToken.scope = [1]; {PASS}", "bad_answer"),
    "runs forever": ("for (;;) {}", "timed_out"),
    "runs forever after a promise": ("Promise.resolve().then(function () { for (;;) {} });", "timed_out"),
    "promises forever": ("(function next() { Promise.resolve().then(next); })();", "timed_out"),
    "waits forever": ("setInterval(function () {}, 5);", "timed_out"),
    "comes too late": (f"setTimeout(function () {{ {PASS} }}, 60000);", "timed_out"),
    "catches its end": ("for (;;) { try { for (;;) {} } catch (e) {} finally { continue; } }", "timed_out"),
    "is stuck in the engine": ("new Array(2147483647).join('x');", "killed timed_out"),
    "eats memory": ("var a = []; for (;;) a.push(new ArrayBuffer(1 << 20));", "out_of_memory"),
    "calls itself": ("(function again() { again(); })();", "threw"),
    "backtracks": ("/^(a+)+$/.test('a'.repeat(50) + 'b');", "timed_out"),
}


def test_a_rule_that_does_not_run_to_its_end_fails_and_says_why(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "CPU_SECONDS", 0.15)
    for what, (body, why) in FAILURES.items():
        started = time.monotonic()
        outcome = run(server, PASS, body, PASS).outcome
        assert isinstance(outcome, Failed | Denied) and outcome.why in why.split(), (what, outcome)
        if not what.startswith(("answers with", "asks for other")):
            assert outcome.rule == "rule-1", what
        assert time.monotonic() - started < server.settings.rules_seconds + within(1), what
    assert isinstance(run(server, PASS).outcome, Effects)


def test_the_message_of_a_refusal_is_the_rules_own(server: Server) -> None:
    assert run(server, "callback(new UnauthorizedError('No entry'));").outcome == Denied(
        "rule-0", True, "No entry"
    )
    assert run(server, "callback({message: 'x', name: 'UnauthorizedError'});").outcome == Denied(
        "rule-0", True, "x"
    )
    assert run(server, "callback('plain');").outcome == Denied("rule-0", False, "plain")


# --- processes -----------------------------------------------------------------------------------------------------


def processes(server: Server) -> list[Any]:
    pool: Any = server.running["rules"]
    return list(pool._idle)


def test_a_process_that_dies_is_replaced_and_the_next_login_does_not_notice(server: Server) -> None:
    assert found_by(server, "1") == 1
    for process in processes(server):
        os.kill(process._child.pid, signal.SIGKILL)
    time.sleep(0.05)
    assert found_by(server, "2") == 2


def test_a_process_killed_in_the_middle_refuses_that_login_only(server: Server) -> None:
    run(server, PASS)
    pids = [process._child.pid for process in processes(server)]
    outcomes: list[object] = []
    waiting = threading.Thread(
        target=lambda: outcomes.append(run(server, f"setTimeout(function () {{ {PASS} }}, 1000);").outcome)
    )
    waiting.start()
    time.sleep(0.3)
    busy = set(pids) - {process._child.pid for process in processes(server)}
    for pid in busy:
        os.kill(pid, signal.SIGKILL)
    waiting.join()
    assert outcomes == [Failed("rule-0", "killed")]
    assert isinstance(run(server, PASS).outcome, Effects)


def test_several_run_at_once_and_no_more_than_there_may_be(server: Server) -> None:
    outcomes: list[object] = []

    def wait() -> None:
        try:
            outcomes.append(run(server, f"setTimeout(function () {{ {PASS} }}, 900);").outcome)
        except TemporarilyUnavailable as refusal:
            outcomes.append(refusal.reason)

    threads = [threading.Thread(target=wait) for _ in range(7)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Three processes, 1.5 seconds: some find one in time, and the others hear that none was free.
    assert time.monotonic() - started < within(3.5)
    assert sum(isinstance(outcome, Effects) for outcome in outcomes) >= 3
    assert all(outcome == "rules_busy" or isinstance(outcome, Effects | Failed) for outcome in outcomes)
    assert isinstance(run(server, PASS).outcome, Effects)


def test_a_process_has_no_environment_no_files_and_no_way_out(tmp_path: Path) -> None:
    """What somebody could do who broke out of the engine: the process itself, asked in Python."""
    script = """
import importlib.util, json, os, socket, subprocess, sys
spec = importlib.util.spec_from_file_location("confinement", sys.argv[1])
confinement = importlib.util.module_from_spec(spec)
spec.loader.exec_module(confinement)
open_files = sorted(os.listdir("/proc/self/fd"))[:-1]
confinement.confine()
is_filtered = confinement.filter_calls()
found = {"environment": dict(os.environ), "files": open_files, "is_filtered": is_filtered}
def attempt(name, call):
    try:
        call()
        found[name] = "done"
    except Exception as error:
        found[name] = type(error).__name__
attempt("read", lambda: open("/etc/passwd"))
attempt("write", lambda: open(sys.argv[2], "w"))
attempt("connect", lambda: socket.socket())
attempt("fork", lambda: os.fork())
attempt("start", lambda: os.execv("/bin/true", ["true"]))
attempt("list", lambda: os.listdir("/"))
attempt("kill", lambda: os.kill(os.getppid(), 0))
attempt("memory", lambda: bytearray(1 << 30))
print(json.dumps(found))
"""
    confinement = Path(COMMAND[3]).with_name("confinement.py")
    command = [sys.executable, "-I", "-S", "-c", script, str(confinement), str(tmp_path / "made")]
    done = subprocess.run(command, env={"TZ": "UTC"}, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["environment"].keys() <= {"TZ", "LC_CTYPE"}
    assert found["is_filtered"], "this kernel knows no seccomp"
    for name in ("read", "write", "connect", "fork", "start", "list", "kill"):
        assert found[name] in ("PermissionError", "OSError", "BlockingIOError"), (name, found[name])
    assert found["memory"] == "MemoryError"
    assert not (tmp_path / "made").exists()


def test_a_process_inherits_no_descriptor_and_knows_no_other_package(server: Server) -> None:
    run(server, PASS)
    secret_file = os.open("/etc/hostname", os.O_RDONLY)
    os.set_inheritable(secret_file, True)
    try:
        fresh = Process()
        assert fresh.receive(time.monotonic() + 5)["ready"] is True
        links = Path(f"/proc/{fresh._child.pid}/fd")
        assert sorted(link.name for link in links.iterdir()) == ["0", "1", "2"]
        assert b"BELAY" not in Path(f"/proc/{fresh._child.pid}/environ").read_bytes()
        maps = Path(f"/proc/{fresh._child.pid}/maps").read_text()
        assert "_quickjs" in maps and "cryptography" not in maps and "psycopg" not in maps
        fresh.kill()
    finally:
        os.close(secret_file)


# --- what a rule finds around itself -------------------------------------------------------------------------------


def test_contexts_are_fresh_and_only_global_is_kept(server: Server) -> None:
    body = f"""
        Object.prototype.leak = 'x'; globalThis.left = 1; Array.prototype.map = null;
        global.runs = (global.runs || 0) + 1; global.call = function () {{}};
        {PUT} [typeof left, global.runs]; {PASS}"""
    rules = [
        body,
        f"context.idToken['https://x/second'] = [typeof left, ({{}}).leak || 'none', global.runs]; {PASS}",
    ]
    outcome = run(server, *rules).outcome
    assert isinstance(outcome, Effects)
    assert outcome.id_token_claims["https://x/found"] == ["number", 1]
    assert outcome.id_token_claims["https://x/second"] == ["undefined", "none", 1]


def test_global_lasts_until_the_rules_change(server: Server) -> None:
    with_one = Program(
        (
            Script(
                "r",
                f"function (user, context, callback) {{ global.n = (global.n || 0) + 1; {PUT} global.n; {PASS} }}",
            ),
        )
    )
    seen = Seen({"user_id": "u"}, {"idToken": {}})
    for process in processes(server)[1:]:
        process.kill()
    counts = [runtime.run(server, with_one, seen).outcome for _ in range(3)]
    assert [c.id_token_claims["https://x/found"] for c in counts if isinstance(c, Effects)] == [1, 2, 3]
    assert found_by(server, "typeof global.n") == "undefined"


def test_the_small_table_of_modules(server: Server) -> None:
    assert found_by(server, "require('crypto').createHash('sha256').update('abc').digest('hex')") == (
        hashlib.sha256(b"abc").hexdigest()
    )
    text = "é€😀" * 100
    outcome = found_by(
        server,
        f"""['sha1', 'sha256', 'md5'].map(function (name) {{
            const c = require('crypto');
            return [c.createHash(name).update('{text}').digest('hex'),
                    c.createHmac(name, 'k'.repeat(100)).update('{text}').digest('base64')];
        }})""",
    )
    for name, (plain, keyed) in zip(("sha1", "sha256", "md5"), outcome, strict=True):
        assert plain == hashlib.new(name, text.encode()).hexdigest()
        mac = hmac.new(b"k" * 100, text.encode(), name).digest()
        assert keyed == found_by(server, f"Buffer.from('{mac.hex()}', 'hex').toString('base64')")
    assert (
        found_by(server, f"Buffer.from(Buffer.from('{text}').toString('base64'), 'base64').toString()")
        == text
    )
    assert found_by(server, "new Set([1,2,3].map(() => require('uuid@9').v4())).size") == 3
    assert found_by(server, "require('node:url').parse('https://a.b:8/c?d=e#f', true).query.d") == "e"
    assert found_by(server, "require('querystring').stringify({a: ['1', 2], b: 'c d'})") == "a=1&a=2&b=c%20d"
    assert found_by(server, "new URL('/x?y=1', 'https://a.b/c').href") == "https://a.b/x?y=1"


def test_a_zone_that_would_be_passed_over_in_silence_is_refused(server: Server) -> None:
    outcome = run(server, f"new Date().toLocaleString('en', {{timeZone: 'Europe/Berlin'}}); {PASS}").outcome
    assert isinstance(outcome, Denied) and outcome.why == "threw"
    assert found_by(server, "new Date(0).getHours()") == 0


def test_what_rules_print_is_kept_short_and_only_for_those_who_ask(server: Server) -> None:
    flood = f"for (var i = 0; i < 20000; i++) console.log('x'.repeat(1000), {{a: i}}); {PASS}"
    assert all("lines" not in part for part in run(server, flood).trace)
    (part,) = run(server, flood, wants_trace=True).trace
    assert len(part["lines"]) == 100 and part["dropped"] == 19_900
    assert max(map(len, part["lines"])) <= 500


# --- requests ------------------------------------------------------------------------------------------------------


class Site(ThreadingHTTPServer):
    """Somebody's service; answers with what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        site = self

        class Answer(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                site.asked.append({"method": self.command, "path": self.path, "body": body})
                if self.path == "/slow":
                    time.sleep(1.2)
                content = json.dumps(site.asked[-1] | {"headers": dict(self.headers)}).encode()
                self.send_response(302 if self.path == "/moved" else 404 if self.path == "/none" else 200)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = answer

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    found = Site()
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()


@pytest.fixture(scope="module")
def open_server_of(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Iterator[Callable[..., Server]]:
    settings = {"rules_hosts": (f"127.0.0.1:{site.server_port}",), "outgoing_networks": ("127.0.0.0/8",)}
    with rule_server(tmp_path_factory.mktemp("asking"), rules_seconds=1.0, **settings) as found:
        yield lambda: found


def test_requests_go_to_listed_hosts_in_three_ways(open_server_of: Callable[..., Server], site: Site) -> None:
    server = open_server_of()
    fetched = f"""async function (user, context, callback) {{
        const wanted = {{method: 'POST', headers: {{'X-Key': configuration.KEY}}, body: 'text'}};
        const answer = await fetch('{site.url}/a?b=c', wanted);
        {PUT} [answer.status, answer.ok, await answer.json()]; {PASS} }}"""
    outcome = run(server, fetched, configuration={"KEY": "k"}).outcome
    assert isinstance(outcome, Effects), outcome
    status, is_ok, told = outcome.id_token_claims["https://x/found"]
    assert (status, is_ok, told["method"], told["path"], told["body"]) == (
        200,
        True,
        "POST",
        "/a?b=c",
        "text",
    )
    assert {name.lower(): value for name, value in told["headers"].items()}["x-key"] == "k"

    requested = f"""const wanted = {{url: '{site.url}/r', json: {{a: 1}}, qs: {{q: 2}}}};
        request.post(wanted, function (err, response, body) {{
        if (err) return callback(err); {PUT} [response.statusCode, body.body, body.path]; {PASS} }});"""
    outcome = run(server, requested).outcome
    assert isinstance(outcome, Effects), outcome
    assert outcome.id_token_claims["https://x/found"] == [200, '{"a":1}', "/r?q=2"]

    asked = f"""async function (user, context, callback) {{
        const axios = require('axios');
        const [one, two] = await Promise.all([
          axios.get('{site.url}/x', {{params: {{y: 'z'}}}}),
          axios.get('{site.url}/none').catch((e) => e.response.status)]);
        {PUT} [one.data.path, two]; {PASS} }}"""
    outcome = run(server, asked).outcome
    assert isinstance(outcome, Effects), outcome
    assert outcome.id_token_claims["https://x/found"] == ["/x?y=z", 404]


def test_requests_follow_no_redirect_and_end_with_the_budget(
    open_server_of: Callable[..., Server], site: Site
) -> None:
    server = open_server_of()
    site.asked.clear()
    body = f"fetch('{site.url}/moved').then((a) => {{ {PUT} a.status; {PASS} }});"
    outcome = run(server, body).outcome
    assert isinstance(outcome, Effects) and outcome.id_token_claims["https://x/found"] == 302
    assert [asked["path"] for asked in site.asked] == ["/moved"]
    raced = f"""Promise.race([fetch('{site.url}/slow'), new Promise((r) => setTimeout(r, 50, 'late'))])
        .then((won) => {{ {PUT} won; {PASS} }});"""
    outcome = run(server, raced).outcome
    assert isinstance(outcome, Effects) and outcome.id_token_claims["https://x/found"] == "late"
    outcome = run(server, f"fetch('{site.url}/slow').then(() => {{ {PASS} }});").outcome
    assert isinstance(outcome, Failed | Denied) and outcome.why in ("timed_out", "threw", "never_called_back")


def test_without_a_list_nothing_is_asked(server: Server, site: Site) -> None:
    site.asked.clear()
    body = f"fetch('{site.url}/a').then(callback, (e) => {{ {PUT} e.code; {PASS} }});"
    outcome = run(server, body).outcome
    assert isinstance(outcome, Effects) and outcome.id_token_claims["https://x/found"] == "host_not_allowed"
    assert site.asked == []


def test_hosts_are_listed_by_name_below_a_name_and_with_a_port() -> None:
    hosts = ("api.example.com", "*.example.org", "one.example.net:8443")
    assert is_listed(hosts, "api.example.com", None)
    assert is_listed(hosts, "a.b.example.org", None)
    assert is_listed(hosts, "one.example.net", 8443)
    for host, port in [
        ("example.com", None),
        ("xapi.example.com", None),
        ("api.example.com", 8443),
        ("example.org", None),
        ("badexample.org", None),
        ("one.example.net", None),
        ("", None),
    ]:
        assert not is_listed(hosts, host, port), host
    assert not is_listed((), "api.example.com", None)
