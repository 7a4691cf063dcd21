"""Load for the races: many requests at a fixed concurrency, and what the event log says to them."""

import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyotp

from app.settings import BARE_NAMES, variable
from app.store.events import Event, list_events
from tests.evidence import within
from tests.live import BELAY, Answer, Live, form_request
from tests.making import API, APP_SECRET, PASSWORD

APP = {"client_id": "app", "client_secret": APP_SECRET}
PHONE_APP = {"client_id": "phone-app"}
ALL = 1_000_000

VERIFIED_GUESS = ("wrong_code", "clock_off", "code_replayed")


def token_request(live: Live, **members: str) -> bytes:
    return form_request(live, "/oauth/token", APP | members)


def password_request(live: Live, username: str, password: str = PASSWORD, **members: str) -> bytes:
    return token_request(
        live, **({"grant_type": "password", "username": username, "password": password} | members)
    )


def refresh(live: Live, token: str, **members: str) -> Answer:
    return live.send(token_request(live, grant_type="refresh_token", refresh_token=token, **members))


def login(live: Live, username: str, password: str = PASSWORD, **members: str) -> Answer:
    return live.send(password_request(live, username, password, **members))


def mfa_token(live: Live, username: str, **members: str) -> str:
    """The password step of somebody who owes a factor."""
    answer = login(live, username, **members)
    assert answer.status == 403 and answer.json["error"] == "mfa_required", answer.text
    return str(answer.json["mfa_token"])


def full_login(live: Live, username: str) -> dict[str, str]:
    """The tokens of somebody who owes no factor: JWT, ID token and refresh token."""
    answer = login(live, username, audience=API, scope="openid offline_access read:things")
    assert answer.status == 200, answer.text
    return dict(answer.json)


def wrong_codes(secret: str, count: int) -> list[str]:
    """Six digits that the app of `secret` does not show anywhere near now."""
    near = {pyotp.TOTP(secret).at(int(time.time()) + 30 * step) for step in range(-4, 5)}
    found = {f"{number:06}" for number in random.sample(range(10**6), count + len(near))}
    return sorted(found - near)[:count]


def spread(live: Live, requests: Sequence[bytes], at_a_time: int) -> list[Answer]:
    """Send all, so many at a time; the answers in the order of the requests."""
    with ThreadPoolExecutor(at_a_time) as pool:
        return list(pool.map(live.send, requests))


def in_volleys(live: Live, requests: Sequence[bytes], at_once: int) -> list[Answer]:
    """Send all, each volley at one moment."""
    answers: list[Answer] = []
    for start in range(0, len(requests), at_once):
        answers += live.at_once(requests[start : start + at_once])
    return answers


def last_event(live: Live) -> int:
    with live.server.db.read() as conn:
        newest = list_events(conn, limit=1)
    return (newest[0].id or 0) if newest else 0


def events_after(live: Live, event_id: int) -> Sequence[Event]:
    """What requests left; what became of messages is told by events of their own, whenever they are sent."""
    with live.server.db.read() as conn:
        events = list_events(conn, limit=ALL, after=event_id)
    return [event for event in events if not event.request_id.startswith("msg_")]


def verified_passwords(events: Iterable[Event]) -> int:
    """How many passwords were looked at and found wrong."""
    return sum(event.type in ("fp", "fu") for event in events)


def verified_guesses(events: Iterable[Event]) -> int:
    """How many second factors were looked at and found wrong."""
    return sum(event.reason in VERIFIED_GUESS for event in events)


def outcome(answer: Answer) -> str:
    """In a word, what a client was told at the token endpoint."""
    if answer.status == 403 and answer.json["error"] == "mfa_required":
        return "owed"
    return {200: "issued", 429: "limited", 503: "unavailable"}.get(answer.status, "refused")


def outcome_of(event: Event) -> str:
    """In a word, what the event says that the client was told."""
    if event.type == "mfar":
        return "owed"
    if event.type in (
        "limit_wc",
        "limit_mu",
        "limit_sul",
        "gd_otp_rate_limit_exceed",
        "gd_recovery_rate_limit_exceed",
    ):
        return "limited"
    if event.reason in ("hashing_gate_full", "attempts_pending"):
        return "unavailable"
    return "issued" if event.type.startswith("se") else "refused"


def each_left_one_event(answers: Sequence[Answer], events: Sequence[Event]) -> None:
    """I12: as many events as answers, each with the outcome that the client saw."""
    told = Counter((answer.headers["x-request-id"], outcome(answer)) for answer in answers)
    noted = Counter((event.request_id, outcome_of(event)) for event in events)
    assert told == noted, f"told but not noted {told - noted}; noted but not told {noted - told}"


def percentile(seconds: Sequence[float], share: float) -> float:
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def until(condition: Callable[[], object], seconds: float, what: str) -> float:
    """Ask until it is true; returns the seconds that it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < within(seconds), f"not within {seconds} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - started


def cli_environment(live: Live) -> dict[str, str]:
    """What a `belay` command on the same server needs."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BELAY_")}
    fields = ("instance", "database_url", "public_url", "hash_memory_kib", "hash_time", "insecure_test")
    assert not set(fields) & set(BARE_NAMES)
    return clean | {variable(name): str(getattr(live.server.settings, name)) for name in fields}


def belay(live: Live, *arguments: str) -> str:
    """Run a command; what it printed."""
    done = subprocess.run(
        [BELAY, *arguments], env=cli_environment(live), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
