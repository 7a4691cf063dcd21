"""With a wrong password nobody learns who exists: neither from the answer nor from its time."""

import random
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path

import pytest

from app import accounts
from app.context import Context, open_server
from app.guards.brute_force import CAP
from app.settings import DEFAULT_HASH_MEMORY_KIB, DEFAULT_HASH_TIME, variable
from app.store import realms
from tests import evidence, making
from tests.databases import KINDS, Templates
from tests.evidence import report, size
from tests.live import BELAY, Answer, Live, serving
from tests.making import Cast, now
from tests.races.load import login, password_request
from tests.wire import told

pytestmark = pytest.mark.races

TRIES = size(300, 2000)
MARGIN = 0.05 if evidence.FULL else 0.10
BLIND_TRIES = size(60, 2000)
BLIND_MARGIN = 0.05 if evidence.FULL else 0.25  # of 60 a class chance alone makes 0.05
ROOT = Path(__file__).parents[2]
PRODUCTION = {"hash_memory_kib": DEFAULT_HASH_MEMORY_KIB, "hash_time": DEFAULT_HASH_TIME}
VARYING = {"date", "x-request-id", "x-ratelimit-reset"}  # the last is a time of day


def context(live: Live) -> Context:
    return Context(live.server, now(), ip="", request_id="test")


def canonical(answer: Answer) -> tuple[int, tuple[tuple[str, str], ...], str]:
    headers = sorted((name, value) for name, value in answer.headers.items() if name not in VARYING)
    return answer.status, tuple(headers), told(answer)


@pytest.fixture(scope="module")
def strangers(live: Live, cast: Cast) -> Mapping[str, str]:
    """A username in each state that an account can be in, by the name of the state."""
    server = live.server
    blocked = making.make_user(server, cast.staff, "blocked@example.com")
    making.make_user(server, cast.staff, "unverified@example.com", email_verified=False)
    enrolled = making.make_user(server, cast.staff, "enrolled@example.com")
    making.enroll_totp(server, enrolled)
    making.make_user(server, cast.guests, "elsewhere@example.com")
    passwordless = accounts.new_user(cast.staff, now(), email="passwordless@example.com")
    deleted = making.make_user(server, cast.staff, "deleted@example.com")
    with server.db.write() as conn:
        realms.update_realm(conn, cast.staff.id, has_brute_force_protection=False)
        accounts.set_blocked(conn, context(live), blocked, True)
        accounts.create_user(conn, context(live), passwordless, None)
        accounts.remove_user(conn, context(live), deleted)
    return {
        "existing": "bob@example.com",
        "unknown": "nobody@example.com",
        "blocked": "blocked@example.com",
        "unverified": "unverified@example.com",
        "enrolled": "enrolled@example.com",
        "other realm": "elsewhere@example.com",
        "no password": "passwordless@example.com",
        "deleted": "deleted@example.com",
        "alias": "alice",
        "unknown phone": "+491520000000",
        "impossible": "no\u0007body",
        "too long": "n" * 300,
    }


def test_a_wrong_password_is_one_answer_whoever_it_is_tried_on(
    live: Live, strangers: Mapping[str, str]
) -> None:
    tries = size(5, 200)
    found: dict[object, set[str]] = {}
    for number in range(tries):
        for state, username in strangers.items():
            answer = login(live, username, f"wrong {number}")
            found.setdefault(canonical(answer), set()).add(state)
    assert len(found) == 1, found
    assert next(iter(found))[0] == 403  # type: ignore[index]
    report("T3 answers to a wrong password", tried=f"{len(strangers)} states x {tries}", held="one answer")


@pytest.mark.parametrize("password", ["", " ", "x" * 257, "x" * 5000, "bell\u0007", "naïve\u0301", "\u00a0"])
def test_a_strange_password_is_one_answer_too(
    live: Live, strangers: Mapping[str, str], password: str
) -> None:
    answers = {canonical(login(live, username, password)) for username in strangers.values()}
    assert len(answers) == 1, answers


def test_beyond_the_threshold_unknown_and_existing_are_refused_alike(
    live: Live, cast: Cast, strangers: Mapping[str, str]
) -> None:
    with live.server.db.write() as conn:
        realms.update_realm(conn, cast.staff.id, has_brute_force_protection=True)
    sequences: dict[object, set[str]] = {}
    for state, username in strangers.items():
        answers = [canonical(login(live, username, f"wrong {n}")) for n in range(CAP + 2)]
        sequences.setdefault(tuple(answers), set()).add(state)
    with live.server.db.write() as conn:
        realms.update_realm(conn, cast.staff.id, has_brute_force_protection=False)
    assert len(sequences) == 1, sequences
    statuses = [answer[0] for answer in next(iter(sequences))]  # type: ignore[attr-defined]
    assert statuses == [403] * CAP + [429] * 2


# --- time ----------------------------------------------------------------------------------------------------------


def auc(ones: Sequence[float], others: Sequence[float]) -> float:
    """Mann-Whitney: how often one of `ones` took longer than one of `others`; 0.5 tells nothing."""
    ranked = sorted([(seconds, 1) for seconds in ones] + [(seconds, 0) for seconds in others])
    rank_sum = sum(rank for rank, (_, is_one) in enumerate(ranked, 1) if is_one)
    return (rank_sum - len(ones) * (len(ones) + 1) / 2) / (len(ones) * len(others))


def measured(live: Live, usernames: Mapping[str, str], tries: int) -> dict[str, list[float]]:
    """Seconds of each answer by state, one request at a time, in random order, on a server that is warm."""
    return measured_logins(live, {state: (name, "wrong") for state, name in usernames.items()}, tries)


def form_of(answer: Answer) -> object:
    """All that a classifier could look at but the time: of an `mfa_token` its form, of a wait its length."""
    status, headers, text = canonical(answer)
    headers = tuple((name, "0" * len(value) if name == "retry-after" else value) for name, value in headers)
    return status, headers, re.sub(r'"mfa_token":"[A-Za-z0-9_-]{43}"', '"mfa_token":""', text)


def measured_logins(live: Live, logins: Mapping[str, tuple[str, str]], tries: int) -> dict[str, list[float]]:
    """The answers have one form; what is left to tell them apart is their time."""
    requests = {state: password_request(live, *tried) for state, tried in logins.items()}
    for request in list(requests.values()) * 5:
        live.send(request)
    order = [state for state in requests for _ in range(tries)]
    random.shuffle(order)
    seconds: dict[str, list[float]] = {state: [] for state in requests}
    forms: set[object] = set()
    for state in order:
        answer = live.send(requests[state])
        assert answer.status == 403, answer.text
        forms.add(form_of(answer))
        seconds[state].append(answer.seconds)
    assert len(forms) == 1, forms
    return seconds


@contextmanager
def at_production_cost(
    templates: Templates, kind: str, folder: Path, *, mutant: bool, **more: str
) -> Iterator[Live]:
    command = (sys.executable, "-m", "tests.mutants", "serve") if mutant else (BELAY, "serve")
    env = (
        {variable(name): str(value) for name, value in PRODUCTION.items()} | {"PYTHONPATH": str(ROOT)} | more
    )
    with serving(templates, kind, folder, workers=2, command=command, **env) as live:
        cheap, live.server = live.server, open_server(live.server.settings.model_copy(update=PRODUCTION))
        cheap.db.dispose()
        cast = making.make_cast(live.server)
        blocked = making.make_user(live.server, cast.staff, "blocked@example.com")
        with live.server.db.write() as conn:
            realms.update_realm(conn, cast.staff.id, has_brute_force_protection=False)
            accounts.set_blocked(conn, context(live), blocked, True)
        try:
            yield live
        finally:
            live.server.db.dispose()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.timeout(1800)
def test_the_time_of_an_answer_tells_no_names(templates: Templates, tmp_path: Path, kind: str) -> None:
    usernames = {
        "existing": "bob@example.com",
        "unknown": "nobody@example.com",
        "blocked": "blocked@example.com",
    }
    with at_production_cost(templates, kind, tmp_path, mutant=False) as live:
        seconds = measured(live, usernames, TRIES)
    found = {f"{a}/{b}": auc(seconds[a], seconds[b]) for a, b in combinations(usernames, 2)}
    assert all(abs(value - 0.5) <= MARGIN for value in found.values()), found
    told = ", ".join(f"{pair} {value:.3f}" for pair, value in found.items())
    report(f"T4 time of an answer ({kind})", tried=f"{TRIES} a class, production hash", held=f"AUC {told}")


@pytest.mark.parametrize("kind", KINDS if evidence.FULL else KINDS[:1])
@pytest.mark.timeout(1800)
def test_in_blind_mode_the_time_of_an_answer_tells_no_passwords(
    templates: Templates, tmp_path: Path, kind: str
) -> None:
    logins = {
        "right": ("alice@example.com", making.PASSWORD),
        "wrong": ("alice@example.com", "wrong"),
        "unknown": ("nobody@example.com", "wrong"),
    }
    with at_production_cost(templates, kind, tmp_path, mutant=False) as live:
        with live.server.db.read() as conn:
            staff = realms.find_realm_by_name(conn, "staff")
        assert staff is not None
        allowed = {"allowed": ["otp", "recovery-code"]}
        making.set_policy(live.server, staff, {"mode": "when_enrolled", "blind": True, "factors": allowed})
        seconds = measured_logins(live, logins, BLIND_TRIES)
    found = {f"{a}/{b}": auc(seconds[a], seconds[b]) for a, b in combinations(logins, 2)}
    assert all(abs(value - 0.5) <= BLIND_MARGIN for value in found.values()), found
    told = ", ".join(f"{pair} {value:.3f}" for pair, value in found.items())
    report(
        f"G17 right, wrong, missing in blind mode ({kind})",
        tried=f"{BLIND_TRIES} a class",
        held=f"one status, text and size; by time AUC {told}",
    )


def test_without_the_work_for_nobody_the_time_tells_names(templates: Templates, tmp_path: Path) -> None:
    """Shows that the measurement can fail."""
    usernames = {"existing": "bob@example.com", "unknown": "nobody@example.com"}
    with at_production_cost(templates, "sqlite", tmp_path, mutant=True) as live:
        seconds = measured(live, usernames, 100)
    found = auc(seconds["existing"], seconds["unknown"])
    assert found > 0.95
    report("T4 the mutant without dummy hash", tried="100 a class", held=f"AUC {found:.3f}: found out")
