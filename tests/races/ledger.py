"""A mixed load that keeps books: what the server acknowledged must be so afterwards, whatever broke meanwhile."""

import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import func, make_url, select

from app.errors import Refusal
from app.store.attempts import password_attempts
from app.store.signing_keys import signing_keys
from app.store.users import User
from tests import making
from tests.live import Answer, Live, raw_request
from tests.making import API, Cast
from tests.races.load import password_request, refresh, token_request
from tests.wire import MFA_OTP, MFA_RECOVERY, code_of

PAUSE_SECONDS = 0.02
WRONG_PASSWORDS = 8  # below the cap, so that each is looked at


@dataclass
class Ledger:
    """What was acknowledged."""

    statuses: Counter[int] = field(default_factory=Counter)
    unavailable: list[Answer] = field(default_factory=list)
    accidents: list[Answer] = field(default_factory=list)
    """Answers that no fault excuses."""
    slowest: float = 0.0
    lost: int = 0
    """Requests that the connection broke under."""
    refresh_tokens: list[str] = field(default_factory=list)
    """The newest of each family whose last answer arrived."""
    failures: Counter[str] = field(default_factory=Counter)
    """Wrong passwords told by user id."""
    successes: Counter[str] = field(default_factory=Counter)
    """Uses of each one-time thing."""
    probes: dict[str, Counter[int]] = field(default_factory=dict)


class Driver:
    """Threads that log in, refresh, guess and look, until they are told to stop."""

    def __init__(self, live: Live, cast: Cast) -> None:
        self.live, self.cast, self.ledger = live, cast, Ledger()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._people = 0
        jobs = [self._refreshes] * 2 + [self._recovers, self._uses_codes, self._guesses, self._looks]
        self._threads = [threading.Thread(target=self._repeat, args=(job,)) for job in jobs]
        self._errors: list[BaseException] = []

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert not self._errors, self._errors

    def _repeat(self, job: Callable[[], None]) -> None:
        while not self._stop.is_set():
            try:
                job()
            except Refusal:  # this process needs the database as well, to make people
                self._stop.wait(0.1)
            except BaseException as error:
                self._errors.append(error)
                return

    def _ask(self, request: bytes) -> Answer | None:
        """None when nobody can know what became of it."""
        self._stop.wait(PAUSE_SECONDS)
        try:
            answer = self.live.send(request)
        except (OSError, ValueError, IndexError):
            with self._lock:
                self.ledger.lost += 1
            self._stop.wait(0.1)
            return None
        with self._lock:
            self.ledger.statuses[answer.status] += 1
            self.ledger.slowest = max(self.ledger.slowest, answer.seconds)
            if answer.status == 503:
                self.ledger.unavailable.append(answer)
            elif answer.status >= 500:
                self.ledger.accidents.append(answer)
        return answer

    def _somebody(self) -> tuple[str, User]:
        with self._lock:
            self._people += 1
            name = f"driven{self._people}-{random.randrange(10**9)}@example.com"
        return name, making.make_user(self.live.server, self.cast.staff, name)

    def _refreshes(self) -> None:
        """One login, then refreshes until an answer gets lost: then nobody knows which token lives."""
        name, _ = self._somebody()
        answer = self._ask(password_request(self.live, name, audience=API, scope="openid offline_access"))
        if answer is None or answer.status != 200:
            return
        token = str(answer.json["refresh_token"])
        while not self._stop.is_set():
            answer = self._ask(token_request(self.live, grant_type="refresh_token", refresh_token=token))
            if answer is None:
                return
            if answer.status == 200:
                with self._lock:
                    self.ledger.successes[token] += 1
                token = str(answer.json["refresh_token"])
            elif answer.status == 503:  # it may or may not have been used up: not for us to know
                return
            elif answer.status != 503:
                self.ledger.accidents.append(answer)
                return
        self.ledger.refresh_tokens.append(token)

    def _mfa_token(self, name: str) -> str | None:
        answer = self._ask(password_request(self.live, name))
        return str(answer.json["mfa_token"]) if answer is not None and answer.status == 403 else None

    def _recovers(self) -> None:
        name, user = self._somebody()
        making.enroll_totp(self.live.server, user)
        code: str | None = making.give_recovery_code(self.live.server, user)
        for _ in range(5):
            token = self._mfa_token(name)
            if token is None or code is None:
                return
            proof = {"grant_type": MFA_RECOVERY, "mfa_token": token, "recovery_code": code}
            code = self._used_once(f"recovery {user.id} {code}", token_request(self.live, **proof))

    def _uses_codes(self) -> None:
        """The same one-time password in two logins, a few times each."""
        name, user = self._somebody()
        code = code_of(making.enroll_totp(self.live.server, user))
        for token in (self._mfa_token(name), self._mfa_token(name)):
            for _ in range(3):
                if token is not None:
                    proof = {"grant_type": MFA_OTP, "mfa_token": token, "otp": code}
                    self._used_once(f"otp {user.id} {code}", token_request(self.live, **proof))

    def _used_once(self, thing: str, request: bytes) -> str | None:
        answer = self._ask(request)
        if answer is None or answer.status != 200:
            return None
        with self._lock:
            self.ledger.successes[thing] += 1
        return str(answer.json.get("recovery_code"))

    def _guesses(self) -> None:
        name, user = self._somebody()
        for number in range(WRONG_PASSWORDS):
            answer = self._ask(password_request(self.live, name, f"wrong {number}"))
            if answer is not None and answer.status == 403:
                with self._lock:
                    self.ledger.failures[user.id] += 1

    def _looks(self) -> None:
        for path in ("/healthz", "/.well-known/jwks.json", "/.well-known/openid-configuration"):
            answer = self._ask(raw_request("GET", path, self.live.host, b"", {}))
            if answer is not None:
                with self._lock:
                    self.ledger.probes.setdefault(path, Counter())[answer.status] += 1


@contextmanager
def driving(live: Live, cast: Cast) -> Iterator[Ledger]:
    """A mixed load while the block runs."""
    driver = Driver(live, cast)
    driver.start()
    try:
        yield driver.ledger
    finally:
        driver.stop()


def _refreshed(live: Live, token: str) -> Answer:
    """A worker that has just met a silent database says so for another second."""
    deadline = time.monotonic() + 3
    while (answer := refresh(live, token)).status == 503 and time.monotonic() < deadline:
        time.sleep(0.1)
    return answer


def audit_books(live: Live, ledger: Ledger) -> None:
    """What was acknowledged is so, nothing was used twice, no failure was forgotten, the database is whole."""
    assert not ledger.accidents, [(a.status, a.text) for a in ledger.accidents]
    assert ledger.statuses[200] > 0
    twice = {thing: count for thing, count in ledger.successes.items() if count > 1}
    assert not twice
    dead = [
        answer.text for token in ledger.refresh_tokens if (answer := _refreshed(live, token)).status != 200
    ]
    assert not dead, f"{len(dead)} of {len(ledger.refresh_tokens)} acknowledged refresh tokens: {dead[:3]}"
    with live.server.db.read() as conn:
        p = password_attempts.c
        counted = {
            row.identity: row.failures + row.pending
            for row in conn.execute(select(p.identity, p.failures, p.pending))
        }
        current = signing_keys.c.state == "current"
        keys = conn.execute(select(func.count()).select_from(signing_keys).where(current)).scalar_one()
    forgotten = {who: told for who, told in ledger.failures.items() if counted.get(who, 0) < told}
    assert not forgotten
    assert keys == 1
    if live.server.db.is_sqlite:
        file = sqlite3.connect(str(make_url(live.server.settings.database_url).database))
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert file.execute("PRAGMA foreign_key_check").fetchall() == []
        file.close()
