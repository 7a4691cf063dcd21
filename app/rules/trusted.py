"""Python rules: files of the operator, who is trusted. Loaded by the worker process from this file, never imported.

They run where JavaScript rules run, so they too have no files, no network and little memory, but nothing keeps them
from looking around in the process: whoever may write the files decides over every login.
"""

import builtins
import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

# What a rule may import: there are no files to load anything else from once the process is confined.
for _name in (
    "base64 collections datetime decimal fnmatch functools hashlib hmac ipaddress itertools math re string "
    "unicodedata urllib.parse uuid"
).split():
    import_module(_name)

MOST_LINES, MOST_CHARACTERS, MOST_REQUESTS = 100, 500, 20
MOST_KEPT, MOST_ANSWERED = 64 * 1024, 256 * 1024

Ask = Callable[[dict[str, Any]], dict[str, Any]]


class UnauthorizedError(Exception):
    """Ends the login; the message is told to the client."""


class OutOfTime(BaseException):
    """Not for rules to catch."""


class Rule:
    """A file: it is run once in each process, and its function `rule(user, context)` for every login."""

    def __init__(self, name: str, source: str) -> None:
        """Raises whatever the file raises."""
        self.lines: list[str] = []
        self.dropped = 0
        self.scope: dict[str, Any] = {
            "__name__": name,
            "__builtins__": vars(builtins) | {"print": self._print},
            "UnauthorizedError": UnauthorizedError,
        }
        exec(compile(source, f"{name}.py", "exec", dont_inherit=True), self.scope)  # noqa: S102
        self.function = self.scope.get("rule")
        if not callable(self.function):
            raise SyntaxError("a file of rules has a function rule(user, context)")

    def _print(self, *values: object, sep: str = " ", **_: object) -> None:
        if len(self.lines) >= MOST_LINES:
            self.dropped += 1
        else:
            self.lines.append(sep.join(map(str, values))[:MOST_CHARACTERS])


def run(rule: Rule, seen: dict[str, Any], shared: dict[str, Any], ask: Ask, seconds: float) -> dict[str, Any]:
    """How the rule ended, in the words of the prelude; `shared` is `configuration` and `cache`."""
    user, context = json.loads(json.dumps([seen["user"], seen["context"]]))
    writes: list[dict[str, Any]] = []
    rule.lines, rule.dropped = [], 0
    rule.scope |= shared | {"fetch": _fetch(ask)}
    for kind in ("user_metadata", "app_metadata"):
        rule.scope[f"update_{kind}"] = _change(writes, kind, user)
    ended = _called(rule.function, user, context, seconds)
    if ended["kind"] == "passed":
        ended = _answer(ended | {"user": user, "context": context, "writes": writes})
    return ended | {"lines": rule.lines, "dropped": rule.dropped, "kept": _kept(shared["cache"])}


def _called(function: Any, user: dict[str, Any], context: dict[str, Any], seconds: float) -> dict[str, Any]:
    try:
        with _interrupted_after(seconds):
            returned = function(user, context)
    except OutOfTime:
        return _failed("timed_out")
    except (MemoryError, RecursionError):
        return _failed("out_of_memory")
    except UnauthorizedError as error:
        return {"kind": "denied", "name": "UnauthorizedError", "message": str(error)[:1000]}
    except BaseException as error:
        name = type(error).__name__
        return {"kind": "threw", "name": name, "message": f"{name}: {error}"[:1000]}
    if returned is not None:
        return _failed("bad_answer", "a rule changes user and context, and returns nothing")
    return {"kind": "passed"}


def _answer(ended: dict[str, Any]) -> dict[str, Any]:
    try:
        text = json.dumps(ended, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        return _failed("bad_answer", f"user and context are plain values: {error}"[:300])
    found: dict[str, Any] = json.loads(text)
    return found if len(text) <= MOST_ANSWERED else _failed("answer_too_large")


def _failed(why: str, message: str = "") -> dict[str, Any]:
    return {"kind": "failed", "why": why, "message": message}


@contextmanager
def _interrupted_after(seconds: float) -> Iterator[None]:
    """Of processor time; again and again, for one that goes on."""

    def interrupt(*_: object) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGPROF, interrupt)
    left, _ = signal.setitimer(signal.ITIMER_PROF, seconds, 0.05)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        signal.setitimer(signal.ITIMER_PROF, max(left, 0.1))


def _change(
    writes: list[dict[str, Any]], kind: str, user: dict[str, Any]
) -> Callable[[dict[str, Any]], None]:
    def change(patch: dict[str, Any]) -> None:
        """Members replace those that are there; None removes. Written once the login has come to its end."""
        if not isinstance(patch, dict):
            raise TypeError("metadata are a dict")
        writes.append({"kind": kind, "user_id": user["user_id"], "patch": json.loads(json.dumps(patch))})

    return change


class Response:
    """What a host answered."""

    def __init__(self, status: int, headers: dict[str, str], body: str) -> None:
        self.status, self.headers, self.body = status, headers, body

    def json(self) -> Any:
        return json.loads(self.body)


def _fetch(ask: Ask) -> Callable[..., Response]:
    asked = 0

    def fetch(
        url: str, *, method: str = "GET", headers: dict[str, str] | None = None, body: object = ""
    ) -> Response:
        """Ask a host of BELAY_RULES_HOSTS; a body that is no text is sent as JSON. Raises ConnectionError."""
        nonlocal asked
        asked += 1
        if asked > MOST_REQUESTS:
            raise ConnectionError("too many requests in one rule")
        sent = dict(headers or {})
        if not isinstance(body, str):
            body = json.dumps(body)
            sent.setdefault("Content-Type", "application/json")
        answer = ask({"url": url, "method": method.upper(), "headers": sent, "body": body})
        if "error" in answer:
            raise ConnectionError(f"the request failed: {answer['error']}")
        return Response(answer["status"], answer["headers"], answer["body"])

    return fetch


def _kept(cache: dict[str, Any]) -> dict[str, Any]:
    """What is no plain value stays behind: other rules find the rest as `global`."""
    found: dict[str, Any] = {}
    size = 0
    for name, value in cache.items():
        try:
            text = json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            continue
        size += len(str(name)) + len(text)
        if size > MOST_KEPT:
            break
        found[str(name)] = json.loads(text)
    return found
