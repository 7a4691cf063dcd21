"""What each endpoint says of people in every state that an account, its realm or its address can be in (R-d, T3).

One table says who hears what. Below it: whatever reads the same in the table is the same on the wire, to the last byte
of body and headers, so that a stranger tells nobody apart.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app import accounts
from app.context import Context, Server
from app.factors.relying_party import user_handle
from app.guards.brute_force import CAP
from app.guards.protection import BREACHES, BRUTE_FORCE, LOGIN_STAGE, SIGNUP_STAGE, THROTTLING
from app.rules import runtime
from app.store import realms, users
from app.store.documents import Document, put_document
from app.store.realms import Realm
from app.store.users import User
from tests import making
from tests.directories import slapd as slapds
from tests.directories.conftest import authority, make_directory_realm, service, slapd  # noqa: F401
from tests.directories.fakes import LoginService
from tests.directories.slapd import Slapd
from tests.making import PASSWORD, Cast
from tests.security_key import SecurityKey
from tests.stories import test_passkey_login as passkeys
from tests.stories.test_imported_password import import_user
from tests.test_ruling import put as put_rule
from tests.wire import FULL, PASSWORD_REALM, Wire, code_of, told

LEAKED = "AUTH0-TEST-correct horse"
THRESHOLD = 3 * CAP  # of failures from one address
MADE_UP = "u" * 43

# Who hears what, in the words of ANSWERS. `stranger`: a wrong password, in both password grants; `owner`: the right
# one; `refresh`: with a refresh token, and `second`: with an mfa_token of before they came into that state, or made up
# where there never was one; `signup`: under that name. Asking for a new password or a passkey is one answer for all.
COLUMNS = ("stranger", "owner", "refresh", "second", "signup")
TABLE = {
    "existing": ("wrong", "tokens", "refreshed", "gone", "taken"),
    "unknown": ("wrong", "wrong", "no such token", "gone", "made"),
    "enrolled": ("wrong", "owed", "refreshed", "open", "taken"),
    "alias": ("wrong", "owed", "refreshed", "open", "refused"),
    "unverified": ("wrong", "tokens", "refreshed", "gone", "taken"),
    "imported": ("wrong", "tokens", "no such token", "gone", "taken"),
    "no password": ("wrong", "wrong", "no such token", "gone", "taken"),
    "deleted": ("wrong", "wrong", "nobody's token", "gone", "made"),
    "other realm": ("wrong", "wrong", "no such token", "gone", "made"),
    "unknown phone": ("wrong", "wrong", "no such token", "gone", "refused"),
    "impossible": ("wrong", "wrong", "no such token", "gone", "refused"),
    "too long": ("wrong", "wrong", "no such token", "gone", "refused"),
    "leaked password": ("wrong", "leaked", "refreshed", "open", "taken"),
    "blocked": ("wrong", "blocked", "no such token", "gone", "taken"),
    "denied by a rule": ("wrong", "denied", "denied", "open", "taken"),
    "locked": ("limited", "limited", "refreshed", "open", "taken"),
    "locked, unknown": ("limited", "limited", "no such token", "gone", "made"),
    "throttled address": ("throttled", "throttled", "refreshed", "open", "taken"),
    "throttled, unknown": ("throttled", "throttled", "no such token", "gone", "made"),
    "ldap": ("wrong", "owed", "refreshed", "open", "closed"),
    "ldap, unknown": ("wrong", "wrong", "no such token", "gone", "closed"),
    "http": ("wrong", "owed", "refreshed", "open", "closed"),
    "http, unknown": ("wrong", "wrong", "no such token", "gone", "closed"),
    "blind": ("owed", "owed", "refreshed", "veiled", "taken"),
    "blind, no factor": ("owed", "tokens", "refreshed", "veiled", "taken"),
    "blind, blocked": ("owed", "blocked", "no such token", "veiled", "taken"),
    "blind, unknown": ("owed", "owed", "no such token", "veiled", "made"),
}

# Status, error and description: None where it is of no interest here.
ANSWERS: dict[str, tuple[int, str | None, str | None]] = {
    "wrong": (403, "invalid_grant", "Wrong email or password."),
    "tokens": (200, None, None),
    "refreshed": (200, None, None),
    "owed": (403, "mfa_required", "Multifactor authentication required"),
    "leaked": (401, "password_leaked", None),
    "blocked": (401, "unauthorized", "user is blocked"),
    "denied": (401, "unauthorized", "Not today."),
    "limited": (429, "too_many_attempts", None),
    "throttled": (429, "too_many_attempts", None),
    "no such token": (403, "invalid_grant", "Unknown or invalid refresh token."),
    "nobody's token": (403, "invalid_grant", None),
    "taken": (400, None, "Invalid sign up"),
    "made": (200, None, None),
    "leaked, signup": (400, None, None),
    "closed": (400, "invalid_request", "public signup is disabled"),
    "refused": (400, None, None),
}

# The steps after the password, by endpoint: status and error.
SECOND: dict[str, dict[str, tuple[int, str | None]]] = {
    "gone": {
        "challenge": (403, "invalid_grant"),
        "mfa-otp": (403, "invalid_grant"),
        "mfa-oob": (403, "invalid_grant"),
        "mfa-recovery-code": (403, "invalid_grant"),
        "mfa-webauthn": (403, "invalid_grant"),
        "associate": (401, "invalid_grant"),
        "authenticators": (401, "invalid_grant"),
    },
    "open": {
        "challenge": (200, None),
        "mfa-otp": (403, "invalid_grant"),
        "mfa-oob": (403, "invalid_grant"),
        "mfa-recovery-code": (403, "unsupported_challenge_type"),
        "mfa-webauthn": (403, "invalid_grant"),
        "associate": (403, "access_denied"),
        "authenticators": (200, None),
    },
}
SECOND["veiled"] = SECOND["open"] | {"mfa-recovery-code": (403, "invalid_grant")}
VARYING = {"date", "x-request-id", "x-ratelimit-reset"}


@dataclass
class Somebody:
    """How a state is met: whom a request names, in which realm, and from which address."""

    realm: str
    username: str
    password: str
    ip: str
    mfa_token: str = MADE_UP
    refresh_token: str = MADE_UP


def canonical(answer: TestResponse) -> tuple[object, ...]:
    """All that a client sees but what is new in each answer; of an `mfa_token` and of a wait the length."""
    headers = {name.lower(): text for name, text in answer.headers.items() if name.lower() not in VARYING}
    if "retry-after" in headers:
        headers["retry-after"] = "0" * len(headers["retry-after"])
    text = told(answer)
    if isinstance(answer.json, dict) and "mfa_token" in answer.json:
        text = text.replace(answer.json["mfa_token"], "." * len(answer.json["mfa_token"]))
    return answer.status_code, tuple(sorted(headers.items())), text


class Asker:
    """Asks everything of one person, from their address."""

    def __init__(self, wire: Wire, somebody: Somebody) -> None:
        self.wire, self.who = wire, somebody

    def _from_there(self) -> None:
        self.wire.client.environ_base["REMOTE_ADDR"] = self.who.ip

    def log_in(self, password: str, grant_type: str = PASSWORD_REALM, **members: str) -> TestResponse:
        self._from_there()
        named = {"grant_type": grant_type, "realm": self.who.realm} | members
        return self.wire.password(self.who.username, password, **named)

    def strange(self) -> list[TestResponse]:
        wrong = ("wrong", "AUTH0-TEST-wrong")
        return [self.log_in(word, grant) for word in wrong for grant in ("password", PASSWORD_REALM)]

    def refresh(self) -> TestResponse:
        self._from_there()
        return self.wire.refresh(self.who.refresh_token)

    def second(self) -> dict[str, TestResponse]:
        self._from_there()
        wire, token = self.wire, self.who.mfa_token
        return {
            "challenge": wire.challenge(token),
            "mfa-otp": wire.otp(token, "000000"),
            "mfa-oob": wire.oob(token, "made up", binding_code="000000"),
            "mfa-recovery-code": wire.recovery(token, "A" * 24),
            "mfa-webauthn": wire.webauthn(token, {"id": "x"}),
            "associate": wire.associate(token),
            "authenticators": wire.get("/mfa/authenticators", token),
        }

    def name(self) -> dict[str, str]:
        if self.who.username.startswith("+"):
            return {"phone_number": self.who.username}
        return {"email" if "@" in self.who.username else "username": self.who.username}

    def sign_up(self, password: str = "Correct h0rse battery") -> TestResponse:
        self._from_there()
        body = {"client_id": "app", "connection": self.who.realm, "password": password}
        return self.wire.client.post("/dbconnections/signup", json=body | self.name())

    def reset(self) -> TestResponse:
        self._from_there()
        body = {"client_id": "app", "connection": self.who.realm} | self.name()
        return self.wire.client.post("/dbconnections/change_password", json=body)


@pytest.fixture
def server(server: Server) -> Iterator[Server]:
    yield server
    runtime.close(server)


@pytest.fixture
def people(wire: Wire, cast: Cast, slapd: Slapd, service: LoginService) -> dict[str, Somebody]:  # noqa: F811
    """Everybody of the table, in their state."""
    return Making(wire, cast, slapd, service).everybody()


class Making:
    """People first log in as they should; then what the state is named after happens to them."""

    def __init__(self, wire: Wire, cast: Cast, ldap: Slapd, http: LoginService) -> None:
        self.wire, self.cast, self.server = wire, cast, wire.server
        self.corp = make_directory_realm(self.server, "corp", "ldap", {"ldap": ldap.options()}, "app")
        options = {"http": {"url": http.url, "secret": "signing-secret"}}
        self.partners = make_directory_realm(self.server, "partners", "http", options, "app")
        self.veiled = making.make_realm(self.server, "veiled", "when_enrolled")
        with self.server.db.write() as conn:
            realms.set_clients_of(conn, self.veiled.id, ["app"])
        self.found: dict[str, Somebody] = {}

    def everybody(self) -> dict[str, Somebody]:
        for state in TABLE:
            name = "-".join(state.replace(",", "").split())
            self.found[state] = Somebody("staff", f"{name}@example.com", PASSWORD, self._address())
        self._ordinary()
        self._of_directories()
        self._befallen()
        self._veiled()
        self._settings()
        return self.found

    def _address(self) -> str:
        return f"198.51.100.{len(self.found) + 1}"

    def _ordinary(self) -> None:
        staff, found = self.cast.staff, self.found
        self._arrives("existing")
        self._arrives("unverified", email_verified=False)
        self._arrives("enrolled", is_enrolled=True)
        self._arrives("alias", is_enrolled=True, username="by-another-name")
        found["alias"].username = "by-another-name"
        import_user(self.server, staff, found["imported"].username)
        passwordless = accounts.new_user(staff, making.now(), email=found["no password"].username)
        with self.server.db.write() as conn:
            accounts.create_user(conn, self._ctx(), passwordless, None)
        making.make_user(self.server, self.cast.guests, found["other realm"].username)
        found["unknown phone"].username = "+491520000000"
        found["impossible"].username = "no\u0007body"
        found["too long"].username = "n" * 300

    def _of_directories(self) -> None:
        for state, realm, name in (("ldap", self.corp, "alice"), ("http", self.partners, "alice")):
            who = self.found[state] = Somebody(realm.name, name, slapds.PASSWORD, self.found[state].ip)
            self._tokens(who)
            with self.server.db.read() as conn:
                user = users.find_user_by_key(conn, realm.id, users.key_of(f"{name}@corp.example"))
            assert user is not None
            self._enrols(who, user)
            self.found[f"{state}, unknown"].realm = realm.name

    def _befallen(self) -> None:
        self.found["leaked password"].password = LEAKED
        for state in ("leaked password", "denied by a rule", "locked", "throttled address"):
            self._arrives(state, is_enrolled=True)
        blocked, deleted = (self._arrives(state, is_enrolled=True) for state in ("blocked", "deleted"))
        with self.server.db.write() as conn:
            accounts.set_blocked(conn, self._ctx(), blocked, True)
            accounts.remove_user(conn, self._ctx(), deleted)
        self.found["throttled, unknown"].ip = self.found["throttled address"].ip

    def _veiled(self) -> None:
        for state in (state for state in TABLE if state.startswith("blind")):
            self.found[state].realm = "veiled"
        self._arrives("blind", realm=self.veiled, is_enrolled=True)
        self._arrives("blind, no factor", realm=self.veiled)
        blocked = self._arrives("blind, blocked", realm=self.veiled)
        terms = {"mode": "when_enrolled", "blind": True, "factors": {"allowed": ["otp", "recovery-code"]}}
        making.set_policy(self.server, self.veiled, terms)
        with self.server.db.write() as conn:
            accounts.set_blocked(conn, self._ctx(), blocked, True)
        for state in ("blind", "blind, no factor", "blind, blocked", "blind, unknown"):
            self.found[state].mfa_token = self._owed(self.found[state], "wrong")

    def _settings(self) -> None:
        denied = self.found["denied by a rule"].username
        put_rule(
            self.server,
            f"if (user.email === '{denied}') throw new UnauthorizedError('Not today.');"
            "callback(null, user, context);",
        )
        stages = {LOGIN_STAGE: {"max_attempts": THRESHOLD, "rate": 864000}}
        breaches = {"enabled": True, "shields": ["block"], "stage": {SIGNUP_STAGE: {"shields": ["block"]}}}
        with self.server.db.write() as conn:
            put_document(conn, Document(BREACHES, breaches))
            put_document(conn, Document(BRUTE_FORCE, {"mode": "count_per_identifier"}))
            put_document(conn, Document(THROTTLING, {"stage": stages}))
        for state in ("locked", "locked, unknown"):
            for _ in range(CAP):
                assert Asker(self.wire, self.found[state]).log_in("wrong").status_code == 403
        throttled = self.found["throttled address"]
        for number in range(THRESHOLD):
            somebody = Somebody("staff", f"nobody{number}@example.com", "", throttled.ip)
            assert Asker(self.wire, somebody).log_in("wrong").status_code == 403

    def _ctx(self) -> Context:
        return Context(self.server, making.now(), ip="")

    def _arrives(
        self, state: str, *, realm: Realm | None = None, is_enrolled: bool = False, **profile: Any
    ) -> User:
        """Somebody of that name, with a refresh token of an earlier login and, once enrolled, an mfa_token."""
        who = self.found[state]
        user = making.make_user(self.server, realm or self.cast.staff, who.username, who.password, **profile)
        if is_enrolled:
            self._enrols(who, user)
        else:
            who.refresh_token = self._tokens(who)
        return user

    def _enrols(self, who: Somebody, user: User) -> None:
        code = code_of(making.enroll_totp(self.server, user))
        tokens = self.wire.ok(self.wire.otp(self._owed(who, **FULL), code))
        who.refresh_token, who.mfa_token = tokens["refresh_token"], self._owed(who)

    def _tokens(self, who: Somebody) -> str:
        answer = Asker(self.wire, who).log_in(who.password, **FULL)
        return str(self.wire.ok(answer)["refresh_token"])

    def _owed(self, who: Somebody, password: str | None = None, **members: str) -> str:
        answer = Asker(self.wire, who).log_in(password or who.password, **members)
        assert answer.json is not None and answer.json["error"] == "mfa_required", answer.text
        return str(answer.json["mfa_token"])


def heard(answer: TestResponse, word: str) -> bool:
    """Whether the answer is what the word stands for."""
    status, error, description = ANSWERS[word]
    body = answer.json if isinstance(answer.json, dict) else {}
    said = body.get("error_description") or body.get("description")
    return answer.status_code == status and error in (None, body.get("error")) and description in (None, said)


def alike(answers: dict[str, list[tuple[str, TestResponse]]]) -> None:
    """What has one word in the table is one answer."""
    for word, found in answers.items():
        forms = defaultdict(list)
        for state, answer in found:
            forms[canonical(answer)].append(state)
        assert len(forms) == 1, (word, dict(forms))


def test_a_wrong_password_says_the_same_of_all_that_have_one_word(
    wire: Wire, people: dict[str, Somebody]
) -> None:
    answers = defaultdict(list)
    for state, somebody in people.items():
        word = TABLE[state][COLUMNS.index("stranger")]
        for answer in Asker(wire, somebody).strange():
            assert heard(answer, word), (state, answer.text)
            answers[word].append((state, answer))
    alike(answers)


def test_what_comes_after_the_password_says_nothing_of_people_without_it(
    wire: Wire, people: dict[str, Somebody]
) -> None:
    gone, veiled = defaultdict(list), defaultdict(list)
    for state, somebody in people.items():
        word = TABLE[state][COLUMNS.index("second")]
        for endpoint, answer in Asker(wire, somebody).second().items():
            status, error = SECOND[word][endpoint]
            said = answer.json.get("error") if isinstance(answer.json, dict) else None
            assert (answer.status_code, said) == (status, error), (state, endpoint, answer.text)
            if word == "gone":
                gone[endpoint].append((state, answer))
            if (
                word == "veiled" and endpoint != "authenticators"
            ):  # whose ids tests/stories/test_blind_mode.py has
                veiled[endpoint].append((state, answer))
    alike(gone)
    alike(veiled)


def test_who_has_the_password_or_a_token_hears_the_reason(wire: Wire, people: dict[str, Somebody]) -> None:
    for state, somebody in people.items():
        _, owner, refresh, *_ = TABLE[state]
        asker = Asker(wire, somebody)
        for found, word in (
            (asker.log_in(somebody.password), owner),
            (asker.log_in(somebody.password, "password"), owner),
            (asker.refresh(), refresh),
        ):
            assert heard(found, word), (state, word, found.text)


def test_signing_up_and_asking_for_a_new_password_are_one_answer_for_whoever_is_there(
    wire: Wire, people: dict[str, Somebody]
) -> None:
    answers = defaultdict(list)
    for state, somebody in people.items():
        asker = Asker(wire, somebody)
        answers["reset"].append((state, asker.reset()))
        word = TABLE[state][COLUMNS.index("signup")]
        tried = [(word, asker.sign_up)]
        if word in ("taken", "made"):  # a password that is refused is refused before the name is looked for
            tried.insert(0, ("leaked, signup", partial(asker.sign_up, LEAKED)))
        for expected, sign_up in tried:
            answer = sign_up()
            assert heard(answer, expected), (state, answer.text)
            assert ("password_leaked" in answer.text) == (expected == "leaked, signup")
            if expected not in ("made", "refused"):
                answers[expected].append((state, answer))
    assert {answer.status_code for _, answer in answers["reset"]} == {200}
    alike(answers)


def test_a_stranger_s_passkey_is_one_answer_too(wire: Wire, people: dict[str, Somebody], cast: Cast) -> None:
    """Asking for one names nobody; an answer may name anybody, by the handle that the key would have."""
    passkeys.allow(wire, cast.staff)
    asked, answers = [], []
    for state, somebody in people.items():
        if somebody.realm != "staff" or TABLE[state][0] == "throttled":
            continue
        with wire.server.db.read() as conn:
            user = users.find_user_by_key(conn, cast.staff.id, users.key_of(somebody.username))
        key = SecurityKey()
        key.user_handle = user_handle(user.id if user is not None else "auth0|nobody")
        wire.client.environ_base["REMOTE_ADDR"] = somebody.ip
        question = passkeys.ask(wire)
        asked.append({name: len(str(value)) for name, value in question.items()})
        answer = passkeys.exchange(wire, question, key.get(question["authn_params_public_key"]))
        assert answer.status_code == 403, answer.text
        answers.append((state, answer))
    assert all(one == asked[0] for one in asked)
    alike({"passkey": answers})
