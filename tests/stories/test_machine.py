"""The whole machine of one person's second factor against a model of it: any order of calls, every answer foretold.

The model is written from what is promised to people, not from the code: it knows passwords, factors, codes, counters,
tokens and the policy as a few plain values. In each sequence two people of one address live in two realms, and nothing
that happens to one of them may show at the other.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any

import pyotp
import pytest
from freezegun import freeze_time
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from werkzeug.test import TestResponse

from app import accounts
from app.context import Context, Server
from app.store import authenticators, realms, users
from tests import making
from tests.conftest import NOON
from tests.evidence import FULL as EVIDENCE
from tests.evidence import report, size
from tests.making import APP_SECRET, MALLORY_SECRET
from tests.wire import MFA_RECOVERY, PASSWORD_REALM, Wire

PASSWORDS = ("correct horse battery staple", "another one entirely", "and a third, just as long")
CLIENTS = {"app": APP_SECRET, "mallory": MALLORY_SECRET}
SCOPE = "openid offline_access"
MFA_SECONDS, STEP_SECONDS = 600, 30
WRONG_PASSWORDS, GUESSES, REFILL_SECONDS = 10, 10, 360
OPEN_TOKENS, PENDING = 10, 5

INVALID = (403, "invalid_grant")
UNSUPPORTED = (401, "unsupported_challenge_type")
NO_CODE = (403, "unsupported_challenge_type")
DENIED = (403, "access_denied")
REQUIRED = (403, "mfa_required")
ISSUED = (200, "")
Told = tuple[int, str]

numbers = st.integers(0, 11)
whose = st.sampled_from([0, 0, 0, 1])
MODES = st.sampled_from(["always", "always", "when_enrolled", "never"])


@dataclass
class Login:
    """An open login: what an `mfa_token` stands for."""

    token: str
    client: str
    began: float
    code: str | None = None
    """The recovery code that it was shown."""


@dataclass
class Family:
    token: str
    client: str
    proven: bool
    password_at: float
    old: list[str] = field(default_factory=list)
    is_live: bool = True


@dataclass
class Person:
    """What is known of somebody, and nothing of how the server keeps it."""

    realm: str
    email: str
    password: str
    secret: str | None = None
    last_step: int = -1
    code: str | None = None
    is_blocked: bool = False
    mode: str = "when_enrolled"
    opening: str = "at_login"
    wrong_passwords: int = 0
    level: float = 0.0
    poured_at: float = 0.0
    logins: list[Login] = field(default_factory=list)
    spent: list[Login] = field(default_factory=list)
    pending: list[tuple[Login, str]] = field(default_factory=list)
    families: list[Family] = field(default_factory=list)

    def owed(self, *, proven: bool) -> str:
        if self.mode == "never" or (self.mode == "when_enrolled" and self.secret is None) or proven:
            return "nothing"
        if self.secret is not None:
            return "proof"
        return "nothing, ever" if self.opening == "closed" else "enrolment"

    def guess(self, now: float) -> bool:
        """Whether one more guess is looked at."""
        left = max(0.0, self.level - (now - self.poured_at) / REFILL_SECONDS)
        if left + 1 > GUESSES:
            return False
        self.level, self.poured_at = left + 1, now
        return True

    def end_access(self) -> None:
        self.spent += self.logins
        self.logins = []
        for family in self.families:
            family.is_live = False


SEEN: Counter[str] = Counter()


# What has to come up, or the model was not asked anything worth knowing.
REACHED = (
    "password-realm 200",
    "password-realm 403 access_denied",
    "password-realm 403 invalid_grant",
    "password-realm 403 mfa_required",
    "associate 200",
    "associate 401 invalid_grant",
    "associate 403 access_denied",
    "mfa-otp 200",
    "mfa-otp 400 invalid_request",
    "mfa-otp 401 unsupported_challenge_type",
    "mfa-otp 403 invalid_grant",
    "mfa-recovery-code 200",
    "mfa-recovery-code 403 unsupported_challenge_type",
    "mfa-recovery-code 403 invalid_grant",
    "refresh_token 200",
    "refresh_token 403 invalid_grant",
)
# … and what takes more sequences than the small figure has.
RARE = (
    "password-realm 401 unauthorized",
    "mfa-otp 403 access_denied",
    "mfa-otp 403 expired_token",
    "mfa-otp 429 invalid_request",
    "refresh_token 403 mfa_required",
)


def has(machine: "Machine", what: str) -> bool:
    """Whether anybody has any of these: a step without would tell nothing."""
    return any(getattr(person, what) for person in getattr(machine, "people", ()))


class Machine(RuleBasedStateMachine):
    wire: Wire
    clock: Any
    names: Iterator[int]
    steps: int = 0
    asked = ""

    @initialize(modes=st.tuples(MODES, MODES), are_enrolled=st.tuples(st.booleans(), st.booleans()))
    def two_people_of_one_address(self, modes: tuple[str, str], are_enrolled: tuple[bool, bool]) -> None:
        server, name = self.wire.server, next(self.names)
        self.people, self.rows = [], []
        for number in range(2):
            realm = making.make_realm(server, f"r{name}-{number}", modes[number])
            with server.db.write() as conn:
                realms.set_clients_of(conn, realm.id, list(CLIENTS))
            email = f"ann{name}@example.com"
            user = making.make_user(server, realm, email, PASSWORDS[number])
            person = Person(realm.name, email, PASSWORDS[number], mode=modes[number])
            if are_enrolled[number]:
                person.secret = making.enroll_totp(server, user)
                person.code = making.give_recovery_code(server, user, f"{number}BCDEFGHIJKLMNOPQRSTUVW0")
            self.people.append(person)
            self.rows.append((realm, user))

    # --- help ------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        return float(self.clock().timestamp())

    @property
    def context(self) -> Context:
        return Context(self.wire.server, self.clock().replace(tzinfo=NOON.tzinfo), ip="")

    def told(self, answer: TestResponse) -> Told:
        assert answer.json is not None, answer.text
        found = answer.status_code, "" if answer.status_code == 200 else str(answer.json["error"])
        SEEN[f"{self.asked} {found[0]} {found[1]}".strip()] += 1
        return found

    def ask(self, client: str, **members: str) -> TestResponse:
        type(self).steps += 1
        self.asked = members["grant_type"].rpartition("/")[2]
        return self.wire.post("/oauth/token", client_id=client, client_secret=CLIENTS[client], **members)

    def took(
        self, person: Person, client: str, answer: TestResponse, *, proven: bool, password_at: float
    ) -> None:
        assert answer.json is not None
        person.wrong_passwords = 0
        token = answer.json["refresh_token"]
        person.families.append(Family(token, client, proven, password_at))

    def opened(self, person: Person, client: str, answer: TestResponse) -> None:
        assert answer.json is not None
        person.logins.append(Login(answer.json["mfa_token"], client, self.now))
        if len(person.logins) > OPEN_TOKENS:
            gone = min(person.logins[:-1], key=lambda login: login.began)
            person.logins.remove(gone)
            person.spent.append(gone)

    def pick(self, who: int, what: str) -> tuple[Person, Person]:
        """Somebody who has any, and the other one."""
        one, other = self.people[who], self.people[1 - who]
        return (one, other) if getattr(one, what) else (other, one)

    def a_login(self, person: Person, number: int) -> Login:
        """One of the open ones, the newest for most numbers, or one that is over."""
        if person.spent and number == 0:
            return person.spent[-1]
        return person.logins[-1 - (number % min(3, len(person.logins)) if number > 6 else 0)]

    def state_of(self, person: Person, login: Login, client: str) -> Told | None:
        """Why a token opens nothing; None where it does."""
        if login not in person.logins:
            return INVALID
        if self.now - login.began >= MFA_SECONDS:
            return (403, "expired_token")
        return None if login.client == client else (400, "invalid_request")

    # --- logins ----------------------------------------------------------------------------------------------------

    @rule(who=whose, client=st.sampled_from(list(CLIENTS)), is_right=st.integers(0, 4))
    def log_in(self, who: int, client: str, is_right: int) -> None:
        person = self.people[who]
        text = person.password if is_right else self.people[1 - who].password
        answer = self.ask(
            client,
            grant_type=PASSWORD_REALM,
            realm=person.realm,
            username=person.email,
            password=text,
            scope=SCOPE,
        )
        if person.wrong_passwords >= WRONG_PASSWORDS:
            assert self.told(answer) == (429, "too_many_attempts")
        elif text != person.password:
            person.wrong_passwords += 1
            assert self.told(answer) == INVALID
        elif person.is_blocked:
            assert self.told(answer) == (401, "unauthorized")
        elif (owed := person.owed(proven=False)) == "nothing":
            assert self.told(answer) == ISSUED
            self.took(person, client, answer, proven=False, password_at=self.now)
        elif owed == "nothing, ever":
            assert self.told(answer) == DENIED
        else:
            assert self.told(answer) == REQUIRED
            assert answer.json is not None and ("mfa_requirements" in answer.json) == (owed == "enrolment")
            self.opened(person, client, answer)

    @precondition(lambda self: has(self, "logins"))
    @rule(who=whose, number=numbers)
    def associate(self, who: int, number: int) -> None:
        person, _ = self.pick(who, "logins")
        login = self.a_login(person, number)
        self.asked = "associate"
        answer = self.wire.associate(login.token)
        if self.state_of(person, login, login.client) is not None:
            assert self.told(answer) == (401, "invalid_grant")
        elif person.secret is not None or person.opening == "closed":
            assert self.told(answer) == DENIED
        else:
            assert self.told(answer) == ISSUED and answer.json is not None
            person.pending.append((login, answer.json["secret"]))
            del person.pending[:-PENDING]
            assert ("recovery_codes" in answer.json) == (login.code is None)
            if login.code is None:
                login.code = answer.json["recovery_codes"][0]

    # --- second factors --------------------------------------------------------------------------------------------

    @precondition(lambda self: has(self, "logins"))
    @rule(
        who=whose,
        number=numbers,
        kind=st.sampled_from(["right", "right", "right", "wrong", "other's"]),
        client=st.sampled_from([None, None, None, *CLIENTS]),
    )
    def one_time_password(self, who: int, number: int, kind: str, client: str | None) -> None:
        person, other = self.pick(who, "logins")
        login = self.a_login(person, number)
        client = client or login.client
        mine = [secret for of, secret in person.pending if of is login]
        candidates = [person.secret] if person.secret is not None else mine
        secret = (
            candidates[-1] if kind == "right" and candidates else other.secret if kind == "other's" else None
        )
        step = int(self.now) // STEP_SECONDS
        otp = pyotp.TOTP(secret).at(int(self.now)) if secret else "000000"
        if any(pyotp.TOTP(c).verify(otp, for_time=self.clock(), valid_window=1) for c in candidates) and (
            secret not in candidates
        ):
            return  # a number that happens to be right
        answer = self.ask(
            client, grant_type="http://auth0.com/oauth/grant-type/mfa-otp", mfa_token=login.token, otp=otp
        )
        refusal = self.state_of(person, login, client)
        if refusal is not None:
            assert self.told(answer) == refusal
        elif not candidates:
            assert self.told(answer) == UNSUPPORTED
        elif not person.guess(self.now):
            assert self.told(answer) == (429, "invalid_request")
        elif secret not in candidates or (secret == person.secret and step <= person.last_step):
            assert self.told(answer) == INVALID
        elif person.secret is None and person.opening == "closed":
            assert self.told(answer) == DENIED
        else:
            assert self.told(answer) == ISSUED
            assert secret is not None
            person.level -= 1
            if person.secret is None:
                person.secret, person.code = secret, login.code
            person.last_step = step
            self.complete(person, login, answer)

    @precondition(lambda self: has(self, "logins"))
    @rule(who=whose, number=numbers, is_right=st.booleans())
    def recovery_code(self, who: int, number: int, is_right: bool) -> None:
        person, _ = self.pick(who, "logins")
        login = self.a_login(person, number)
        text = person.code if is_right and person.code else "ABCDEFGHIJKLMNOPQRSTUVWX"
        answer = self.ask(
            login.client,
            grant_type=MFA_RECOVERY,
            mfa_token=login.token,
            recovery_code=text,
        )
        refusal = self.state_of(person, login, login.client)
        if refusal is not None:
            assert self.told(answer) == refusal
        elif person.code is None:
            assert self.told(answer) == NO_CODE
        elif not person.guess(self.now):
            assert self.told(answer) == (429, "invalid_request")
        elif text != person.code:
            assert self.told(answer) == INVALID
        else:
            assert self.told(answer) == ISSUED and answer.json is not None
            person.level -= 1
            person.code = answer.json["recovery_code"]
            self.complete(person, login, answer)

    def complete(self, person: Person, login: Login, answer: TestResponse) -> None:
        person.logins.remove(login)
        person.spent.append(login)
        self.took(person, login.client, answer, proven=True, password_at=login.began)

    # --- refresh ---------------------------------------------------------------------------------------------------

    @precondition(lambda self: has(self, "families"))
    @rule(
        who=whose,
        number=numbers,
        is_old=st.integers(0, 4),
        client=st.sampled_from([None, None, *CLIENTS]),
    )
    def refresh(self, who: int, number: int, is_old: int, client: str | None) -> None:
        person, _ = self.pick(who, "families")
        family = person.families[-1 - number % min(3, len(person.families))]
        client = client or family.client
        is_reuse = not is_old and bool(family.old)
        token = family.old[-1] if is_reuse else family.token
        answer = self.ask(client, grant_type="refresh_token", refresh_token=token)
        if client != family.client or not family.is_live:
            assert self.told(answer) == INVALID
            return
        if is_reuse:
            family.is_live = False
            assert self.told(answer) == INVALID
            return
        owed = person.owed(proven=family.proven)
        is_fresh = self.now - family.password_at <= MFA_SECONDS
        if owed == "nothing":
            assert self.told(answer) == ISSUED and answer.json is not None
            family.old.append(family.token)
            family.token = answer.json["refresh_token"]
        elif owed == "nothing, ever" or (owed == "enrolment" and not is_fresh):
            assert self.told(answer) == INVALID
        else:
            assert self.told(answer) == REQUIRED
            self.opened(person, client, answer)
            person.logins[-1].began = self.now

    # --- administration and time -----------------------------------------------------------------------------------

    @rule(
        who=whose,
        mode=MODES,
        opening=st.sampled_from(["at_login", "at_login", "closed"]),
    )
    def change_policy(self, who: int, mode: str, opening: str) -> None:
        person, (realm, _) = self.people[who], self.rows[who]
        person.mode, person.opening = mode, opening
        terms = {"mode": mode, "enrollment": {"self_service": opening}}
        making.set_policy(self.wire.server, realm, terms)

    @rule(who=whose, is_blocked=st.sampled_from([True, False, False]))
    def block(self, who: int, is_blocked: bool) -> None:
        person = self.people[who]
        with self.wire.server.db.write() as conn:
            accounts.set_blocked(conn, self.context, self.row(who, conn), is_blocked)
        person.is_blocked = is_blocked
        if is_blocked:
            person.end_access()

    @rule(who=whose)
    def change_password(self, who: int) -> None:
        person = self.people[who]
        person.password = next(text for text in PASSWORDS if text not in [p.password for p in self.people])
        new_hash = accounts.hash_new_password(self.wire.server, person.password)
        with self.wire.server.db.write() as conn:
            accounts.set_password(conn, self.context, self.row(who, conn), new_hash)
        person.end_access()
        person.wrong_passwords = 0
        person.level = 0.0

    @rule(who=whose)
    def reset(self, who: int) -> None:
        person = self.people[who]
        with self.wire.server.db.write() as conn:
            accounts.reset_mfa(conn, self.context, self.row(who, conn), reason="a test", by="test")
        person.end_access()
        person.secret, person.code, person.last_step, person.pending = None, None, -1, []

    def row(self, who: int, conn: Any) -> Any:
        found = users.find_user(conn, self.rows[who][1].id)
        assert found is not None
        return found

    @rule(seconds=st.sampled_from([1, 30, 30, 30, 360, 601]))
    def wait(self, seconds: int) -> None:
        self.clock.tick(timedelta(seconds=seconds))

    @invariant()
    def nobody_is_enrolled_who_was_not_told(self) -> None:
        if not hasattr(self, "rows"):
            return
        with self.wire.server.db.read() as conn:
            for person, (_, user) in zip(self.people, self.rows, strict=True):
                owned = authenticators.list_authenticators(conn, user.id)
                confirmed = [a for a in owned if a.kind == "totp" and a.confirmed_at is not None]
                assert len(confirmed) == (person.secret is not None)


@pytest.fixture
def database() -> str:
    return "sqlite"


@pytest.mark.slow
def test_every_order_of_calls_is_answered_as_foretold(server: Server) -> None:
    tried, steps = size(300, 20_000), size(12, 40)
    with freeze_time(NOON + timedelta(days=30)) as clock:
        making.make_client(server, "app", secret=APP_SECRET)
        making.make_client(server, "mallory", secret=MALLORY_SECRET)
        Machine.wire, Machine.clock, Machine.names, Machine.steps = Wire(server), clock, count(), 0
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=tried,
                stateful_step_count=steps,
                deadline=None,
                database=None,
                derandomize=not EVIDENCE,
                suppress_health_check=list(HealthCheck),
            ),
        )
    missing = sorted({*REACHED, *(RARE if EVIDENCE else ())} - set(SEEN))
    assert not missing
    report(
        "any order of calls against a model of the machine",
        tried=f"{tried} sequences of up to {steps} steps, {Machine.steps} token requests",
        held="no divergence",
    )
