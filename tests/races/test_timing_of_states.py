"""The time of an answer in each state of an account, its realm or its address tells no names either (R-d, T4, T5)."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update

from app import accounts, foreign_hashes
from app.context import Server
from app.guards.protection import BRUTE_FORCE, LOGIN_STAGE, THROTTLING
from app.guards.sends import RESETS
from app.passwords import FORM
from app.store import realms, users
from app.store.authenticators import authenticators
from app.store.buckets import buckets
from app.store.documents import Document, put_document
from app.store.events import list_events
from app.store.realms import Realm
from tests import evidence, making
from tests.databases import KINDS, Templates
from tests.directories import slapd as slapds
from tests.directories.conftest import authority, make_directory_realm, service, slapd  # noqa: F401
from tests.directories.fakes import LoginService
from tests.directories.slapd import Slapd
from tests.evidence import report, size
from tests.live import Live, form_request, raw_request
from tests.races.load import APP, mfa_token, password_request, token_request
from tests.races.test_timing import at_production_cost, auc, context, form_of
from tests.stories.test_imported_password import import_user
from tests.test_ruling import put as put_rule
from tests.wire import MFA_OTP, MFA_RECOVERY, PASSWORD_REALM

pytestmark = [pytest.mark.races, pytest.mark.timeout(3600)]

FEW = size(20, 2000)
MANY = size(80, 2000)
# What chance alone makes of so few is 0.092 for 20 a class and 0.046 for 80: about four and a half times that.
MARGINS = {20: 0.42, 80: 0.21, 2000: 0.05}
BCRYPT = "$2b$08$" + "a" * 22 + "b" * 31  # nobody's password; as long again as a hash of ours
BOTH = KINDS if evidence.FULL else KINDS[:1]


def repeated(live: Live, requests: Mapping[str, bytes], tries: int, status: int) -> dict[str, list[float]]:
    """One request of each class, again and again, on a server that is warm."""
    for request in list(requests.values()) * 5:
        live.send(request)
    return timed(live, {name: [request] * tries for name, request in requests.items()}, status)


def timed(live: Live, requests: Mapping[str, Sequence[bytes]], status: int) -> dict[str, list[float]]:
    """Seconds of each answer by class, one request at a time in random order; all of them the same answer."""
    left = {name: iter(found) for name, found in requests.items()}
    order = [name for name, found in requests.items() for _ in found]
    random.shuffle(order)
    seconds: dict[str, list[float]] = {name: [] for name in requests}
    seen: set[object] = set()
    for name in order:
        answer = live.send(next(left[name]))
        assert answer.status == status, (name, answer.text)
        seen.add(form_of(answer))
        seconds[name].append(answer.seconds)
    assert len(seen) == 1, seen
    return seconds


def judge(
    demand: str,
    seconds: Mapping[str, Sequence[float]],
    *,
    against: str | None = None,
    margin: float | None = None,
) -> None:
    """No class takes longer than another; with few tries, than the one named."""
    tries = len(next(iter(seconds.values())))
    pairs = [pair for pair in combinations(seconds, 2) if against is None or against in pair or evidence.FULL]
    found = {f"{a}/{b}": auc(seconds[a], seconds[b]) for a, b in pairs}
    worst = max(found, key=lambda pair: abs(found[pair] - 0.5))
    report(
        demand, tried=f"{len(seconds)} classes x {tries}", held=f"AUC at worst {found[worst]:.3f} ({worst})"
    )
    print(demand, found)
    assert abs(found[worst] - 0.5) <= (margin or MARGINS[tries]), found


@contextmanager
def warm(templates: Templates, kind: str, folder: Path, **env: str) -> Iterator[tuple[Live, Realm]]:
    """A server whose hashes cost what they cost in production, and its realm `staff`."""
    with at_production_cost(templates, kind, folder, mutant=False, **env) as live:
        with live.server.db.read() as conn:
            staff = realms.find_realm_by_name(conn, "staff")
        assert staff is not None
        yield live, staff


def states_of(live: Live, staff: Realm) -> dict[str, str]:
    server = live.server
    making.enroll_totp(server, making.make_user(server, staff, "enrolled@example.com"))
    making.make_user(server, staff, "unverified@example.com", email_verified=False)
    making.make_user(server, staff, "leaked@example.com", "AUTH0-TEST-correct horse")
    making.make_user(server, staff, "denied@example.com")
    import_user(server, staff, "imported@example.com", stored=foreign_hashes.read_bcrypt(BCRYPT))
    passwordless = accounts.new_user(staff, making.now(), email="passwordless@example.com")
    deleted = making.make_user(server, staff, "deleted@example.com")
    with server.db.write() as conn:
        accounts.create_user(conn, context(live), passwordless, None)
        accounts.remove_user(conn, context(live), deleted)
    put_rule(server, "throw new UnauthorizedError('Not today.');")
    return {
        "unknown": "nobody@example.com",
        "existing": "bob@example.com",
        "alias": "alice",
        "enrolled": "enrolled@example.com",
        "blocked": "blocked@example.com",
        "unverified": "unverified@example.com",
        "leaked": "leaked@example.com",
        "denied": "denied@example.com",
        "imported": "imported@example.com",
        "no password": "passwordless@example.com",
        "deleted": "deleted@example.com",
    }


@pytest.mark.parametrize("kind", BOTH)
def test_a_wrong_password_takes_as_long_in_every_state(
    templates: Templates, tmp_path: Path, kind: str
) -> None:
    with warm(templates, kind, tmp_path) as (live, staff):
        requests = {
            state: password_request(live, name, "wrong") for state, name in states_of(live, staff).items()
        }
        seconds = repeated(live, requests, FEW, 403)
    judge(f"T4 a wrong password in every state ({kind})", seconds, against="unknown")


@pytest.mark.parametrize("kind", BOTH)
def test_refusals_before_a_password_is_looked_at_take_as_long(
    templates: Templates, tmp_path: Path, kind: str
) -> None:
    names = {"existing": "bob@example.com", "unknown": "nobody@example.com", "blocked": "blocked@example.com"}
    with warm(templates, kind, tmp_path) as (live, staff):
        with live.server.db.write() as conn:
            put_document(conn, Document(BRUTE_FORCE, {"mode": "count_per_identifier", "max_attempts": 3}))
            realms.update_realm(conn, staff.id, has_brute_force_protection=True)
        requests = {state: password_request(live, name, "wrong") for state, name in names.items()}
        for request in list(requests.values()) * 3:
            live.send(request)
        locked = repeated(live, requests, MANY, 429)
        with live.server.db.write() as conn:
            realms.update_realm(conn, staff.id, has_brute_force_protection=False)
            stages = {LOGIN_STAGE: {"max_attempts": 1, "rate": 86400000}}
            put_document(conn, Document(THROTTLING, {"stage": stages}))
        throttled = repeated(live, requests, MANY, 429)
    judge(f"T4 a locked account ({kind})", locked)
    judge(f"T4 a throttled address ({kind})", throttled)


@pytest.mark.parametrize("kind", BOTH)
def test_asking_for_a_new_password_takes_as_long(templates: Templates, tmp_path: Path, kind: str) -> None:
    """With mail: that is sent by the same processes. Of a person only so many are sent, so there are many persons."""
    people = MANY // RESETS[0] + 1
    with warm(templates, kind, tmp_path, BELAY_SMTP_URL="terminal:") as (live, staff):
        with live.server.db.write() as conn:
            for number in range(people):
                user = accounts.new_user(staff, making.now(), email=f"somebody{number}@example.com")
                users.add_user(conn, replace(user, password_hash="unused", password_form=FORM))
        body = {"client_id": "app", "connection": "staff"}
        names = {"existing": "somebody", "unknown": "wholly_unknown"}
        requests = {
            state: [
                form_request(
                    live,
                    "/dbconnections/change_password",
                    body | {"email": f"{name}{number % people}@example.com"},
                )
                for number in range(RESETS[0] * people)
            ]
            for state, name in names.items()
        }
        seconds = timed(live, {state: found[:MANY] for state, found in requests.items()}, 200)
        with live.server.db.read() as conn:
            asked = Counter(event.type for event in list_events(conn, limit=10**6))
    assert asked["scpr"] == asked["fcpr"] == MANY
    judge(f"G15 asking for a new password ({kind})", seconds)


def of_directory(live: Live, name: str, kind: str, options: dict[str, Any]) -> dict[str, bytes]:
    """Who logged in before, who is there and never did, and who is not there: a wrong password for each."""
    realm = make_directory_realm(live.server, name, kind, options, "app")
    with live.server.db.write() as conn:
        realms.update_realm(conn, realm.id, has_brute_force_protection=False)
    asked = {"grant_type": PASSWORD_REALM, "realm": name}
    answer = live.send(password_request(live, "alice", slapds.PASSWORD, **asked))
    assert answer.status == 200, answer.text
    people = {"known": "alice", "there": "bob", "missing": "eve"}
    return {state: password_request(live, who, "wrong", **asked) for state, who in people.items()}


@pytest.mark.parametrize("kind", BOTH)
def test_directories_outside_take_as_long(
    templates: Templates,
    tmp_path: Path,
    kind: str,
    slapd: Slapd,  # noqa: F811
    service: LoginService,  # noqa: F811
) -> None:
    with warm(templates, kind, tmp_path) as (live, _):
        http = {"http": {"url": service.url, "secret": "signing-secret"}}
        over_http = repeated(live, of_directory(live, "partners", "http", http), MANY, 403)
        over_ldap = repeated(live, of_directory(live, "corp", "ldap", {"ldap": slapd.options()}), MANY, 403)
    judge(f"T4 people of a login service ({kind})", over_http)
    # slapd itself takes a moment less for who is not there: 0.6 has been seen with few tries.
    judge(f"T4 people of an LDAP directory ({kind})", over_ldap, margin=size(0.4, 0.05))


# --- the second steps of blind mode ----------------------------------------------------------------------------------


def forget_guesses(server: Server) -> None:
    with server.db.write() as conn:
        conn.execute(delete(buckets))
        conn.execute(update(authenticators).values(failures=0))


STEPS: dict[str, tuple[int, Callable[[Live, str], bytes]]] = {
    "mfa-otp": (403, lambda live, t: token_request(live, grant_type=MFA_OTP, mfa_token=t, otp="000000")),
    "mfa-recovery-code": (
        403,
        lambda live, t: token_request(live, grant_type=MFA_RECOVERY, mfa_token=t, recovery_code="A" * 24),
    ),
    "challenge": (200, lambda live, t: form_request(live, "/mfa/challenge", APP | {"mfa_token": t})),
    "authenticators": (200, lambda live, t: bearing(live, "GET", "/mfa/authenticators", t)),
    "associate": (403, lambda live, t: bearing(live, "POST", "/mfa/associate", t)),
}


def bearing(live: Live, method: str, path: str, token: str) -> bytes:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    body = b'{"authenticator_types":["otp"]}' if method == "POST" else b""
    return raw_request(method, path, live.host, body, headers)


ROUND = 5  # a right and a wrong password for one name share ten guesses


@pytest.mark.parametrize("kind", BOTH)
def test_the_second_steps_of_a_decoy_take_as_long(templates: Templates, tmp_path: Path, kind: str) -> None:
    logins = {
        "right": ("alice@example.com", making.PASSWORD),
        "wrong": ("alice@example.com", "wrong"),
        "unknown": ("nobody@example.com", "wrong"),
    }
    seconds: dict[str, dict[str, list[float]]] = {step: {} for step in STEPS}
    with warm(templates, kind, tmp_path) as (live, staff):
        terms = {"mode": "when_enrolled", "blind": True, "factors": {"allowed": ["otp", "recovery-code"]}}
        making.set_policy(live.server, staff, terms)
        for number in range(FEW // ROUND + 1):
            tokens = {who: mfa_token(live, name, password=word) for who, (name, word) in logins.items()}
            for step, (status, request) in STEPS.items():
                forget_guesses(live.server)
                found = {who: [request(live, token)] * ROUND for who, token in tokens.items()}
                if step == "authenticators":  # whose id is another for each name
                    found.pop("unknown")
                for who, each in timed(live, found, status).items():
                    if number:  # the first round warms up
                        seconds[step].setdefault(who, []).extend(each)
    for step, classes in seconds.items():
        judge(f"G17 {step} of a decoy ({kind})", classes)
