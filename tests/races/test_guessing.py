"""Guessing in parallel: however many requests, tokens, clients, factors and spellings, the cap is the cap."""

import random
import time
import unicodedata
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from app.guards.brute_force import CAP
from app.guards.second_factor import BUCKET_SIZE, REFILL_SECONDS, person_key
from app.identifiers import normal_key
from app.store import buckets
from app.store.attempts import password_attempts
from app.store.authenticators import FAILURE_CAP, authenticators
from app.store.transactions import OPEN_LIMIT, transactions
from tests import making
from tests.evidence import report, size
from tests.live import Answer, Live, form_request
from tests.making import PASSWORD, Cast, now
from tests.races.load import (
    APP,
    PHONE_APP,
    each_left_one_event,
    events_after,
    in_volleys,
    last_event,
    login,
    mfa_token,
    password_request,
    spread,
    token_request,
    verified_guesses,
    verified_passwords,
    wrong_codes,
)
from tests.wire import MFA_OTP, MFA_RECOVERY, code_of

pytestmark = pytest.mark.races

GUESSES = 500
PEOPLE = size(1, 10)


def otp_request(live: Live, client: dict[str, str], token: str, code: str) -> bytes:
    members = {"grant_type": MFA_OTP, "mfa_token": token, "otp": code} | client
    return form_request(live, "/oauth/token", members)


def recovery_request(live: Live, token: str, code: str) -> bytes:
    return token_request(live, grant_type=MFA_RECOVERY, mfa_token=token, recovery_code=code)


def statuses(answers: list[Answer]) -> dict[int, int]:
    return {status: sum(a.status == status for a in answers) for status in {a.status for a in answers}}


def let_one_guess_come_back(live: Live, user_id: str) -> None:
    with live.server.db.write() as conn:
        table = buckets.buckets
        earlier = table.c.updated_seconds - REFILL_SECONDS - 1
        mine = table.c.key == person_key(user_id)
        conn.execute(update(table).where(mine).values(updated_seconds=earlier))


def open_transactions(live: Live, user_id: str) -> int:
    mine = (transactions.c.user_id == user_id) & transactions.c.consumed_at.is_(None)
    with live.server.db.read() as conn:
        return int(conn.execute(select(func.count()).select_from(transactions).where(mine)).scalar_one())


def failures_of(live: Live, identity: str) -> list[tuple[int, int]]:
    """(failed, still pending) of each row that counts for a person or name."""
    p = password_attempts.c
    with live.server.db.read() as conn:
        found = conn.execute(select(p.failures, p.pending).where(p.identity == identity))
        return [(row.failures, row.pending) for row in found]


def test_of_500_guesses_at_once_ten_are_looked_at(live: Live, cast: Cast) -> None:
    """Two clients, several transactions; the right code comes after the cap and is not even looked at."""
    for number in range(PEOPLE):
        name = f"guessed{number}@example.com"
        user = making.make_user(live.server, cast.staff, name)
        secret = making.enroll_totp(live.server, user)
        clients = [APP, PHONE_APP]
        tokens = [
            (client, mfa_token(live, name, **client)) for client in clients for _ in range(OPEN_LIMIT // 2)
        ]
        guesses = wrong_codes(secret, GUESSES)
        hidden = random.randrange(GUESSES // 2, GUESSES)
        guesses[hidden] = code_of(secret)
        start = last_event(live)
        requests = [otp_request(live, *tokens[n % len(tokens)], code) for n, code in enumerate(guesses)]
        answers = in_volleys(live, requests, 64)

        assert statuses(answers) == {403: BUCKET_SIZE, 429: GUESSES - BUCKET_SIZE}
        assert all("retry-after" in a.headers for a in answers if a.status == 429)
        events = events_after(live, start)
        assert verified_guesses(events) == BUCKET_SIZE
        each_left_one_event(answers, events)
        with live.server.db.read() as conn:
            mine = authenticators.c.user_id == user.id
            assert conn.execute(select(authenticators.c.failures).where(mine)).scalar_one() == BUCKET_SIZE

        right = code_of(secret)
        assert live.send(otp_request(live, *tokens[0], right)).status == 429, "refused until the wait is over"
        let_one_guess_come_back(live, user.id)
        assert live.send(otp_request(live, *tokens[0], right)).status == 200
    report(
        "T6 one-time password guessing",
        tried=f"{PEOPLE} x {GUESSES} wrong codes, c=64, 4 workers, 2 clients",
        held=f"{BUCKET_SIZE} looked at each, the right one after them refused; events = answers",
    )


def test_fifty_wrong_codes_in_a_row_disable_the_authenticator(live: Live, cast: Cast) -> None:
    """However slowly: the ceiling is reached in volleys, each after a wait that was sat out."""
    user = making.make_user(live.server, cast.staff, "slowly@example.com")
    secret = making.enroll_totp(live.server, user)
    tokens = [mfa_token(live, "slowly@example.com") for _ in range(OPEN_LIMIT)]
    start = last_event(live)
    for _ in range(FAILURE_CAP // BUCKET_SIZE + 2):
        live.at_once([otp_request(live, APP, t, code) for t in tokens for code in wrong_codes(secret, 2)])
        with live.server.db.write() as conn:
            buckets.empty(conn, person_key(user.id))
    assert verified_guesses(events_after(live, start)) == FAILURE_CAP
    assert live.send(otp_request(live, APP, tokens[0], code_of(secret))).status != 200
    report(
        "G6 hard cap of guesses",
        tried="140 wrong codes in volleys of 20, waits skipped",
        held=f"disabled after {FAILURE_CAP}: at most {FAILURE_CAP * 3e-6:.1e}",
    )


def test_many_mfa_tokens_share_one_cap(live: Live, cast: Cast) -> None:
    logins = 200
    for number in range(PEOPLE):
        name = f"tokens{number}@example.com"
        user = making.make_user(live.server, cast.staff, name)
        secret = making.enroll_totp(live.server, user)
        start = last_event(live)
        begun = spread(live, [password_request(live, name)] * logins, 32)
        assert statuses(begun) == {403: logins}
        tokens = [str(answer.json["mfa_token"]) for answer in begun]
        assert len(set(tokens)) == logins
        assert open_transactions(live, user.id) <= OPEN_LIMIT

        codes = wrong_codes(secret, logins * 3)
        requests = [
            otp_request(live, APP, token, code) for token, code in zip(tokens * 3, codes, strict=True)
        ]
        random.shuffle(requests)
        guessed = spread(live, requests, 32)
        alternating: list[Answer] = []
        for code in wrong_codes(secret, 10):  # a new login gives no new guesses
            again = login(live, name)
            alternating += [
                again,
                live.send(otp_request(live, APP, str(again.json["mfa_token"]), code)),
            ]
        assert [a.status for a in alternating[1::2]] == [429] * 10

        events = events_after(live, start)
        assert verified_guesses(events) == BUCKET_SIZE
        assert open_transactions(live, user.id) <= OPEN_LIMIT
        each_left_one_event([*begun, *guessed, *alternating], events)
    report(
        "T7 many mfa_tokens",
        tried=f"{PEOPLE} x {logins} logins, 3 codes a token, c=32",
        held=f"{BUCKET_SIZE} looked at each, at most {OPEN_LIMIT} tokens open",
    )


def test_all_factors_of_a_person_share_one_cap(live: Live, cast: Cast) -> None:
    for number in range(PEOPLE):
        name = f"factors{number}@example.com"
        user = making.make_user(live.server, cast.staff, name)
        secret, code = making.enroll_totp(live.server, user), making.give_recovery_code(live.server, user)
        tokens = [mfa_token(live, name) for _ in range(4)]
        requests = [otp_request(live, APP, tokens[0], guess) for guess in wrong_codes(secret, 10)]
        requests += [recovery_request(live, tokens[1], f"{n:024}") for n in range(10)]
        random.shuffle(requests)
        start = last_event(live)
        answers = live.at_once(requests)
        assert statuses(answers) == {403: BUCKET_SIZE, 429: 20 - BUCKET_SIZE}
        answers += [live.send(otp_request(live, APP, tokens[2], code_of(secret)))]
        answers += [live.send(recovery_request(live, tokens[3], code))]
        assert [a.status for a in answers[-2:]] == [429, 429], "one factor's cap holds for the other"
        events = events_after(live, start)
        assert verified_guesses(events) == BUCKET_SIZE
        each_left_one_event(answers, events)
    report(
        "T8 guessing across factors",
        tried=f"{PEOPLE} x (10 codes + 10 recovery codes) at once",
        held=f"{BUCKET_SIZE} looked at in all",
    )


def spellings(identifier: str) -> list[str]:
    """Twenty ways to type the same identifier."""
    forms = [unicodedata.normalize(form, identifier) for form in ("NFC", "NFD")]
    cases = [case(form) for form in forms for case in (str, str.upper, str.title, str.swapcase)]
    spaced = [before + case + after for case in cases for before, after in (("", ""), (" ", ""), ("", "\t "))]
    return [spelling for spelling in dict.fromkeys(spaced) if normal_key(spelling) == normal_key(identifier)][
        :20
    ]


def test_spellings_and_aliases_share_one_count(live: Live, cast: Cast) -> None:
    identifiers = ("zoë.weiss@example.com", "zoë-weiss", "+491511234567")
    user = making.make_user(
        live.server, cast.staff, identifiers[0], username=identifiers[1], phone_number=identifiers[2]
    )
    names = [spelling for identifier in identifiers for spelling in spellings(identifier)]
    names += ["ｚｏë－ｗｅｉｓｓ", "ZOË-ＷＥＩＳＳ"]  # full width
    assert len(names) > 40
    requests = [password_request(live, name, f"wrong{n}") for n in range(5) for name in names]
    random.shuffle(requests)
    start = last_event(live)
    answers = spread(live, requests, 32)
    events = events_after(live, start)
    assert {event.user_id for event in events} == {user.id}
    assert statuses(answers) == {403: CAP, 429: len(requests) - CAP}
    assert verified_passwords(events) == CAP
    assert failures_of(live, user.id) == [(CAP, 0)]
    assert login(live, identifiers[1]).status == 429, "the right password as well"
    each_left_one_event(answers, events[: len(answers)])
    report(
        "T2 spellings and aliases",
        tried=f"3 identifiers, {len(names)} spellings x 5 wrong passwords, c=32",
        held=f"one count, {CAP} looked at",
    )


def test_of_a_hundred_wrong_passwords_at_once_ten_are_looked_at(live: Live, cast: Cast) -> None:
    rounds = size(2, 20)
    for number in range(rounds):
        user = making.make_user(live.server, cast.staff, f"volley{number}@example.com")
        unknown = f"{cast.staff.id}/nobody{number}@example.com"
        for name, identity in (
            (f"volley{number}@example.com", user.id),
            (f"nobody{number}@example.com", unknown),
        ):
            start = last_event(live)
            answers = live.at_once([password_request(live, name, f"wrong{n}") for n in range(100)])
            assert statuses(answers) == {403: CAP, 429: 100 - CAP}
            events = events_after(live, start)
            assert verified_passwords(events) == CAP
            assert failures_of(live, identity) == [(CAP, 0)]
            each_left_one_event(answers, events)
    report(
        "T1 wrong passwords at a barrier",
        tried=f"{rounds} x 100 at once, known and unknown names",
        held=f"{CAP} looked at each, the rest 429",
    )


def test_valid_logins_do_not_lock_each_other_out(live: Live, cast: Cast) -> None:
    logins = 200
    people = size(1, 5)
    for number in range(people):
        name = f"busy{number}@example.com"
        user = making.make_user(live.server, cast.staff, name)
        start = last_event(live)
        answers = spread(live, [password_request(live, name)] * logins, 16)
        assert statuses(answers) == {200: logins}
        assert failures_of(live, user.id) == [(0, 0)]
        each_left_one_event(answers, events_after(live, start))
    report("T10 valid logins in parallel", tried=f"{people} x {logins}, c=16", held="all succeed, count 0")


def test_a_right_password_in_a_volley_of_wrong_ones_forgives_nothing_that_is_pending(
    live: Live, cast: Cast
) -> None:
    """T5: the right one is hidden behind the cap; then neither it nor anything else tells what it was."""
    candidates = size(200, 1000)
    making.make_user(live.server, cast.staff, "oracle@example.com")
    requests = [password_request(live, "oracle@example.com", f"wrong{n}") for n in range(candidates)]
    requests[candidates * 9 // 10] = password_request(live, "oracle@example.com", PASSWORD)
    start = last_event(live)
    answers = spread(live, requests, 16)
    assert statuses(answers) == {403: CAP, 429: candidates - CAP}
    each_left_one_event(answers, events_after(live, start))
    report(
        "T5 password oracle",
        tried=f"{candidates} candidates, c=16, the right one at nine tenths",
        held="not learned",
    )


def test_a_block_is_forgotten_after_a_month_and_not_before(live: Live, cast: Cast) -> None:
    user = making.make_user(live.server, cast.staff, "month@example.com")
    wrong = [password_request(live, "month@example.com", "wrong") for _ in range(CAP)]
    assert statuses(live.at_once(wrong)) == {403: CAP}
    for days, status in ((29, 429), (31, 200)):
        with live.server.db.write() as conn:
            mine = password_attempts.c.identity == user.id
            long_ago = now() - timedelta(days=days)
            conn.execute(
                update(password_attempts).where(mine).values(failed_at=long_ago, reserved_at=long_ago)
            )
        assert login(live, "month@example.com").status == status


def test_a_clock_behind_gives_no_guesses_back(live: Live, cast: Cast) -> None:
    """T44: guesses of a worker whose clock is behind, or of a request that was long on its way, count like others."""
    user = making.make_user(live.server, cast.staff, "clocks@example.com")
    hour = timedelta(hours=1)
    granted = 0
    for number in range(BUCKET_SIZE * 2):
        moment = now() - hour if number % 2 else now()
        with live.server.db.write() as conn:
            key = person_key(user.id)
            wait = buckets.spend(conn, key, size=BUCKET_SIZE, refill_seconds=REFILL_SECONDS, now=moment)
            granted += wait is None
    assert granted == BUCKET_SIZE


def test_a_request_is_made_when_its_last_byte_arrives(live: Live, cast: Cast) -> None:
    """Who holds the body back must not hold the clock back: codes and tokens run out meanwhile."""
    held_seconds = 1.0
    request = password_request(live, "bob@example.com", "held back")
    start = last_event(live)
    with live.connect() as sock:
        sock.sendall(request[:-1])
        time.sleep(held_seconds)
        released = now()
        sock.sendall(request[-1:])
        assert sock.recv(1000)
    event = events_after(live, start)[-1]
    assert event.at >= released - timedelta(milliseconds=50), f"dated {released - event.at} too early"
