"""The whole machine of people's second factors against a model of it: any order of calls, every answer foretold.

In each sequence two people of one address live in two realms, and nothing that happens to one of them may show at the
other. Whatever a client adds to a request, the answer stays the same.
"""

import re
from collections import Counter
from collections.abc import Iterator
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
from sqlalchemy import select
from werkzeug.test import TestResponse

from app import accounts
from app.channels.channel import Message
from app.channels.outbox import opened
from app.context import Context, Server
from app.crypto import digest
from app.factors.vocabulary import policy_name
from app.store import authenticators, challenges, outbox, realms, users
from app.store.base import value_of
from tests import device as phones
from tests import making
from tests.conftest import NOON
from tests.device import Phone
from tests.evidence import FULL as EVIDENCE
from tests.evidence import report, size
from tests.making import APP_SECRET, MALLORY_SECRET
from tests.security_key import SecurityKey
from tests.stories.model import (
    ALLOWED,
    CODE_SECONDS,
    EMAIL,
    GUESSABLE,
    KEY,
    KINDS,
    LOGIN_REFILL_SECONDS,
    LOGINS,
    MFA_SECONDS,
    OTP,
    PHONE,
    POLL_SECONDS,
    PUSH,
    RECOVERY,
    STEP_SECONDS,
    WRONG_PASSWORDS,
    Asked,
    Buckets,
    Device,
    Family,
    Login,
    Owed,
    Person,
)
from tests.wire import MFA_OOB, MFA_OTP, MFA_RECOVERY, MFA_WEBAUTHN, PASSWORD_REALM, Wire, bearer

PASSWORDS = ("correct horse battery staple", "another one entirely", "and a third, just as long")
CLIENTS = {"app": APP_SECRET, "mallory": MALLORY_SECRET}
SCOPE = "openid offline_access"
SWITCHED_ON = ("sms", "email", "push-notification", "webauthn-roaming")
CHANNELS = {PHONE: "sms", EMAIL: "email", PUSH: "auth0"}
CHALLENGE_TYPES = {OTP: "otp", PHONE: "oob", EMAIL: "oob", PUSH: "oob", KEY: "webauthn"}

INVALID = (403, "invalid_grant")
EXPIRED = (403, "expired_token")
UNSUPPORTED = (401, "unsupported_challenge_type")
NO_CODE = (403, "unsupported_challenge_type")
DENIED = (403, "access_denied")
REQUIRED = (403, "mfa_required")
TOO_MANY = (429, "invalid_request")
ISSUED = (200, "")
Told = tuple[int, str]

numbers = st.integers(0, 11)
whose = st.sampled_from([0, 0, 0, 1])
POLICIES = st.tuples(
    st.sampled_from(["always"] * 5 + ["when_enrolled"] * 2 + ["never"]),
    st.sampled_from(["at_login"] * 5 + ["closed"]),
    st.sampled_from(ALLOWED),
)
# What a client might add to be let off; none of it is anybody's to say.
PLEAS: tuple[dict[str, str], ...] = (
    {},
    {},
    {},
    {"mfa": "false", "skip_mfa": "true", "multifactor": "none", "require_mfa": "0"},
    {"acr_values": "1", "amr": "pwd mfa", "acr": "", "max_age": "999999", "prompt": "none"},
    {"authenticator_types": "none", "challenge_type": "none", "remember": "true", "trusted_device": "1"},
    {"mode": "never", "mfa_policy": "mode=never", "options": '{"mfa": {"active": false}}'},
    {"user_id": "auth0|0", "exempt": "true", "break_glass": "true", "enforcement": "report_only"},
)
ALIASES: tuple[dict[str, str], ...] = ({}, {}, {"grant_type": "password"})
pleas = st.sampled_from(PLEAS)

SEEN: Counter[str] = Counter()
# What has to come up, or the model was not asked anything worth knowing.
REACHED = (
    "password-realm 200",
    "password-realm 403 access_denied",
    "password-realm 403 invalid_grant",
    "password-realm 403 mfa_required",
    "associate 200",
    "associate 403 access_denied",
    "challenge 200",
    "challenge 401 unsupported_challenge_type",
    "mfa-otp 200",
    "mfa-oob 200",
    "mfa-webauthn 200",
    "mfa-recovery-code 200",
    "phone 204",
    "refresh_token 200",
    "refresh_token 403 invalid_grant",
)
# … and what takes more sequences than the small figure has.
RARE = (
    "associate 400 invalid_request",
    "challenge 429 invalid_request",
    "mfa-otp 401 unsupported_challenge_type",
    "mfa-otp 403 invalid_grant",
    "mfa-oob 400 authorization_pending",
    "mfa-oob 403 invalid_grant",
    "mfa-oob 403 mfa_required",
    "mfa-recovery-code 403 invalid_grant",
    "phone 200",
    "associate 401 invalid_grant",
    "mfa-otp 400 invalid_request",
    "mfa-webauthn 403 invalid_grant",
    "mfa-recovery-code 403 unsupported_challenge_type",
    "password-realm 401 unauthorized",
    "challenge 403 expired_token",
    "challenge 403 invalid_grant",
    "challenge 429 too_many_attempts",
    "mfa-otp 403 access_denied",
    "mfa-otp 403 expired_token",
    "mfa-otp 403 mfa_required",
    "mfa-otp 429 invalid_request",
    "mfa-oob 400 access_denied",
    "mfa-oob 400 slow_down",
    "mfa-oob 401 unsupported_challenge_type",
    "mfa-oob 403 access_denied",
    "mfa-oob 403 expired_token",
    "mfa-webauthn 403 access_denied",
    "mfa-webauthn 403 expired_token",
    "phone 403",
    "phone 404",
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

    @initialize(
        policies=st.tuples(POLICIES, POLICIES),
        held=st.tuples(
            *[st.sampled_from([(), (), KINDS, (OTP,), (PHONE,), (EMAIL,), (PUSH,), (KEY,), KINDS])] * 2
        ),
    )
    def two_people_of_one_address(
        self, policies: tuple[tuple[Any, ...], ...], held: tuple[tuple[str, ...], ...]
    ) -> None:
        server, name = self.wire.server, next(self.names)
        self.people, self.rows, self.buckets = [], [], Buckets()
        self.clock.tick(timedelta(hours=1))  # what the last sequence sent is forgotten
        for number in range(2):
            realm = making.make_realm(server, f"r{name}-{number}")
            with server.db.write() as conn:
                realms.set_clients_of(conn, realm.id, list(CLIENTS))
            email = f"ann{name}@example.com"
            user = making.make_user(server, realm, email, PASSWORDS[number])
            telephone = f"+49170{name:06}{number}"
            person = Person(realm.name, email, telephone, PASSWORDS[number])
            person.devices = [Device(kind, self.now, self.given(kind, person, user)) for kind in held[number]]
            if held[number]:
                person.code = making.give_recovery_code(server, user, f"{number}BCDEFGHIJKLMNOPQRSTUVW0")
            self.clock.tick(timedelta(seconds=1))
            self.people.append(person)
            self.rows.append((realm, user))
            self.change_policy(number, *policies[number])

    def given(self, kind: str, person: Person, user: Any) -> Any:
        """A device that was there before."""
        server = self.wire.server
        if kind == OTP:
            return making.enroll_totp(server, user)
        if kind == PUSH:
            return making.enroll_push(server, user, Phone(matches_numbers=self.now % 2 == 0))
        if kind == KEY:
            return making.enroll_security_key(server, user)
        destination = person.number if kind == PHONE else person.email
        making.enroll_phone(server, user, CHANNELS[kind], destination)
        return destination

    # --- help ------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        return int(self.clock().timestamp())

    @property
    def context(self) -> Context:
        return Context(self.wire.server, self.clock().replace(tzinfo=NOON.tzinfo), ip="")

    def told(self, answer: TestResponse) -> Told:
        assert answer.json is not None, answer.text
        found = answer.status_code, "" if answer.status_code == 200 else str(answer.json["error"])
        SEEN[f"{self.asked} {found[0]} {found[1]}".strip()] += 1
        return found

    def begin(self, what: str) -> None:
        """Each request has a second of its own."""
        self.clock.tick(timedelta(seconds=1))
        type(self).steps += 1
        self.asked = what

    def ask(self, client: str, **members: Any) -> TestResponse:
        self.begin(re.split("[/:]", members["grant_type"])[-1])
        return self.wire.post_json("/oauth/token", client_id=client, client_secret=CLIENTS[client], **members)

    def took(self, person: Person, login: Login, answer: TestResponse) -> None:
        assert answer.json is not None
        person.wrong_passwords = 0
        token = answer.json["refresh_token"]
        person.families.append(Family(token, login.client, login.proven, login.password_at))

    def demanded(self, person: Person, login: Login, owed: Owed, answer: TestResponse) -> None:
        """An `mfa_required` that tells what is owed, and no more."""
        assert answer.json is not None
        login.token, login.began = answer.json["mfa_token"], self.now
        shown = {
            what: {found["type"] for found in types}
            for what, types in answer.json.get("mfa_requirements", {}).items()
        }
        if owed.what == "enrolment":
            assert shown == {"enroll": set(person.allowed) - {RECOVERY}}
        elif len(owed.kinds) == len(person.devices):
            assert not shown
        else:
            assert shown == {
                "challenge": set(owed.kinds) | ({"oob"} if set(owed.kinds) & set(CHANNELS) else set())
            }
        person.open(login)

    def in_a_login(self, who: int) -> tuple[Person, Person] | None:
        """Somebody in the middle of a login, which begins now where there is none; and the other one."""
        if not has(self, "logins"):
            self.log_in(who, "app", 1, {}, {})
        return self.pick(who, "logins") if has(self, "logins") else None

    def pick(self, who: int, what: str) -> tuple[Person, Person]:
        """Somebody who has any, and the other one."""
        one, other = self.people[who], self.people[1 - who]
        return (one, other) if getattr(one, what) else (other, one)

    def a_login(self, person: Person, number: int) -> Login:
        """One of the open ones, the newest for most numbers, or one that is over."""
        if person.spent and number == 0:
            return person.spent[-1]
        return person.logins[-1 - (number % min(3, len(person.logins)) if number > 6 else 0)]

    def an_asked(self, who: int, number: int, *kinds: str) -> tuple[Person, Person, Asked, Login] | None:
        """The newest challenge for most numbers, with the login that asked or, rarely, another one; and whose it is.

        One is asked for where there was none yet.
        """
        answerable = [a for person in self.people for a in person.asked if a.kind in kinds]
        if not answerable or (number in (3, 4) and answerable[-1].state in ("used", "void")):
            held = [device.kind for device in self.people[who].devices if device.kind in kinds]
            if held:
                self.challenge(who, 1, held[0], None, {})
            else:
                self.associate(who, 11, kinds[number % len(kinds)], {})
        one, other = self.people[who], self.people[1 - who]
        person = one if any(asked.kind in kinds for asked in one.asked) else other
        found = [asked for asked in person.asked if asked.kind in kinds]
        if not found:
            return None
        asked = found[-1 - (number % min(3, len(found)) if number > 7 else 0)]
        login = asked.login
        if number in (1, 2):
            if len(person.logins) < 2:
                self.log_in(self.people.index(person), asked.login.client, 1, {}, {})
            login = person.logins[-1] if person.logins else login
        return person, other if person is one else one, asked, login

    def state_of(self, person: Person, login: Login, client: str) -> Told | None:
        """Why a token opens nothing; None where it does."""
        if login not in person.logins:
            return INVALID
        if self.now - login.began >= MFA_SECONDS:
            return EXPIRED
        return None if login.client == client else (400, "invalid_request")

    def is_named(self, person: Person, asked: Asked, login: Login) -> Told | None:
        """Why a challenge cannot be answered in this login; None where it can."""
        if asked.state in ("used", "void", "gone") or asked.login is not login:
            return INVALID
        if self.now - asked.at >= CODE_SECONDS:
            return EXPIRED
        if asked.device is not None and asked.device not in person.answering(login, asked.kind):
            return UNSUPPORTED
        return None if person.answering(login, asked.kind) else UNSUPPORTED

    # --- logins ----------------------------------------------------------------------------------------------------

    @rule(
        who=whose,
        client=st.sampled_from(list(CLIENTS)),
        is_right=st.integers(0, 4),
        plea=pleas,
        alias=st.sampled_from(ALIASES),
    )
    def log_in(
        self, who: int, client: str, is_right: int, plea: dict[str, str], alias: dict[str, str]
    ) -> None:
        person = self.people[who]
        text = person.password if is_right else self.people[1 - who].password
        members = {
            "grant_type": PASSWORD_REALM,
            "realm": person.realm,
            "username": person.email.upper() if alias else person.email,
            "password": text,
            "scope": SCOPE,
        }
        answer = self.ask(client, **(members | plea | alias))
        self.asked = "password-realm"
        login = Login("", client, self.now, self.now)
        turn = (person.realm, "logins"), LOGINS, LOGIN_REFILL_SECONDS
        if person.wrong_passwords >= WRONG_PASSWORDS or not self.buckets.spend(self.now, turn):
            assert self.told(answer) == (429, "too_many_attempts")
        elif text != person.password:
            person.wrong_passwords += 1
            assert self.told(answer) == INVALID
        elif person.is_blocked:
            assert self.told(answer) == (401, "unauthorized")
        elif (owed := person.owed()).what == "nothing":
            assert self.told(answer) == ISSUED
            self.took(person, login, answer)
        elif owed.what == "nothing, ever":
            assert self.told(answer) == DENIED
        else:
            assert self.told(answer) == REQUIRED
            self.demanded(person, login, owed, answer)

    @rule(who=whose, number=numbers, kind=st.sampled_from(KINDS), plea=pleas)
    def associate(self, who: int, number: int, kind: str, plea: dict[str, str]) -> None:
        who = next((one for one in (who, 1 - who) if not self.people[one].is_enrolled), who)
        if not self.people[who].logins:
            self.log_in(who, "app", 1, {}, {})
        if (found := self.in_a_login(who)) is None:
            return
        person, _ = found
        login = self.a_login(person, number)
        if number < 9 and kind not in person.allowed:
            kind = person.allowed[0]
        self.begin("associate")
        body: dict[str, Any] = {"authenticator_types": [CHALLENGE_TYPES[kind] if kind != KEY else kind]}
        if kind in CHANNELS:
            body["oob_channels"] = [CHANNELS[kind]]
        hand = {PHONE: person.number, EMAIL: person.email}.get(kind)
        body |= {"phone_number": hand} if kind == PHONE else {"email": hand} if kind == EMAIL else {}
        answer = self.wire.client.post("/mfa/associate", json=plea | body, headers=bearer(login.token))
        device = Device(kind, self.now, hand, login)
        if self.state_of(person, login, login.client) is not None:
            assert self.told(answer) == (401, "invalid_grant")
        elif (person.is_enrolled and not login.proven) or person.opening == "closed":
            assert self.told(answer) == DENIED
        elif kind not in person.allowed:
            assert self.told(answer) == (400, "invalid_request")
        elif hand is not None and not person.may_send(self.buckets, device, self.now):
            assert self.told(answer) == TOO_MANY
        else:
            assert self.told(answer) == ISSUED and answer.json is not None
            person.await_confirmation(device)
            self.shown(person, device, login, answer.json)

    def shown(self, person: Person, device: Device, login: Login, told: dict[str, Any]) -> None:
        """What somebody is shown who enrols."""
        gives_code = person.code is None and login.code is None and RECOVERY in person.allowed
        assert ("recovery_codes" in told) == gives_code
        if gives_code:
            login.code = told["recovery_codes"][0]
        if device.kind == OTP:
            device.hand = told["secret"]
        elif device.kind == KEY:
            options = told["authn_params_public_key"]
            device.hand = SecurityKey()
            person.ask(Asked(login, KEY, device, options["challenge"], self.now, options, registers=True))
        else:
            sent = None if device.kind == PUSH else self.sent_with(told["oob_code"]).code
            handle, is_push = told["oob_code"], device.kind == PUSH
            person.ask(Asked(login, device.kind, device, handle, self.now, told, sent, registers=is_push))

    def sent_with(self, handle: str) -> Message:
        """What went out with a challenge."""
        with self.wire.server.db.read() as conn:
            asked = challenges.find_challenge(conn, digest(handle))
            assert asked is not None
            table = outbox.messages
            row = conn.execute(select(table).where(table.c.challenge_id == asked.id)).one()
        return opened(self.context, value_of(outbox.Queued, row))

    @rule(
        who=whose,
        number=numbers,
        kind=st.sampled_from([*KINDS, None, None, None, None]),
        client=st.sampled_from([None, None, None, None, *CLIENTS]),
        plea=pleas,
    )
    def challenge(
        self, who: int, number: int, kind: str | None, client: str | None, plea: dict[str, str]
    ) -> None:
        if (found := self.in_a_login(who)) is None:
            return
        person, _ = found
        login = self.a_login(person, number)
        client = client or login.client
        usable = person.owed(login.proven).kinds or [device.kind for device in person.devices] or (PHONE,)
        kind = kind or usable[number % len(usable)]
        self.begin("challenge")
        members = plea | {"mfa_token": login.token, "challenge_type": CHALLENGE_TYPES[kind]}
        if kind in CHANNELS:
            members["oob_channel"] = CHANNELS[kind]
        answer = self.wire.post_json(
            "/mfa/challenge", client_id=client, client_secret=CLIENTS[client], **members
        )
        owed = person.owed(login.proven)
        kinds = owed.kinds if owed.what == "proof" else KINDS
        fitting = [d for d in person.devices if d.kind == kind and kind in kinds]
        refusal = self.state_of(person, login, client)
        if refusal is not None:
            assert self.told(answer) == refusal
        elif not fitting:
            assert self.told(answer) == UNSUPPORTED
        elif kind == PUSH and not person.may_ring(login, self.now):
            assert self.told(answer) == (429, "too_many_attempts")
        elif kind in (PHONE, EMAIL) and not person.may_send(self.buckets, fitting[-1], self.now):
            assert self.told(answer) == TOO_MANY
        else:
            assert self.told(answer) == ISSUED and answer.json is not None
            self.asked_for(person, login, kind, fitting, answer.json)

    def asked_for(
        self, person: Person, login: Login, kind: str, fitting: list[Device], told: dict[str, Any]
    ) -> None:
        if kind == KEY:
            options = told["authn_params_public_key"]
            device = fitting[-1] if len(fitting) == 1 else None
            person.ask(Asked(login, KEY, device, options["challenge"], self.now, options))
        elif kind in CHANNELS:
            message = self.sent_with(told["oob_code"])
            sent = message.payload if kind == PUSH else message.code
            person.ask(Asked(login, kind, fitting[-1], told["oob_code"], self.now, told, sent))

    # --- second factors --------------------------------------------------------------------------------------------

    @rule(
        who=whose,
        number=numbers,
        kind=st.sampled_from(["right", "right", "right", "wrong", "other's"]),
        client=st.sampled_from([None, None, None, *CLIENTS]),
        plea=pleas,
    )
    def one_time_password(
        self, who: int, number: int, kind: str, client: str | None, plea: dict[str, str]
    ) -> None:
        if (found := self.in_a_login(who)) is None:
            return
        person, other = found
        login = self.a_login(person, number)
        client = client or login.client
        mine = person.answering(login, OTP)
        others = [d for d in (*other.devices, *other.pending) if d.kind == OTP]
        own = mine or [d for d in person.pending if d.login is login and d.kind == OTP]
        chosen = own[-1:] if kind == "right" else others[-1:] if kind == "other's" else []
        self.clock.tick(timedelta(seconds=1))
        moment = self.now
        otp = pyotp.TOTP(chosen[0].hand).at(moment) if chosen else "000000"
        self.clock.tick(timedelta(seconds=-1))
        for device in mine:
            if device not in chosen and pyotp.TOTP(device.hand).verify(otp, for_time=moment, valid_window=1):
                return  # a number that happens to be right
        answer = self.ask(client, **(plea | {"grant_type": MFA_OTP, "mfa_token": login.token, "otp": otp}))
        refusal = self.state_of(person, login, client)
        if refusal is not None:
            assert self.told(answer) == refusal
        elif not mine:
            assert self.told(answer) == UNSUPPORTED
        elif not person.guess(self.now):
            assert self.told(answer) == TOO_MANY
        elif not chosen or chosen[0] not in mine or self.now // STEP_SECONDS <= chosen[0].last_step:
            assert self.told(answer) == INVALID
        elif self.proved(person, login, OTP, answer, chosen[0]):
            chosen[0].last_step = self.now // STEP_SECONDS

    @rule(who=whose, number=numbers, is_right=st.booleans())
    def recovery_code(self, who: int, number: int, is_right: bool) -> None:
        if (found := self.in_a_login(who)) is None:
            return
        person, _ = found
        login = self.a_login(person, number)
        text = person.code if is_right and person.code else "ABCDEFGHIJKLMNOPQRSTUVWX"
        answer = self.ask(login.client, grant_type=MFA_RECOVERY, mfa_token=login.token, recovery_code=text)
        refusal = self.state_of(person, login, login.client)
        if refusal is not None:
            assert self.told(answer) == refusal
        elif person.code is None:
            assert self.told(answer) == NO_CODE
        elif not person.guess(self.now):
            assert self.told(answer) == TOO_MANY
        elif text != person.code:
            assert self.told(answer) == INVALID
        elif self.proved(person, login, RECOVERY, answer, None):
            assert answer.json is not None
            person.code = answer.json["recovery_code"]

    @rule(
        who=whose,
        number=numbers,
        kind=st.sampled_from(["right", "right", "right", "wrong", "none"]),
        client=st.sampled_from([None, None, None, None, *CLIENTS]),
        plea=pleas,
    )
    def out_of_band(self, who: int, number: int, kind: str, client: str | None, plea: dict[str, str]) -> None:
        """The code that was sent, or a look whether the phone has said yes."""
        if (found := self.an_asked(who, number, *CHANNELS)) is None:
            return
        person, _, asked, login = found
        client = client or login.client
        members = plea | {"grant_type": MFA_OOB, "mfa_token": login.token, "oob_code": asked.handle}
        code = ""
        if asked.kind != PUSH:
            code = {"right": str(asked.sent), "wrong": "000000"}.get(kind, "")
            members |= {"binding_code": code} if code else {}
        is_right = code == asked.sent
        answer = self.ask(client, **members)
        if asked.kind == PUSH and asked.is_waiting(self.now) and self.is_hasty(asked):
            assert self.told(answer) == (400, "slow_down")
            return
        refusal = self.state_of(person, login, client) or self.is_named(person, asked, login)
        if refusal is not None:
            assert self.told(answer) == refusal
        elif asked.kind == PUSH:
            self.polled(person, login, asked, answer)
        elif not person.guess(self.now):
            assert self.told(answer) == TOO_MANY
        elif not code:
            assert self.told(answer) == (400, "invalid_request")
            person.forgive()  # it was never looked at
        elif not is_right:
            assert self.told(answer) == INVALID
        elif self.proved(person, login, asked.kind, answer, asked.device):
            asked.state = "used"

    def is_hasty(self, asked: Asked) -> bool:
        return asked.polled_at is not None and self.now - asked.polled_at < POLL_SECONDS

    def polled(self, person: Person, login: Login, asked: Asked, answer: TestResponse) -> None:
        if asked.state == "rejected":
            assert self.told(answer) == (400, "access_denied")
        elif asked.state == "open":
            assert self.told(answer) == (400, "authorization_pending")
            asked.polled_at = self.now
        elif self.proved(person, login, PUSH, answer, asked.device):
            asked.state = "used"

    @rule(who=whose, number=numbers, says=st.sampled_from(["yes", "yes", "yes", "no", "another number"]))
    def phone_says(self, who: int, number: int, says: str) -> None:
        if (found := self.an_asked(who, number, PUSH)) is None:
            return
        person, _, asked, _ = found
        assert asked.device is not None
        self.begin("phone")
        is_waiting = asked.is_waiting(self.now) and not person.is_blocked
        if asked.registers:
            phone = Phone(matches_numbers=says == "another number")
            ticket, body = phone.scan(asked.shown["barcode_uri"])
            answer = phones.post(self.wire, "enroll", ticket, body)
            SEEN[f"phone {answer.status_code}"] += 1
            assert answer.status_code == (200 if is_waiting else 404)
            if is_waiting:
                phone.take(answer.json)
                asked.state, asked.device.hand = "approved", phone
            return
        phone = asked.device.hand
        claims: dict[str, Any] = {"auth0_guardian_accepted": says != "no"}
        if phone.matches_numbers:
            shown = asked.shown["binding_code"]
            claims["binding_code"] = shown if says != "another number" else f"{(int(shown) + 1) % 100:02}"
        answer = phones.resolve(self.wire, asked.sent, phone.answer_to(asked.sent, at=self.now, **claims))
        SEEN[f"phone {answer.status_code}"] += 1
        is_off = says == "another number" and phone.matches_numbers
        if asked.state == "gone":
            assert answer.status_code == 401
        elif not is_waiting:
            assert answer.status_code == 404
        else:
            assert answer.status_code == (403 if is_off else 204)
            asked.state = "rejected" if is_off or says == "no" else "approved"
            if asked.state == "approved":
                person.pushes.level = 0.0

    @rule(
        who=whose,
        number=numbers,
        kind=st.sampled_from(["right", "right", "copied", "copied", "other's"]),
        client=st.sampled_from([None, None, None, None, *CLIENTS]),
    )
    def security_key(self, who: int, number: int, kind: str, client: str | None) -> None:
        if (found := self.an_asked(who, number, KEY)) is None:
            return
        person, other, asked, login = found
        client = client or login.client
        foreign = [d for d in other.devices if d.kind == KEY]
        known = [d for d in person.devices if d.kind == KEY]
        device = asked.device or (known[-1] if known else None)
        if device is None or (kind == "other's" and not foreign):
            return
        key = foreign[-1].hand if kind == "other's" else device.hand
        kept, is_copy = key.counter, kind == "copied" and not asked.registers and device.counter > 0
        if is_copy:
            key.counter = device.counter
        response = key.create(asked.shown) if asked.registers else key.get(asked.shown)
        said, key.counter = key.counter - 1, max(kept, key.counter)
        members = {"grant_type": MFA_WEBAUTHN, "mfa_token": login.token, "authn_response": response}
        answer = self.ask(client, **members)
        refusal = self.state_of(person, login, client) or self.is_named(person, asked, login)
        if refusal is not None:
            assert self.told(answer) == refusal
        elif kind == "other's" or is_copy:
            assert self.told(answer) == INVALID
        elif self.proved(person, login, KEY, answer, device):
            asked.state, device.counter = "used", said

    @rule(
        who=whose,
        number=numbers,
        policy=st.one_of(st.none(), st.none(), POLICIES),
        seconds=st.sampled_from([0, 0, 0, 0, 360]),
    )
    def complete(self, who: int, number: int, policy: tuple[Any, ...] | None, seconds: int) -> None:
        """A login with its factor, as nearly all of them are; rarely with another policy between its steps."""
        if (found := self.in_a_login(who)) is None:
            return
        person = found[0]
        who = self.people.index(person)
        if number > 9 and person.code is not None:
            self.recovery_code(who, 5, True)
            return
        owed = person.owed(person.logins[-1].proven)
        enrols = owed.what == "enrolment"
        kinds = [kind for kind in person.allowed if kind != RECOVERY] if enrols else owed.kinds or (OTP,)
        self.prove(who, kinds[number % len(kinds)], enrols=enrols, policy=policy, seconds=seconds)
        if policy is not None and person.families:
            self.refresh(who, 0, 1, None, {})

    def prove(
        self,
        who: int,
        kind: str,
        *,
        enrols: bool,
        policy: tuple[Any, ...] | None = None,
        seconds: int = 0,
    ) -> None:
        newest = 5
        if enrols:
            self.associate(who, newest, kind, {})
        elif kind != OTP:
            self.challenge(who, newest, kind, None, {})
        if kind == PUSH:
            self.out_of_band(who, newest, "right", None, {})
            self.phone_says(who, newest, "yes")
        self.wait(seconds)
        if policy is not None:
            self.change_policy(who, *policy)
        if kind == OTP:
            self.one_time_password(who, newest, "right", None, {})
        elif kind == KEY:
            self.security_key(who, newest, "right", None)
        else:
            self.out_of_band(who, newest, "right", None, {})

    @rule(who=whose, kind=st.sampled_from([PHONE, PUSH]), seconds=st.sampled_from([0, 0, 30, 60]))
    def ask_in_two_logins(self, who: int, kind: str, seconds: int) -> None:
        """A second login sends again, or rings again."""
        person = self.people[who]
        for _ in range(2):
            self.log_in(who, "app", 1, {}, {})
            if person.logins:
                self.challenge(who, 5, kind, None, {})
            self.wait(seconds)
        if kind == PUSH and person.logins:
            self.phone_says(who, 11, "yes")

    @rule(who=whose, kind=st.sampled_from(KINDS), policy=POLICIES, is_closed=st.booleans())
    def enrol_while_the_policy_changes(
        self, who: int, kind: str, policy: tuple[Any, ...], is_closed: bool
    ) -> None:
        person = self.people[who]
        if person.is_enrolled:
            self.reset(who)
        self.change_policy(who, "always", "at_login", ALLOWED[0])
        self.log_in(who, "app", 1, {}, {})
        if person.logins:
            mode, opening, allowed = policy
            changed = mode, "closed" if is_closed else opening, allowed
            self.prove(who, kind, enrols=True, policy=changed)

    @rule(who=whose, policies=st.tuples(POLICIES, POLICIES))
    def refresh_under_other_policies(self, who: int, policies: tuple[tuple[Any, ...], ...]) -> None:
        self.complete(who, 0, None, 0)
        for policy in policies:
            self.change_policy(who, *policy)
            if has(self, "families"):
                self.refresh(who, 0, 1, None, {})

    @rule(who=whose, kinds=st.tuples(st.sampled_from(KINDS), st.sampled_from(KINDS)))
    def enrol_in_two_logins(self, who: int, kinds: tuple[str, str]) -> None:
        """Whoever knows the password begins as well; one of both is first."""
        person = self.people[who]
        for _ in kinds:
            self.log_in(who, "app", 1, {}, {})
        if len(person.logins) < 2 or person.is_enrolled:
            return
        rival = person.logins[-2]
        self.associate(who, 5, kinds[0], {})
        person.logins.remove(rival)
        person.logins.append(rival)
        self.prove(who, kinds[1], enrols=True)
        if person.logins:
            self.one_time_password(who, 5, "right", None, {})
            self.out_of_band(who, 9, "right", None, {})
            self.security_key(who, 9, "right", None)

    def proved(
        self, person: Person, login: Login, kind: str, answer: TestResponse, device: Device | None
    ) -> bool:
        """What becomes of a login whose factor was right; whether the proof is used up."""
        is_first = device is not None and device not in person.devices
        if is_first and (person.opening == "closed" or kind not in person.allowed):
            assert self.told(answer) == DENIED
            return False
        proven = login.proven | {kind}
        owed = person.owed(proven, new=device if is_first else None)
        if owed.what == "nothing, ever":
            assert self.told(answer) == DENIED
            return False
        if kind in GUESSABLE:
            person.forgive()
        if is_first and device is not None:
            person.confirm(device, login)
        person.end(login)
        then = Login("", login.client, self.now, login.password_at, proven)
        if owed.what == "nothing":
            assert self.told(answer) == ISSUED
            self.took(person, then, answer)
        else:
            assert self.told(answer) == REQUIRED
            self.demanded(person, then, owed, answer)
        return True

    # --- refresh ---------------------------------------------------------------------------------------------------

    @precondition(lambda self: has(self, "families"))
    @rule(
        who=whose,
        number=numbers,
        is_old=st.integers(0, 4),
        client=st.sampled_from([None, None, *CLIENTS]),
        plea=pleas,
    )
    def refresh(self, who: int, number: int, is_old: int, client: str | None, plea: dict[str, str]) -> None:
        person, _ = self.pick(who, "families")
        family = person.families[-1 - number % min(3, len(person.families))]
        client = client or family.client
        is_reuse = not is_old and bool(family.old)
        token = family.old[-1] if is_reuse else family.token
        answer = self.ask(client, **(plea | {"grant_type": "refresh_token", "refresh_token": token}))
        if client != family.client or not family.is_live:
            assert self.told(answer) == INVALID
            return
        if is_reuse:
            family.is_live = False
            assert self.told(answer) == INVALID
            return
        owed = person.owed(family.proven, is_refresh=True)
        is_fresh = self.now - family.password_at <= MFA_SECONDS
        if owed.what == "nothing":
            assert self.told(answer) == ISSUED and answer.json is not None
            family.old.append(family.token)
            family.token = answer.json["refresh_token"]
        elif owed.what == "nothing, ever" or (owed.what == "enrolment" and not is_fresh):
            assert self.told(answer) == INVALID
        else:
            assert self.told(answer) == REQUIRED
            self.demanded(person, Login("", client, self.now, family.password_at), owed, answer)

    # --- administration and time -----------------------------------------------------------------------------------

    @rule(
        who=whose,
        act=st.sampled_from(["policy"] * 5 + ["block", "unblock", "unblock", "password", "reset"]),
        policy=POLICIES,
    )
    def administer(self, who: int, act: str, policy: tuple[Any, ...]) -> None:
        if act == "policy":
            self.change_policy(who, *policy)
        elif act == "password":
            self.change_password(who)
        elif act == "reset":
            self.reset(who)
        else:
            self.block(who, act == "block")

    def change_policy(self, who: int, mode: str, opening: str, allowed: tuple[str, ...]) -> None:
        person, (realm, _) = self.people[who], self.rows[who]
        person.mode, person.opening, person.allowed = mode, opening, allowed
        terms = {
            "mode": mode,
            "enrollment": {"self_service": opening},
            "factors": {"allowed": list(allowed)},
        }
        making.set_policy(self.wire.server, realm, terms)

    def block(self, who: int, is_blocked: bool) -> None:
        person = self.people[who]
        with self.wire.server.db.write() as conn:
            accounts.set_blocked(conn, self.context, self.row(who, conn), is_blocked)
        person.is_blocked = is_blocked
        if is_blocked:
            person.end_access()

    def change_password(self, who: int) -> None:
        person = self.people[who]
        person.password = next(text for text in PASSWORDS if text not in [p.password for p in self.people])
        new_hash = accounts.hash_new_password(self.wire.server, person.password)
        with self.wire.server.db.write() as conn:
            accounts.set_password(conn, self.context, self.row(who, conn), new_hash)
        person.end_access()
        person.wrong_passwords = 0
        person.guesses.level = 0.0

    def reset(self, who: int) -> None:
        person = self.people[who]
        with self.wire.server.db.write() as conn:
            accounts.reset_mfa(conn, self.context, self.row(who, conn), reason="a test", by="test")
        person.end_access()
        person.lose_factors()

    def row(self, who: int, conn: Any) -> Any:
        found = users.find_user(conn, self.rows[who][1].id)
        assert found is not None
        return found

    @rule(seconds=st.sampled_from([1, 30, 30, 30, 360, 601]))
    def wait(self, seconds: int) -> None:
        self.clock.tick(timedelta(seconds=seconds))

    @invariant()
    def everybody_has_what_they_confirmed(self) -> None:
        if not hasattr(self, "rows"):
            return
        with self.wire.server.db.read() as conn:
            for person, (_, user) in zip(self.people, self.rows, strict=True):
                owned = [a for a in authenticators.list_authenticators(conn, user.id) if a.confirmed_at]
                expected = [device.kind for device in person.devices] + ([RECOVERY] if person.code else [])
                assert sorted(policy_name(a.kind) for a in owned) == sorted(expected)


@pytest.fixture
def database() -> str:
    return "sqlite"


@pytest.mark.slow
def test_every_order_of_calls_is_answered_as_foretold(server: Server) -> None:
    tried, steps = size(300, 20_000), size(10, 16)
    with freeze_time(NOON + timedelta(days=30)) as clock:
        making.make_client(server, "app", secret=APP_SECRET)
        making.make_client(server, "mallory", secret=MALLORY_SECRET)
        making.switch_on(server, *SWITCHED_ON)
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
    assert not missing, sorted(SEEN.items())
    report(
        "any order of calls against a model of the machine",
        tried=f"{tried} sequences of up to {steps} steps, {Machine.steps} requests",
        held="no divergence",
    )
