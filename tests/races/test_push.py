"""Phones, polls and rivals at once, over HTTP against four worker processes and a push gateway with a real socket."""

import json
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from app.store.users import User
from tests import making
from tests.databases import KINDS, Templates
from tests.device import Phone
from tests.evidence import report, size
from tests.gateways import Gateway, http_gateway
from tests.live import Answer, Live, raw_request, serving
from tests.making import Cast
from tests.races.load import APP, login, mfa_token, spread, token_request
from tests.wire import MFA_OOB

pytestmark = pytest.mark.races

AT_ONCE = 16
ROUNDS = size(20, 200)


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with http_gateway() as found:
        yield found


@pytest.fixture(scope="module", params=KINDS)
def live(
    request: pytest.FixtureRequest,
    templates: Templates,
    tmp_path_factory: pytest.TempPathFactory,
    gateway: Gateway,
) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("live")
    address = f"webhook+http://{gateway.host}/"
    with serving(templates, request.param, folder, workers=4, BELAY_PUSH_URL=address) as found:
        yield found


@pytest.fixture(scope="module")
def cast(live: Live) -> Cast:
    return making.make_cast(live.server)


def owner(live: Live, cast: Cast, name: str) -> tuple[User, Phone]:
    """Somebody with a phone."""
    user = making.make_user(live.server, cast.staff, f"{name}@example.com")
    return user, making.enroll_push(live.server, user)


def payloads(gateway: Gateway, phone: Phone) -> list[dict[str, Any]]:
    """What a phone was sent."""
    return [r.json["payload"] for r in list(gateway.received) if r.json["enrollment_id"] == phone.id]


def asked(live: Live, gateway: Gateway, user: User, phone: Phone) -> tuple[bytes, dict[str, Any]]:
    """The poll of a login that rings the phone, and what the phone is sent."""
    token, before = mfa_token(live, str(user.email)), len(payloads(gateway, phone))
    answer = live.post("/mfa/challenge", mfa_token=token, **APP)
    assert answer.status == 200, answer.text
    poll = token_request(live, grant_type=MFA_OOB, mfa_token=token, oob_code=answer.json["oob_code"])
    deadline = time.monotonic() + 10
    while len(found := payloads(gateway, phone)) == before:
        assert time.monotonic() < deadline, "the phone was never rung"
        time.sleep(0.005)
    return poll, found[-1]


def said(live: Live, phone: Phone, payload: dict[str, Any], *, accepted: bool) -> bytes:
    response = phone.answer_to(payload, at=time.time(), auth0_guardian_accepted=accepted)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {payload['txtkn']}"}
    body = json.dumps({"challenge_response": response}).encode()
    return raw_request("POST", "/appliance-mfa/api/resolve-transaction", live.host, body, headers)


def only(answers: list[Answer], status: int) -> int:
    """Which of them it is; nobody met a mistake of ours."""
    assert all(answer.status < 500 for answer in answers), [a.text for a in answers if a.status >= 500]
    winners = [number for number, answer in enumerate(answers) if answer.status == status]
    assert len(winners) == 1, [(a.status, a.text[:100]) for a in answers]
    return winners[0]


def test_a_phone_s_first_word_counts(live: Live, cast: Cast, gateway: Gateway) -> None:
    for number in range(ROUNDS):
        user, phone = owner(live, cast, f"word{number}")
        poll, payload = asked(live, gateway, user, phone)
        words = [said(live, phone, payload, accepted=turn % 2 == 0) for turn in range(AT_ONCE)]
        is_yes = only(live.at_once(words), 204) % 2 == 0
        answer = live.send(poll)
        assert answer.status == (200 if is_yes else 400), answer.text
        assert is_yes or answer.json["error"] == "access_denied"
    report("push answers at once", tried=f"{ROUNDS} rounds x {AT_ONCE}, 4 workers", held="one counted each")


def test_a_yes_completes_one_login(live: Live, cast: Cast, gateway: Gateway) -> None:
    for number in range(ROUNDS):
        user, phone = owner(live, cast, f"poll{number}")
        poll, payload = asked(live, gateway, user, phone)
        assert live.send(said(live, phone, payload, accepted=True)).status == 204
        only(live.at_once([poll] * AT_ONCE), 200)
    report("polls of one yes at once", tried=f"{ROUNDS} rounds x {AT_ONCE}, 4 workers", held="one login each")


def test_a_ticket_is_scanned_by_one_phone(live: Live, cast: Cast) -> None:
    making.switch_on(live.server, "push-notification")
    body = {"authenticator_types": ["oob"], "oob_channels": ["auth0"]}
    for number in range(ROUNDS):
        making.make_user(live.server, cast.guests, f"scan{number}@example.com")
        token = mfa_token(live, f"scan{number}@example.com", realm="guests")
        shown = live.post_json("/mfa/associate", body, token).json
        scans = []
        for rival in range(AT_ONCE):
            ticket, members = Phone(identifier=f"phone {rival}").scan(shown["barcode_uri"])
            headers = {"Content-Type": "application/json", "Authorization": ticket}
            text = json.dumps(members).encode()
            scans.append(raw_request("POST", "/appliance-mfa/api/enroll", live.host, text, headers))
        only(live.at_once(scans), 200)
        poll = token_request(live, grant_type=MFA_OOB, mfa_token=token, oob_code=shown["oob_code"])
        only(live.at_once([poll] * AT_ONCE), 200)
    report("push enrolments at once", tried=f"{ROUNDS} rounds x 2 x {AT_ONCE}, 4 workers", held="one each")


def test_two_hundred_challenges_at_once_ring_a_phone_five_times_a_minute(
    live: Live, cast: Cast, gateway: Gateway
) -> None:
    user, phone = owner(live, cast, "bombed")
    headers = {"Content-Type": "application/json"}
    bodies = [json.dumps({"mfa_token": mfa_token(live, str(user.email))} | APP).encode() for _ in range(4)]
    bombs = [raw_request("POST", "/mfa/challenge", live.host, body, headers) for body in bodies * 50]
    answers = spread(live, bombs, 32)
    assert {answer.status for answer in answers} == {200, 429}
    time.sleep(0.5)
    seen = len(payloads(gateway, phone))
    assert 1 <= seen == sum(answer.status == 200 for answer in answers) <= 5
    report("push bombing", tried="200 challenges, 32 at a time", held=f"the phone rang {seen} times")


def test_polls_do_not_slow_other_logins(live: Live, cast: Cast, gateway: Gateway) -> None:
    """Twenty clients poll five times a second, 25 times as often as they may: what comes too early writes nothing."""
    polls = []
    for number in range(20):
        user, phone = owner(live, cast, f"flood{number}")
        polls.append(asked(live, gateway, user, phone)[0])
    count = size(300, 10_000)
    alone, told = logins(live, 20), Counter[str]()
    left, started = iter(range(count)), time.monotonic()

    def flood(poll: bytes) -> None:
        for number in left:
            time.sleep(max(0.0, started + number / 100 - time.monotonic()))
            answer = live.send(poll)
            told[answer.json["error"] if answer.status == 400 else answer.text] += 1

    threads = [threading.Thread(target=flood, args=(poll,)) for poll in polls]
    for thread in threads:
        thread.start()
    beside: list[float] = []
    while any(thread.is_alive() for thread in threads):
        beside += logins(live, 1)
    seconds = time.monotonic() - started
    alone += logins(live, 20)
    assert set(told) <= {"authorization_pending", "slow_down", "expired_token"} and told.total() == count
    assert told["authorization_pending"] <= 20 * (seconds / 5 + 1), "one write each five seconds"
    usual, slowed = statistics.median(alone), statistics.median(beside)
    report(
        "logins beside polls",
        tried=f"{count} polls, {count / seconds:.0f} a second, {len(beside)} logins",
        held=f"median {slowed * 1000:.0f} ms, {usual * 1000:.0f} ms alone",
    )
    assert slowed <= 2 * max(usual, 0.01), (slowed, usual)


def logins(live: Live, count: int) -> list[float]:
    """Seconds of logins, a breath apart."""
    found = []
    for _ in range(count):
        found.append(login(live, "bob@example.com").seconds)
        time.sleep(0.02)
    return found
