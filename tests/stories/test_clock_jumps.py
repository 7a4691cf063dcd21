"""The time of day jumps in the middle of a login (T44): each answer as the stated lifetimes have it, nothing twice.

The server's clock jumps; the phone's does not. What is expected is computed here from what is promised to people and
never asked of the server.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pyotp
import pytest
from freezegun.api import FrozenDateTimeFactory
from werkzeug.test import TestResponse

from app import upkeep
from app.own_factors import PENDING_LIMIT
from app.store import clients
from app.store.refresh_families import ACTIVE_LIMIT
from app.store.transactions import OPEN_LIMIT
from tests import making
from tests.conftest import NOON
from tests.databases import KINDS
from tests.evidence import report, size
from tests.making import CAROLS_PASSWORD, Cast
from tests.wire import APP, Wire, code_of, refused

pytestmark = pytest.mark.slow

MFA_TOKEN = timedelta(minutes=10)
ACCESS_TOKEN = timedelta(hours=24)
REFRESH_IDLE, REFRESH = timedelta(days=15), timedelta(days=30)
PERIOD_SECONDS, WINDOW = 30, 1

DAY, HOUR = 86400, 3600
JUMPS = (-365 * DAY, -DAY, -HOUR, -90, -31, -30, -1, 1, 30, 31, 90, HOUR, DAY, 31 * DAY)

# Seconds of true time after noon. A code is confirmed at the very beginning of its period and the next one proven at
# the very end, so that one second more than a period is too much in one direction at each.
POSITIONS = {
    "the first password": 5,
    "enrolling": 20,
    "confirming": 60,
    "the second password": 70,
    "the challenge": 80,
    "the code": 119,
    "userinfo": 125,
    "the refresh": 130,
    "the second refresh": 140,
    "giving back": 150,
    "the third password": 160,
    "the recovery code": 170,
}


def step_of(moment: datetime) -> int:
    return int(moment.timestamp()) // PERIOD_SECONDS


@dataclass
class Clock:
    """The server's time: the true time, and what somebody added to it."""

    frozen: FrozenDateTimeFactory
    true: datetime = NOON
    jump: timedelta = timedelta(0)

    @property
    def now(self) -> datetime:
        return self.true + self.jump

    def at(self, seconds: float) -> None:
        self.true = max(self.true, NOON + timedelta(seconds=seconds))
        self.frozen.move_to(self.now)

    def set_to(self, moment: datetime) -> None:
        self.jump = moment - self.true
        self.frozen.move_to(self.now)


@dataclass
class Used:
    """A one-time thing that was accepted, with the server's time of that."""

    at: datetime
    again: Callable[[], TestResponse]
    what: str


@dataclass
class Story:
    """Dora's first weeks. Each step knows from the lifetimes alone what must be answered."""

    wire: Wire
    clock: Clock
    name: str
    used: list[Used] = field(default_factory=list)
    refusals: int = 0
    secret: str = ""
    recovery_code: str = ""
    last_step: int = 0
    mfa_token: str = ""
    mfa_token_since: datetime = NOON
    access_token: str = ""
    access_since: datetime = NOON
    refresh_token: str = ""
    refresh_since: datetime = NOON
    family_since: datetime = NOON

    def told(self, answer: TestResponse, *expected: tuple[int, str]) -> bool:
        """Whether it was accepted; `expected` is the one answer that the lifetimes allow, or none for 200."""
        said = (answer.status_code, (answer.json or {}).get("error", "") if answer.status_code != 200 else "")
        assert said == (expected[0] if expected else (200, "")), f"{self.name}: {answer.text}"
        self.refusals += bool(expected)
        return not expected

    def is_open(self) -> bool:
        return self.clock.now < self.mfa_token_since + MFA_TOKEN

    def phone_shows(self) -> str:
        return pyotp.TOTP(self.secret).at(int(self.clock.true.timestamp()))

    def takes_code(self) -> bool:
        """The phone's code is inside the server's window and newer than what was used."""
        phone = step_of(self.clock.true)
        return abs(step_of(self.clock.now) - phone) <= WINDOW and phone > self.last_step

    # --- steps

    def password(self) -> None:
        answer = self.wire.password(self.name, realm="guests", scope="openid offline_access")
        assert answer.status_code == 403 and answer.json, answer.text
        assert answer.json["error"] == "mfa_required"
        self.mfa_token, self.mfa_token_since = answer.json["mfa_token"], self.clock.now

    def enroll(self) -> None:
        answer = self.wire.associate(self.mfa_token)
        if not self.told(answer, *([] if self.is_open() else [(401, "invalid_grant")])):
            return self.anew(self.enroll)
        assert answer.json is not None
        self.secret, self.recovery_code = answer.json["secret"], answer.json["recovery_codes"][0]

    def prove(self) -> None:
        code, token = self.phone_shows(), self.mfa_token
        answer = self.wire.otp(token, code)
        if not self.is_open():
            self.told(answer, (403, "expired_token"))
        elif not self.takes_code():
            self.told(answer, (403, "invalid_grant"))
        else:
            self.told(answer)
            self.last_step = step_of(self.clock.true)
            self.issued(answer)
            self.has_used("mfa_token", lambda: self.wire.otp(token, self.code_of_server()))
            self.has_used("code", lambda: self.wire.otp(self.another_mfa_token(), code))
            return
        if self.last_step:
            self.anew(self.prove)
        else:  # an unconfirmed enrolment belongs to its login: whoever begins anew enrols anew
            self.anew(self.enroll, self.prove)

    def challenge(self) -> None:
        members = APP | {"mfa_token": self.mfa_token, "challenge_type": "otp"}
        answer = self.wire.post("/mfa/challenge", **members)
        if not self.told(answer, *([] if self.is_open() else [(403, "expired_token")])):
            self.anew(self.challenge)

    def userinfo(self) -> None:
        is_live = self.clock.now < self.access_since + ACCESS_TOKEN
        answer = self.wire.get("/userinfo", self.access_token)
        self.told(answer, *([] if is_live else [(401, "invalid_token")]))

    def refresh(self) -> None:
        token = self.refresh_token
        is_live = self.clock.now < min(self.refresh_since + REFRESH_IDLE, self.family_since + REFRESH)
        answer = self.wire.refresh(token)
        if not self.told(answer, *([] if is_live else [(403, "invalid_grant")])):
            return self.anew(self.prove, self.refresh)
        self.has_used("refresh token", lambda: self.wire.refresh(token))
        family = self.family_since
        self.issued(answer)
        self.family_since = family

    def give_back(self) -> None:
        token = self.refresh_token
        assert self.wire.post("/oauth/revoke", token=token, **APP).status_code == 200
        self.has_used("revoked refresh token", lambda: self.wire.refresh(token))
        self.told(self.wire.refresh(token), (403, "invalid_grant"))

    def recover(self) -> None:
        """A code on paper has no clock."""
        token, code = self.mfa_token, self.recovery_code
        answer = self.wire.recovery(token, code)
        if not self.told(answer, *([] if self.is_open() else [(403, "expired_token")])):
            return self.anew(self.recover)
        self.issued(answer)
        self.has_used("recovery code", lambda: self.wire.recovery(self.another_mfa_token(), code))
        self.has_used("mfa_token", lambda: self.wire.recovery(token, Wire.ok(answer)["recovery_code"]))
        self.refresh()  # of a family that nobody has given back

    # --- between them

    def issued(self, answer: TestResponse) -> None:
        tokens = Wire.ok(answer)
        self.access_token, self.refresh_token = tokens["access_token"], tokens["refresh_token"]
        self.access_since = self.refresh_since = self.family_since = self.clock.now

    def anew(self, *steps: Callable[[], object]) -> None:
        """Somebody sets the clock right and Dora begins again: then nothing may be in the way."""
        self.upkeep()
        self.clock.set_to(self.clock.true)
        self.password()
        before = self.refusals
        for step in steps:
            step()
        assert self.refusals == before, "with the right time"

    def upkeep(self) -> None:
        """What the server does beside answering happens at the wrong time as well."""
        upkeep.prune_all(self.wire.server, self.clock.now)

    def has_used(self, what: str, again: Callable[[], TestResponse]) -> None:
        self.used.append(Used(self.clock.now, again, what))

    def another_mfa_token(self) -> str:
        self.password()
        return self.mfa_token

    def code_of_server(self) -> str:
        return pyotp.TOTP(self.secret).at(int(self.clock.now.timestamp()))

    # --- the whole of it

    def run(self, position: str, jump: int) -> None:
        steps = [self.password, self.enroll, self.prove, self.password, self.challenge, self.prove]
        steps += [self.userinfo, self.refresh, self.refresh, self.give_back, self.password, self.recover]
        for (name, seconds), step in zip(POSITIONS.items(), steps, strict=True):
            self.clock.at(seconds)
            if name == position:
                self.clock.set_to(self.clock.true + timedelta(seconds=jump))
            step()
            if name == position:
                self.upkeep()
        kinds = {used.what for used in self.used}
        assert kinds == {"mfa_token", "code", "refresh token", "revoked refresh token", "recovery code"}

    def use_again(self) -> None:
        """Everything that was used, at the moment of the server's clock when it was accepted."""
        for used in reversed(self.used):
            self.clock.set_to(used.at)
            answer = used.again()
            assert (answer.status_code, (answer.json or {}).get("error")) == (403, "invalid_grant"), (
                f"{self.name}: {used.what}: {answer.text}"
            )


@pytest.mark.parametrize("position", POSITIONS)
def test_the_clock_jumps_in_the_middle_of_a_login(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory, database: str, position: str
) -> None:
    share = size(2, 1)  # in the small run each database has every other jump: no combination is left out
    jumps = JUMPS[KINDS.index(database) % share :: share]
    refusals = replays = 0
    for jump in jumps:
        name = f"dora{jump}@example.com"
        making.make_user(wire.server, cast.guests, name)
        story = Story(wire, Clock(clock), name)
        story.run(position, jump)
        refusals += story.refusals
        story.use_again()
        replays += len(story.used)
    report(
        f"5.7 the clock jumps before {position} ({database})",
        tried=f"{len(jumps)} jumps, {replays} used things again",
        held=f"{refusals} refusals, each as the lifetimes have it; 0 accepted twice, 0 5xx",
    )


def test_a_clock_set_back_does_not_stretch_the_leeway(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    with wire.server.db.write() as conn:
        clients.update_client(conn, "app", refresh_leeway_seconds=10)
    parent = Wire.ok(wire.password("bob@example.com", scope="offline_access"))["refresh_token"]
    clock.tick(timedelta(hours=1))
    Wire.ok(wire.refresh(parent))
    clock.tick(timedelta(seconds=-9))  # a worker whose clock is a little behind
    Wire.ok(wire.refresh(parent))
    clock.tick(timedelta(seconds=-1))
    refused(wire.refresh(parent), 403, "invalid_grant")


def test_what_was_left_open_before_the_clock_went_back_keeps_nobody_out(
    wire: Wire, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    """Only so many open logins, enrolments and refresh tokens are kept, the newest: one that begins now is new."""
    carol = {"username": "alice@example.com", "password": CAROLS_PASSWORD, "realm": "guests"}
    bob = {"username": "bob@example.com", "scope": "offline_access"}
    making.loosen_limits(wire.server)
    for _ in range(OPEN_LIMIT):
        token = wire.mfa_token(**carol)
    for _ in range(PENDING_LIMIT):
        Wire.ok(wire.associate(token))
    families = [Wire.ok(wire.password(**bob))["refresh_token"] for _ in range(ACTIVE_LIMIT)]
    clock.tick(timedelta(days=-1))
    token = wire.mfa_token(**carol)
    secret = Wire.ok(wire.associate(token))["secret"]
    Wire.ok(wire.otp(token, code_of(secret)))
    Wire.ok(wire.refresh(Wire.ok(wire.password(**bob))["refresh_token"]))
    alive = sum(wire.refresh(token).status_code == 200 for token in families)
    assert alive == ACTIVE_LIMIT - 1, "the limit stands"
