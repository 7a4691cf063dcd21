"""What is promised of one person's second factors, as plain values: factors, open logins, challenges, counters, policy.

Written from what people are told, not from the code, and without a word of how the server keeps it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

MFA_SECONDS, STEP_SECONDS, CODE_SECONDS, POLL_SECONDS = 600, 30, 300, 5
WRONG_PASSWORDS, GUESSES, REFILL_SECONDS = 10, 10, 360
OPEN_TOKENS, PENDING = 10, 5
LOGINS, LOGIN_REFILL_SECONDS = 20, 6
SENDS, SEND_REFILL_SECONDS, ADDRESS_SENDS, ADDRESS_REFILL_SECONDS = 10, 3600, 30, 120
FIRST_PAUSE, LONGEST_PAUSE, REMEMBERED_SECONDS = 30, 600, 3600
PUSHES_A_MINUTE, PUSH_ALONE_SECONDS = 5, 60

OTP, PHONE, EMAIL, PUSH, KEY = "otp", "phone", "email", "push-notification", "webauthn-roaming"
RECOVERY = "recovery-code"
KINDS = (OTP, PHONE, EMAIL, PUSH, KEY)
GUESSABLE = (OTP, PHONE, EMAIL, RECOVERY)
# What a policy may take.
ALLOWED = (
    (*KINDS, RECOVERY),
    (*KINDS, RECOVERY),
    (OTP, RECOVERY),
    (PHONE, EMAIL, PUSH),
    (KEY, RECOVERY),
)


@dataclass(eq=False)
class Login:
    """An open login: what an `mfa_token` stands for."""

    token: str
    client: str
    began: int
    password_at: int
    proven: frozenset[str] = frozenset()
    """Second factors, none of which was enough."""
    code: str | None = None
    """The recovery code that it was shown."""


@dataclass(eq=False)
class Device:
    """An authenticator; pending until it has answered once, in the login that enrolled it."""

    kind: str
    at: int
    hand: Any
    """What its owner holds: a secret, a destination, a phone, a key."""
    login: Login | None = None
    last_step: int = -1
    counter: int = 0
    asked: "list[Asked]" = field(default_factory=list)


@dataclass(eq=False)
class Asked:
    """A challenge: a code on its way, a phone that rings or is to be scanned for, a key that shall sign."""

    login: Login
    kind: str
    device: Device | None
    """None where any of a person's keys may answer."""
    handle: str
    at: int
    shown: dict[str, Any]
    sent: Any = None
    """What reached the person: a code, or what a phone is rung with."""
    registers: bool = False
    state: Literal["open", "approved", "rejected", "used", "void", "gone"] = "open"
    polled_at: int | None = None

    def is_waiting(self, now: int) -> bool:
        return self.state == "open" and now - self.at < CODE_SECONDS


@dataclass(eq=False)
class Family:
    token: str
    client: str
    proven: frozenset[str]
    password_at: int
    old: list[str] = field(default_factory=list)
    is_live: bool = True


@dataclass
class Bucket:
    """So many at once, and one back each so many seconds."""

    size: int
    refill_seconds: int
    level: float = 0.0
    at: int = 0

    def has_room(self, now: int) -> bool:
        return self._left(now) + 1 <= self.size

    def pour(self, now: int) -> None:
        self.level, self.at = self._left(now) + 1, now

    def _left(self, now: int) -> float:
        return max(0.0, self.level - (now - self.at) / self.refill_seconds)


class Buckets:
    """All that hold something; a use is counted in each of its own, or in none."""

    def __init__(self) -> None:
        self.known: dict[object, Bucket] = {}

    def spend(self, now: int, *uses: tuple[object, int, int]) -> bool:
        found = [self.known.setdefault(key, Bucket(size, seconds)) for key, size, seconds in uses]
        if not all(bucket.has_room(now) for bucket in found):
            return False
        for bucket in found:
            bucket.pour(now)
        return True


@dataclass(frozen=True)
class Owed:
    what: Literal["nothing", "proof", "enrolment", "nothing, ever"]
    kinds: tuple[str, ...] = ()


@dataclass(eq=False)
class Person:
    realm: str
    email: str
    number: str
    password: str
    devices: list[Device] = field(default_factory=list)
    pending: list[Device] = field(default_factory=list)
    code: str | None = None
    is_blocked: bool = False
    mode: str = "when_enrolled"
    opening: str = "at_login"
    allowed: tuple[str, ...] = ALLOWED[0]
    wrong_passwords: int = 0
    guesses: Bucket = field(default_factory=lambda: Bucket(GUESSES, REFILL_SECONDS))
    pushes: Bucket = field(default_factory=lambda: Bucket(SENDS, SEND_REFILL_SECONDS))
    logins: list[Login] = field(default_factory=list)
    spent: list[Login] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    families: list[Family] = field(default_factory=list)

    def owed(
        self, proven: frozenset[str] = frozenset(), *, new: Device | None = None, is_refresh: bool = False
    ) -> Owed:
        kinds = [device.kind for device in self.devices] + ([new.kind] if new else [])
        if self.mode == "never" or (self.mode == "when_enrolled" and not kinds):
            return Owed("nothing")
        counts = bool(proven & set(self.allowed))
        if is_refresh and counts:
            return Owed("nothing")
        if good := [kind for kind in kinds if kind in self.allowed]:
            return Owed("nothing") if counts else Owed("proof", tuple(good))
        if kinds and not proven:  # what is not taken any more is proven before anything else is enrolled
            return Owed("proof", tuple(kinds))
        return Owed("nothing, ever" if self.opening == "closed" else "enrolment")

    def guess(self, now: int) -> bool:
        """Whether one more guess is looked at."""
        if not self.guesses.has_room(now):
            return False
        self.guesses.pour(now)
        return True

    def forgive(self) -> None:
        """The last guess was right: it does not count, and no earlier one is forgiven."""
        self.guesses.level = max(0.0, self.guesses.level - 1)

    @property
    def is_enrolled(self) -> bool:
        return bool(self.devices) or self.code is not None

    def may_confirm(self, login: Login) -> bool:
        return not self.is_enrolled or bool(login.proven)

    def answering(self, login: Login, kind: str) -> list[Device]:
        """The devices of a kind that an answer in this login may prove."""
        mine = [d for d in self.pending if d.login is login] if self.may_confirm(login) else []
        return [d for d in (*self.devices, *mine) if d.kind == kind]

    def open(self, login: Login) -> None:
        self.logins.append(login)
        if len(self.logins) > OPEN_TOKENS:
            self.end(min(self.logins[:-1], key=lambda other: other.began))

    def end(self, login: Login) -> None:
        self.logins.remove(login)
        self.spent.append(login)

    def end_access(self) -> None:
        self.spent += self.logins
        self.logins = []
        for family in self.families:
            family.is_live = False

    def await_confirmation(self, device: Device) -> None:
        self.pending.append(device)
        for lost in self.pending[:-PENDING]:
            self._forget(lost)
        del self.pending[:-PENDING]

    def confirm(self, device: Device, login: Login) -> None:
        self.pending.remove(device)
        self.devices = sorted([*self.devices, device], key=lambda d: d.at)
        if self.code is None:
            self.code = login.code
        for other in (*self.logins, *self.spent):  # codes that other logins were shown are good for nothing
            other.code = None

    def lose_factors(self) -> None:
        for device in (*self.devices, *self.pending):
            self._forget(device)
        self.devices, self.pending, self.code = [], [], None

    def _forget(self, device: Device) -> None:
        for asked in device.asked:
            asked.state = "gone"

    def ask(self, asked: Asked) -> None:
        for older in self.asked:
            if (
                older.login is asked.login
                and older.kind == asked.kind
                and older.state in ("open", "approved")
            ):
                older.state = "void"
        self.asked.append(asked)
        if asked.device is not None:
            asked.device.asked.append(asked)

    # --- what may be sent --------------------------------------------------------------------------------------

    def may_send(self, buckets: Buckets, device: Device, now: int) -> bool:
        """Whether one more code goes out; it is counted then."""
        last_used = max((a.at for a in device.asked if a.state == "used"), default=0)
        in_vain = [a for a in device.asked if a.at > max(now - REMEMBERED_SECONDS, last_used)]
        if in_vain:
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (len(in_vain) - 1))
            if in_vain[-1].at + pause > now:
                return False
        return buckets.spend(
            now,
            ((self.realm, device.kind), SENDS, SEND_REFILL_SECONDS),
            (device.hand, SENDS, SEND_REFILL_SECONDS),
            ("address", ADDRESS_SENDS, ADDRESS_REFILL_SECONDS),
        )

    def may_ring(self, login: Login, now: int) -> bool:
        """Whether a phone is rung once more; the pushes of other logins are void then."""
        rung = [a for a in self._rung() if now - a.at < CODE_SECONDS]
        others = [a for a in rung if a.state == "open" and a.login is not login]
        if any(now - a.at < PUSH_ALONE_SECONDS for a in others):
            return False
        if sum(now - a.at < PUSH_ALONE_SECONDS for a in rung) >= PUSHES_A_MINUTE:
            return False
        if not self.pushes.has_room(now):
            return False
        self.pushes.pour(now)
        for other in others:
            other.state = "void"
        return True

    def _rung(self) -> Iterable[Asked]:
        """Those for phones that are still known."""
        return (a for a in self.asked if a.kind == PUSH and not a.registers and a.state != "gone")
