"""What is sent: one script a workload and connection. Each counts its steps under the workload's own name.

The mix is what a day looks like: most who come have a refresh token, some log in, some are refused.
"""

import json
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from itertools import count, cycle
from random import Random
from typing import TypeVar

import pyotp

from bench.reference import PASSWORD as REFERENCE_PASSWORD
from bench.seeding import API, CLIENT, OPEN_REALM, PASSWORD, World
from bench.wire import READY, Answer, Script, Step, form, request

TOKEN = "/oauth/token"
MFA_OTP = "http://auth0.com/oauth/grant-type/mfa-otp"
JWKS = request("GET", "/.well-known/jwks.json")
DISCOVERY = request("GET", "/.well-known/openid-configuration")
PASSWORD_REALM = "http://auth0.com/oauth/grant-type/password-realm"
STEP_SECONDS = 30

# Of twenty calls: 60 % refreshes, 20 % logins with password and one-time password, 10 % wrong passwords.
MIX = {"refresh": 12, "login": 4, "wrong password": 2, "challenge": 1, "keys": 1}
T = TypeVar("T")
Part = Generator[Step, Answer, T]
"""A piece of a script, which returns what the next one needs."""


RULED = "lone login through rules"


class Workloads:
    """The scripts, and whose turn it is: every login is somebody else's, every one-time password is used once."""

    def __init__(self, world: World) -> None:
        self._client = {"client_id": CLIENT, "client_secret": world.secret}
        self._plain = cycle(world.plain)
        self._known = next(iter(world.plain), "")
        self._nobody = count()
        self._totp = {name: pyotp.TOTP(secret) for name, secret in world.enrolled.items()}
        self._used = dict.fromkeys(world.enrolled, 0)
        self._queue = deque(world.enrolled)
        self._spent = deque(world.spent)
        self._good = deque(world.good)
        self._chances = count()
        self.scripts: dict[str, Callable[[], Script]] = {
            "bare": lambda: self._same("bare", 200, _question("ping")),
            "bare+hash": lambda: self._same("bare+hash", 200, _question(REFERENCE_PASSWORD)),
            "password": self.password,
            "lone login": lambda: self.password("lone login"),
            RULED: lambda: self.password(RULED),
            "two-step": self.two_step,
            "refresh": self.refresh,
            "refresh reuse": self.refresh_reuse,
            "spread refresh": self.spread_refresh,
            "client_credentials": self.client_credentials,
            "refused": self.refused,
            "challenge": self.challenge,
            "jwks": lambda: self._same("jwks", 200, JWKS),
            "early error": lambda: self._same("early error", 400, form(TOKEN, {"grant_type": "unknown"})),
            "mix": self.mix,
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

    def password(self, kind: str = "password") -> Script:
        yield READY
        while True:
            yield Step(kind, 200, self._login(next(self._plain)))

    def two_step(self) -> Script:
        yield READY
        while True:
            yield from self._two_steps("mfa_required", "two-step")

    def _two_steps(self, first: str, second: str) -> Part[None]:
        name = self._next_enrolled()
        answer = yield Step(first, 403, self._login(name))
        if answer.status != 403:
            return
        token = _member(answer, "mfa_token")
        yield Step(second, 200, self._post(grant_type=MFA_OTP, mfa_token=token, otp=self._code(name)))

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
        token = yield from self._first_token()
        yield READY
        while True:
            token = yield from self._refreshed("refresh", token)

    def _first_token(self) -> Part[str]:
        answer = yield Step("", 200, self._login(next(self._plain)))
        return _member(answer, "refresh_token")

    def _refreshed(self, kind: str, token: str) -> Part[str]:
        answer = yield Step(kind, 200, self._post(grant_type="refresh_token", refresh_token=token))
        return token if answer.status == 503 else _member(answer, "refresh_token")  # 503: to come again

    def spread_refresh(self) -> Script:
        """Everybody's refresh token in turn, where `refresh` keeps to one a connection."""
        yield READY
        while True:
            token = yield from self._refreshed("spread refresh", self._good.popleft())
            self._good.append(token)

    def refresh_reuse(self) -> Script:
        """A token that was exchanged comes again; that ends its family, so each is sent once."""
        yield READY
        while self._spent:
            token = self._spent.popleft()
            yield Step("refresh reuse", 403, self._post(grant_type="refresh_token", refresh_token=token))
        raise RuntimeError("every spent refresh token was sent: seed more of them")

    def client_credentials(self) -> Script:
        return self._same(
            "client_credentials", 200, self._post(grant_type="client_credentials", audience=API)
        )

    def refused(self) -> Script:
        """A wrong password and an unknown name in turn: a stranger must not be able to tell them by time."""
        yield READY
        for name in self._strangers():
            yield self._guess("wrong password", self._known)
            yield self._guess("unknown user", name)

    def _guess(self, kind: str, username: str) -> Step:
        sent = self._post(
            grant_type=PASSWORD_REALM, realm=OPEN_REALM, username=username, password="a wrong guess"
        )
        return Step(kind, 403, sent)

    def _strangers(self) -> Iterator[str]:
        for number in self._nobody:
            yield f"nobody{number}@example.com"

    def challenge(self) -> Script:
        asked = yield from self._challenge()
        yield from self._same("challenge", 200, asked)

    def _challenge(self) -> Part[bytes]:
        answer = yield Step("", 403, self._login(self._next_enrolled()))
        return self._post("/mfa/challenge", mfa_token=_member(answer, "mfa_token"), challenge_type="otp")

    def mix(self) -> Script:
        token = yield from self._first_token()
        asked = yield from self._challenge()
        chance = Random(next(self._chances))  # the same order of calls in every run
        deck = [kind for kind, number in MIX.items() for _ in range(number)]
        keys = cycle((JWKS, DISCOVERY))
        yield READY
        while True:
            chance.shuffle(deck)
            for kind in deck:
                match kind:
                    case "refresh":
                        token = yield from self._refreshed("mix refresh", token)
                    case "login":
                        yield from self._two_steps("mix password", "mix mfa-otp")
                    case "wrong password":
                        yield self._guess("mix wrong password", self._known)
                    case "challenge":
                        yield Step("mix challenge", 200, asked)
                    case "keys":
                        yield Step("mix keys", 200, next(keys))


def _question(text: str) -> bytes:
    return request("POST", "/", json.dumps({"question": text}).encode(), "application/json")


def _member(answer: Answer, name: str) -> str:
    try:
        return str(json.loads(answer.body)[name])
    except (ValueError, KeyError):
        raise RuntimeError(f"no {name} in the answer {answer.status}: {answer.body!r}") from None
