"""Keys change while people log in: signing keys rotate, are revoked, and what is sealed is sealed anew."""

import random
import subprocess
import threading
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import jwt
import pyotp
import pytest
from sqlalchemy import delete, select, update

from app.crypto import owner_of, random_id
from app.guards.second_factor import person_key
from app.store import buckets, reseal, signing_keys
from app.store.authenticators import Authenticator, add_authenticator, authenticators
from app.tokens.signing import DEFAULT_ALGORITHM
from tests import making
from tests.evidence import report, size
from tests.live import BELAY, Answer, Live, raw_request
from tests.making import API, Cast, now
from tests.races.load import (
    belay,
    cli_environment,
    events_after,
    full_login,
    last_event,
    login,
    mfa_token,
    refresh,
    token_request,
    until,
)
from tests.wire import MFA_OTP, code_of

pytestmark = [pytest.mark.races, pytest.mark.timeout(3600)]


class Load:
    """Threads that repeat a job until the block ends; what one of them saw go wrong is raised at its end."""

    def __init__(self) -> None:
        self.done = 0
        self._stop = threading.Event()
        self._errors: list[BaseException] = []

    def _run(self, job: Callable[[], None]) -> None:
        while not self._stop.is_set():
            try:
                job()
            except BaseException as error:
                self._errors.append(error)
                return
            self.done += 1

    @contextmanager
    def running(self, *jobs: Callable[[], None]) -> Iterator["Load"]:
        threads = [threading.Thread(target=self._run, args=(job,)) for job in jobs]
        for thread in threads:
            thread.start()
        try:
            until(lambda: self.done >= len(jobs) or self._errors, 20, "a load")
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
        if self._errors:
            raise self._errors[0]


def states(live: Live) -> Counter[str]:
    with live.server.db.read() as conn:
        return Counter(key.state for key in signing_keys.list_keys(conn) if key.alg == DEFAULT_ALGORITHM)


def published(live: Live) -> dict[str, dict[str, Any]]:
    return {key["kid"]: key for key in live.get("/.well-known/jwks.json").json["keys"]}


def is_good(live: Live, token: str) -> bool:
    return live.get("/userinfo", token).status == 200


def checked_login(live: Live) -> dict[str, str]:
    """Log in, verify what came as an application would, and use it."""
    tokens = full_login(live, "bob@example.com")
    keys = published(live)
    for name, audience in (("access_token", API), ("id_token", "app")):
        kid = jwt.get_unverified_header(tokens[name])["kid"]
        assert kid in keys, f"{name} is signed with {kid}, which is not published"
        jwt.decode(tokens[name], jwt.PyJWK(keys[kid]), audience=audience, algorithms=[DEFAULT_ALGORITHM])
    assert is_good(live, tokens["access_token"])
    return tokens


def start_rotation(live: Live) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [BELAY, "keys", "rotate", "--now"], env=cli_environment(live), stdout=subprocess.DEVNULL
    )


def test_rotation_under_load_refuses_no_valid_token(live: Live, cast: Cast) -> None:
    rounds = size(3, 50)
    kept: list[str] = []
    load = Load()

    def logs_in() -> None:
        kept.append(checked_login(live)["access_token"])

    def uses_an_old_token() -> None:
        if kept:
            assert is_good(live, random.choice(kept)), "a valid token was refused"

    with load.running(logs_in, logs_in, logs_in, uses_an_old_token):
        for number in range(rounds):
            rotations = [start_rotation(live) for _ in range(2 if number % 2 else 1)]
            assert [rotation.wait(60) for rotation in rotations] == [0] * len(rotations)
            assert (states(live)["current"], states(live)["next"]) == (1, 1)
        for _ in range(rounds):
            killed = start_rotation(live)
            time.sleep(random.uniform(0.2, 1.2))  # somewhere between its first line and its last
            killed.kill()
            killed.wait()
            assert (states(live)["current"], states(live)["next"]) == (1, 1)
    assert all(is_good(live, token) for token in random.sample(kept, min(100, len(kept))))
    assert states(live)["previous"] >= rounds
    report(
        "T25 signing keys rotated under load",
        tried=f"{rounds} rotations, half of them two at once, {rounds} killed; {load.done} checks",
        held="0 valid tokens refused, every kid published, one current key",
    )


def test_a_revoked_key_is_refused_by_every_worker_on_the_next_request(live: Live, cast: Cast) -> None:
    rounds = size(1, 10)
    for _ in range(rounds):
        tokens = checked_login(live)
        token, kid = tokens["access_token"], jwt.get_unverified_header(tokens["access_token"])["kid"]
        look = raw_request("GET", "/userinfo", live.host, b"", {"Authorization": f"Bearer {token}"})
        assert {answer.status for answer in live.at_once([look] * 32)} == {200}
        belay(live, "keys", "revoke", kid, "--yes")
        assert {answer.status for answer in live.at_once([look] * 32)} == {401}
        assert kid not in published(live)
        assert (states(live)["current"], states(live)["next"]) == (1, 1)
        checked_login(live)
        assert refresh(live, tokens["refresh_token"]).status == 200, "only what the key signed is refused"
    report("T25 revoked key", tried=f"{rounds} x 32 requests, 4 workers", held="401 on the next request")


# --- secrets at rest -----------------------------------------------------------------------------------------------


def otp(live: Live, token: str, code: str) -> Answer:
    return live.send(token_request(live, grant_type=MFA_OTP, mfa_token=token, otp=code))


def enrols(live: Live, cast: Cast, name: str) -> None:
    """A first login with enrolment, and what it brought works a second time."""
    making.make_user(live.server, cast.guests, name)
    members = {"realm": cast.guests.name}
    token = mfa_token(live, name, **members)
    enrolled = live.post_json("/mfa/associate", {"authenticator_types": ["otp"]}, token)
    assert enrolled.status == 200, enrolled.text
    confirmed = otp(live, token, code_of(enrolled.json["secret"]))
    assert confirmed.status == 200, confirmed.text


def left_on_old_keys(live: Live) -> int:
    kid = live.server.keyring.current
    with live.server.db.read() as conn:
        return sum(reseal.count_left(conn, column, kid) for column in reseal.SEALED)


def unreadable(live: Live) -> list[str]:
    """Sealed secrets that no key of the ring opens."""
    found = []
    with live.server.db.read() as conn:
        for column in reseal.SEALED:
            sealed = conn.execute(select(column.key, column.secret).where(column.secret.is_not(None))).all()
            for row_id, secret in sealed:
                owner = f"{column.table.name}/{row_id}"
                try:
                    live.server.keyring.open(secret, owner)
                except Exception:
                    found.append(owner)
    return found


def test_sealing_anew_under_load_fails_no_login(live: Live, cast: Cast) -> None:
    reseals = size(2, 30)
    patient = making.make_client(
        live.server,
        f"patient-{random.randrange(10**9)}",
        realm_names=(cast.staff.name,),
        refresh_leeway_seconds=60,
    )
    load, numbers = Load(), iter(range(10**9))

    def logs_in_with_a_code() -> None:
        name = f"sealed{next(numbers)}@example.com"
        user = making.make_user(live.server, cast.staff, name)
        secret = making.enroll_totp(live.server, user)
        answer = otp(live, mfa_token(live, name), code_of(secret))
        assert answer.status == 200, answer.text

    def enrols_somebody() -> None:
        enrols(live, cast, f"enrols{next(numbers)}@example.com")

    def repeats_a_refresh() -> None:
        members = {"client_id": patient.id, "client_secret": ""}
        first = login(live, "bob@example.com", scope="offline_access", **members).json["refresh_token"]
        answers = [refresh(live, first, **members) for _ in range(2)]
        assert {answer.status for answer in answers} == {200}, [a.text for a in answers]
        assert len({answer.json["refresh_token"] for answer in answers}) == 1

    jobs = [logs_in_with_a_code, enrols_somebody, enrols_somebody, enrols_somebody, repeats_a_refresh]
    with load.running(*jobs):
        for _ in range(reseals):
            belay(live, "keys", "reseal", "--forget-old")
    assert unreadable(live) == []
    belay(live, "keys", "reseal")
    assert left_on_old_keys(live) == 0
    assert unreadable(live) == []
    checked_login(live)
    report(
        "T43 sealed anew under load",
        tried=f"{reseals} times, {load.done} logins, enrolments and refreshes meanwhile",
        held="0 failed, 0 rows left on an old key",
    )


def test_an_enrolment_that_was_under_way_survives_the_forgetting_of_its_key(live: Live, cast: Cast) -> None:
    """Its secret was sealed before there was a new key and is saved seconds after."""
    name = f"under-way{random.randrange(10**12)}@example.com"
    user = making.make_user(live.server, cast.staff, name)
    ring, secret, row_id = live.server.keyring, pyotp.random_base32(), f"totp|dev_{random_id()}"
    sealed, before = ring.seal(secret.encode(), owner_of("authenticators", row_id)), ring.current
    with subprocess.Popen(
        [BELAY, "keys", "reseal", "--forget-old"], env=cli_environment(live), stdout=subprocess.DEVNULL
    ) as resealing:
        until(lambda: ring.current != before, 20, "a new key in the ring")
        with suppress(subprocess.TimeoutExpired):
            resealing.wait(3)
        row = Authenticator(row_id, user.id, "totp", now(), sealed_secret=sealed, confirmed_at=now())
        with live.server.db.write() as conn:
            add_authenticator(conn, row)
        assert resealing.wait(60) == 0
    answer = otp(live, mfa_token(live, name), code_of(secret))
    with live.server.db.write() as conn:  # leave nothing behind that nobody can open
        conn.execute(delete(authenticators).where(authenticators.c.id == row_id))
    assert answer.status == 200, answer.text


@pytest.fixture
def victims(live: Live, cast: Cast) -> Iterator[list[tuple[str, str, str]]]:
    """(name, secret, user id) of two people with an authenticator app."""
    found = []
    for _ in range(2):
        name = f"victim{random.randrange(10**12)}@example.com"
        user = making.make_user(live.server, cast.staff, name)
        found.append((name, making.enroll_totp(live.server, user), user.id))
    yield found
    theirs = authenticators.c.user_id.in_([user_id for _, _, user_id in found])
    with live.server.db.write() as conn:
        conn.execute(delete(authenticators).where(theirs))


def sealed_secret(live: Live, user_id: str) -> str:
    mine = authenticators.c.user_id == user_id
    with live.server.db.read() as conn:
        return str(conn.execute(select(authenticators.c.sealed_secret).where(mine)).scalar_one())


def put_secret(live: Live, user_id: str, sealed: str) -> None:
    """Tamper as somebody with access to the database would, with all guesses forgiven."""
    mine = authenticators.c.user_id == user_id
    with live.server.db.write() as conn:
        conn.execute(update(authenticators).where(mine).values(sealed_secret=sealed, failures=0))
        buckets.empty(conn, person_key(user_id))


def refuses_defined(live: Live, token: str, code: str) -> None:
    start = last_event(live)
    answer = otp(live, token, code)
    assert (answer.status, answer.json["error"]) == (503, "temporarily_unavailable"), answer.text
    assert "retry-after" in answer.headers
    assert [event.reason for event in events_after(live, start)] == ["secret_unreadable"]


def test_swapped_seeds_open_no_login(live: Live, victims: list[tuple[str, str, str]]) -> None:
    (name, secret, user_id), (other_name, other_secret, other_id) = victims
    mine, others = sealed_secret(live, user_id), sealed_secret(live, other_id)
    put_secret(live, user_id, others)
    put_secret(live, other_id, mine)
    for who in (name, other_name):
        for code in (code_of(secret), code_of(other_secret)):
            refuses_defined(live, mfa_token(live, who), code)
    put_secret(live, user_id, mine)
    assert otp(live, mfa_token(live, name), code_of(secret)).status == 200


def test_a_flipped_bit_opens_no_login(live: Live, victims: list[tuple[str, str, str]]) -> None:
    flips = size(40, 2000)
    name, secret, user_id = victims[0]
    whole = sealed_secret(live, user_id)
    kid, _, text = whole.partition(".")
    raw = urlsafe_b64decode(text)
    bits = random.sample(range(len(raw) * 8), min(flips, len(raw) * 8))
    token = mfa_token(live, name)
    for bit in bits:
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        put_secret(live, user_id, f"{kid}.{urlsafe_b64encode(bytes(flipped)).decode()}")
        refuses_defined(live, token, code_of(secret))
    put_secret(live, user_id, whole)
    assert otp(live, token, code_of(secret)).status == 200
    report("T43 flipped bits", tried=f"{len(bits)} of {len(raw) * 8} bits", held="0 opened, 0 accidents")


@pytest.mark.parametrize(
    "damage", ["", ".", "nobody.AAAA", "{kid}.", "{kid}.AAAA", "{kid}.ä", "{kid}.A", "\u0007"]
)
def test_a_damaged_seed_is_a_defined_answer(
    live: Live, victims: list[tuple[str, str, str]], damage: str
) -> None:
    name, secret, user_id = victims[0]
    put_secret(live, user_id, damage.format(kid=sealed_secret(live, user_id).partition(".")[0]))
    refuses_defined(live, mfa_token(live, name), code_of(secret))


def test_one_unreadable_secret_does_not_keep_the_others_on_an_old_key(
    live: Live, victims: list[tuple[str, str, str]]
) -> None:
    (_, _, broken), (name, secret, _) = victims
    put_secret(live, broken, "nobody.AAAA")
    done = subprocess.run(
        [BELAY, "keys", "reseal", "--forget-old"], env=cli_environment(live), capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr
    assert "1 " in done.stdout + done.stderr, "it says how many are left"
    assert left_on_old_keys(live) == 1
    assert otp(live, mfa_token(live, name), code_of(secret)).status == 200


def test_an_unreadable_signing_key_is_a_defined_answer_until_the_next_one(live: Live, cast: Cast) -> None:
    belay(live, "keys", "rotate", "--now")  # a key that no worker has opened
    keys = signing_keys.signing_keys
    with live.server.db.write() as conn:
        broken = signing_keys.list_signers(conn)[DEFAULT_ALGORITHM].kid
        conn.execute(update(keys).where(keys.c.kid == broken).values(sealed_private="x.AAAA"))
    answer = login(live, "bob@example.com", audience=API)
    assert (answer.status, answer.json["error"]) == (503, "temporarily_unavailable")
    belay(live, "keys", "rotate", "--now")
    checked_login(live)
    with live.server.db.write() as conn:
        conn.execute(delete(keys).where(keys.c.kid == broken))
