"""What is sent: one script a workload and connection. Each counts its steps under the workload's own name."""

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count, cycle

import pyotp

from bench.reference import PASSWORD as REFERENCE_PASSWORD
from bench.seeding import API, CLIENT, OPEN_REALM, PASSWORD, World
from bench.wire import READY, Answer, Script, Step, form, request

TOKEN = "/oauth/token"
MFA_OTP = "http://auth0.com/oauth/grant-type/mfa-otp"
PASSWORD_REALM = "http://auth0.com/oauth/grant-type/password-realm"
STEP_SECONDS = 30


class Workloads:
    """The scripts, and whose turn it is: every login is somebody else's, every one-time password is used once."""

    def __init__(self, world: World) -> None:
        self._client = {"client_id": CLIENT, "client_secret": world.secret}
        self._plain = cycle(world.plain)
        self._known = world.plain[0]
        self._nobody = count()
        self._totp = {name: pyotp.TOTP(secret) for name, secret in world.enrolled.items()}
        self._used = dict.fromkeys(world.enrolled, 0)
        self._queue = deque(world.enrolled)
        self.scripts: dict[str, Callable[[], Script]] = {
            "bare": lambda: self._same("bare", 200, _question("ping")),
            "bare+hash": lambda: self._same("bare+hash", 200, _question(REFERENCE_PASSWORD)),
            "password": self.password,
            "two-step": self.two_step,
            "refresh": self.refresh,
            "client_credentials": self.client_credentials,
            "refused": self.refused,
            "challenge": self.challenge,
            "jwks": lambda: self._same("jwks", 200, request("GET", "/.well-known/jwks.json")),
            "early error": lambda: self._same("early error", 400, form(TOKEN, {"grant_type": "unknown"})),
        }

    def _post(self, path: str = TOKEN, **members: str) -> bytes:
        return form(path, self._client | members)

    def _same(self, kind: str, expected: int, sent: bytes) -> Script:
        yield READY
        step = Step(kind, expected, sent)
        while True:
            yield step

    def _login(self, username: str) -> bytes:
        scope = "openid profile offline_access"
        return self._post(
            grant_type="password", username=username, password=PASSWORD, audience=API, scope=scope
        )

    def password(self) -> Script:
        yield READY
        while True:
            yield Step("password", 200, self._login(next(self._plain)))

    def two_step(self) -> Script:
        yield READY
        while True:
            name = self._next_enrolled()
            answer = yield Step("mfa_required", 403, self._login(name))
            if answer.status != 403:
                continue
            token = _member(answer, "mfa_token")
            code = self._code(name)
            yield Step("two-step", 200, self._post(grant_type=MFA_OTP, mfa_token=token, otp=code))

    def _next_enrolled(self) -> str:
        """Whoever waited longest; two one-time passwords are good at a time, the running one and the next."""
        for _ in range(len(self._queue)):
            self._queue.rotate(-1)
            if self._used[self._queue[-1]] <= time.time() // STEP_SECONDS:
                return self._queue[-1]
        raise RuntimeError("every one-time password of these minutes is used: seed more people")

    def _code(self, name: str) -> str:
        step = self._used[name] = max(self._used[name] + 1, int(time.time() // STEP_SECONDS))
        return self._totp[name].at(step * STEP_SECONDS)

    def refresh(self) -> Script:
        answer = yield Step("", 200, self._login(next(self._plain)))
        token = _member(answer, "refresh_token")
        yield READY
        while True:
            answer = yield Step("refresh", 200, self._post(grant_type="refresh_token", refresh_token=token))
            if answer.status != 503:  # told to come again
                token = _member(answer, "refresh_token")

    def client_credentials(self) -> Script:
        return self._same(
            "client_credentials", 200, self._post(grant_type="client_credentials", audience=API)
        )

    def refused(self) -> Script:
        """A wrong password and an unknown name in turn: a stranger must not be able to tell them by time."""
        yield READY
        for name in self._strangers():
            for kind, username in (("wrong password", self._known), ("unknown user", name)):
                sent = self._post(
                    grant_type=PASSWORD_REALM, realm=OPEN_REALM, username=username, password="a wrong guess"
                )
                yield Step(kind, 403, sent)

    def _strangers(self) -> Iterator[str]:
        for number in self._nobody:
            yield f"nobody{number}@example.com"

    def challenge(self) -> Script:
        answer = yield Step("", 403, self._login(self._next_enrolled()))
        sent = self._post("/mfa/challenge", mfa_token=_member(answer, "mfa_token"), challenge_type="otp")
        yield from self._same("challenge", 200, sent)


def _question(text: str) -> bytes:
    return request("POST", "/", json.dumps({"question": text}).encode(), "application/json")


def _member(answer: Answer, name: str) -> str:
    try:
        return str(json.loads(answer.body)[name])
    except (ValueError, KeyError):
        raise RuntimeError(f"no {name} in the answer {answer.status}: {answer.body!r}") from None
