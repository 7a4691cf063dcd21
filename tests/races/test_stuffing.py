"""Stolen pairs tried at speed, from one address and from many: the caps hold to the last guess, and others log in."""

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlencode

import pytest
from sqlalchemy import delete, select

from app.guards.brute_force import CAP
from app.guards.protection import BRUTE_FORCE, LOGIN_STAGE, THROTTLING
from app.store.attempts import password_attempts
from app.store.buckets import buckets
from app.store.documents import Document, put_document
from tests import making
from tests.databases import KINDS, Templates
from tests.evidence import report, size, within
from tests.live import Answer, Live, raw_request, serving
from tests.making import PASSWORD, Cast
from tests.races.load import (
    APP,
    each_left_one_event,
    events_after,
    last_event,
    percentile,
    until,
    verified_passwords,
)

pytestmark = [pytest.mark.races, pytest.mark.timeout(1800)]

PAIRS = size(400, 5000)
SOURCES = size(20, 200)
RIGHT = size(10, 40)
PER_NAME = 12  # tries at each name: more than one name may have from one address
DAY = 86_400_000


@pytest.fixture(scope="module", params=KINDS)
def proxied(
    request: pytest.FixtureRequest, templates: Templates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live]:
    """A server that believes its proxy, which is this test: addresses that nobody else can claim."""
    with serving(
        templates, request.param, tmp_path_factory.mktemp("live"), BELAY_TRUSTED_PROXIES="127.0.0.1"
    ) as live:
        yield live


@pytest.fixture(scope="module")
def people(proxied: Live) -> Cast:
    cast = making.make_cast(proxied.server)
    for number in range(RIGHT):
        making.make_user(proxied.server, cast.staff, f"right{number}@example.com")
    making.make_user(proxied.server, cast.staff, "innocent@example.com")
    return cast


def throttle(live: Live, attempts: int) -> None:
    """So many failures of an address, and none comes back while the test lasts; the other limits as they are."""
    stages = {LOGIN_STAGE: {"max_attempts": attempts, "rate": DAY}}
    with live.server.db.write() as conn:
        put_document(conn, Document(THROTTLING, {"stage": stages}))
        put_document(conn, Document(BRUTE_FORCE, {}))
        conn.execute(delete(buckets))
        conn.execute(delete(password_attempts))


def tried(live: Live, source: str, username: str, password: str) -> bytes:
    members = APP | {"grant_type": "password", "username": username, "password": password}
    headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Forwarded-For": source}
    return raw_request("POST", "/oauth/token", live.host, urlencode(members).encode(), headers)


def stolen_pairs() -> list[tuple[str, str]]:
    """Names with wrong passwords, several each; in their midst some that are right."""
    pairs = [(f"stolen{number // PER_NAME}@example.com", f"wrong{number}") for number in range(PAIRS - RIGHT)]
    random.shuffle(pairs)
    for number in range(RIGHT):
        pairs.insert(random.randrange(len(pairs)), (f"right{number}@example.com", PASSWORD))
    return pairs


@contextmanager
def innocent_logins(live: Live) -> Iterator[list[Answer]]:
    """Somebody logs in again and again meanwhile, each time from an address of their own."""
    answers: list[Answer] = []
    stopped = threading.Event()

    def run() -> None:
        while not stopped.is_set():
            number = len(answers)
            source = f"198.51.{100 + number // 250}.{number % 250}"
            answers.append(live.send(tried(live, source, "innocent@example.com", PASSWORD)))
            stopped.wait(0.05)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield answers
    finally:
        stopped.set()
        thread.join()


def spread(live: Live, requests: Sequence[bytes], at_a_time: int = 32) -> list[Answer]:
    with ThreadPoolExecutor(at_a_time) as pool:
        return list(pool.map(live.send, requests))


def is_served(live: Live, source: str) -> int:
    return live.send(tried(live, source, "right0@example.com", PASSWORD)).status


def test_stolen_pairs_from_one_address(proxied: Live, people: Cast) -> None:
    cap = 100  # as it comes
    throttle(proxied, cap)
    start, source = last_event(proxied), "203.0.113.1"
    with innocent_logins(proxied) as innocent:
        answers = spread(proxied, [tried(proxied, source, *pair) for pair in stolen_pairs()])
    events = [event for event in events_after(proxied, start) if event.ip == source]
    statuses = Counter(answer.status for answer in answers)
    assert statuses[403] == cap == verified_passwords(events) and set(statuses) <= {200, 403, 429}, statuses
    assert all("retry-after" in answer.headers for answer in answers if answer.status == 429)
    per_name = Counter(event.user_name for event in events if event.type in ("fp", "fu"))
    assert max(per_name.values()) <= CAP
    decided = [event for event in events_after(proxied, start) if event.type != "w"]
    each_left_one_event([*answers, *innocent], decided)
    assert len(events_after(proxied, start)) == len(decided) + 1, (
        "and one warning of a back end that names nobody"
    )
    assert is_served(proxied, source) == 429, "the right password from there"
    assert is_served(proxied, "203.0.113.2") == 200, "and from elsewhere"
    assert {answer.status for answer in innocent} == {200}
    p95 = percentile([answer.seconds for answer in innocent], 0.95)
    assert p95 < within(1)
    report(
        "T1 stuffing from one address",
        tried=f"{PAIRS} pairs, {RIGHT} right, c=32, 4 workers",
        held=f"{cap} looked at, then 429; innocent p95 {p95 * 1000:.0f} ms",
    )


def test_stolen_pairs_from_many_addresses(proxied: Live, people: Cast) -> None:
    cap = 8
    throttle(proxied, cap)
    start = last_event(proxied)
    sources = [f"203.0.{113 + number // 250}.{number % 250}" for number in range(SOURCES)]
    requests = [tried(proxied, sources[n % SOURCES], *pair) for n, pair in enumerate(stolen_pairs())]
    with innocent_logins(proxied) as innocent:
        answers = spread(proxied, requests)
    events = events_after(proxied, start)
    per_source = Counter(event.ip for event in events if event.type in ("fp", "fu"))
    assert set(per_source.values()) == {cap} and len(per_source) == SOURCES, per_source
    assert {answer.status for answer in answers} <= {200, 403, 429}
    assert {answer.status for answer in innocent} == {200}
    p95 = percentile([answer.seconds for answer in innocent], 0.95)
    assert p95 < within(1)
    report(
        "T1 stuffing from many addresses",
        tried=f"{PAIRS} pairs from {SOURCES} addresses, c=32",
        held=f"{cap} looked at from each; innocent p95 {p95 * 1000:.0f} ms",
    )


def test_valid_logins_in_parallel_wait_for_their_address_and_are_not_refused(
    proxied: Live, people: Cast
) -> None:
    """A back end that names nobody: more logins at once than the address has places, and all of them are right."""
    throttle(proxied, 4)
    requests = [tried(proxied, "203.0.113.9", f"right{n % RIGHT}@example.com", PASSWORD) for n in range(40)]
    answers = spread(proxied, requests, 16)
    assert {answer.status for answer in answers} == {200}
    with proxied.server.db.read() as conn:
        mine = buckets.c.key == "login/from/203.0.113.9"
        assert conn.execute(select(buckets.c.level, buckets.c.pending).where(mine)).one() == (0.0, 0)


def test_failures_that_were_told_stay_counted_when_workers_are_killed(proxied: Live, people: Cast) -> None:
    throttle(proxied, 10**6)  # far from any limit: what is told must be counted, however much that is
    kills, source, name = size(3, 60), "203.0.113.77", "right1@example.com"
    told: Counter[int] = Counter()
    lost = 0
    stopped = threading.Event()

    def guess() -> None:
        nonlocal lost
        while not stopped.is_set():
            number = sum(told.values())
            try:
                username = name if number % 50 == 0 else f"killed{number // 8}@example.com"
                told[proxied.send(tried(proxied, source, username, "wrong")).status] += 1
            except OSError:
                lost += 1

    threads = [threading.Thread(target=guess) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(kills):
        before = told[403]
        until(lambda enough=before + 10: told[403] > enough, 20, "guesses")  # type: ignore[misc]
        os.kill(random.choice(proxied.workers()), signal.SIGKILL)
        until(lambda: len(proxied.workers()) == 4, 10, "the worker's successor")
    stopped.set()
    for thread in threads:
        thread.join()
    with proxied.server.db.read() as conn:
        level = conn.execute(
            select(buckets.c.level).where(buckets.c.key == f"login/from/{source}")
        ).scalar_one()
        p = password_attempts.c
        rows = conn.execute(select(p.failures, p.pending).where(p.ip == source)).all()
    assert set(told) <= {403, 429, 503} and told[403], (
        told
    )  # who held the lock of the database may have been killed
    assert level >= told[403] - 0.01, (level, told)
    assert sum(row.failures + row.pending for row in rows) >= told[403]
    report(
        "5.2 kill -9 in the middle of attempts",
        tried=f"{kills} workers, {sum(told.values())} answers, {lost} lost",
        held=f"{told[403]} failures told, {level:.0f} counted for the address",
    )
