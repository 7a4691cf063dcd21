"""One-time things over HTTP against four worker processes: of sixteen uses at once exactly one succeeds."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from app.context import Context
from app.crypto import digest
from app.factors import FACTORS
from app.factors.factor import Challenging
from app.store import authenticators, challenges
from app.store.transactions import find_transaction
from app.store.users import User
from tests import making
from tests.evidence import report, size
from tests.live import Answer, Live, form_request
from tests.making import APP_SECRET, PASSWORD, Cast
from tests.wire import MFA_OOB, MFA_OTP, MFA_RECOVERY, code_of

pytestmark = pytest.mark.races

AT_ONCE = 16
ROUNDS = size(20, 200)
APP = {"client_id": "app", "client_secret": APP_SECRET}


def mfa_token(live: Live, username: str) -> str:
    answer = live.post("/oauth/token", grant_type="password", username=username, password=PASSWORD, **APP)
    assert answer.status == 403, answer.text
    return str(answer.json["mfa_token"])


@pytest.fixture(autouse=True)
def reported(request: pytest.FixtureRequest) -> Iterator[None]:
    failed_before = request.session.testsfailed
    yield
    if request.session.testsfailed == failed_before:
        name = request.node.name.removeprefix("test_").replace("_", " ")
        report(name, tried=f"{ROUNDS} rounds x {AT_ONCE}, 4 workers", held="in every round")


def exactly_one(answers: list[Answer]) -> Answer:
    assert all(answer.status < 500 for answer in answers), [a.text for a in answers if a.status >= 500]
    winners = [answer for answer in answers if answer.status == 200]
    assert len(winners) == 1, [(a.status, a.text[:100]) for a in answers]
    return winners[0]


def test_a_one_time_password_counts_once(live: Live, cast: Cast) -> None:
    for number in range(ROUNDS):
        user = making.make_user(live.server, cast.staff, f"otp{number}@example.com")
        secret = making.enroll_totp(live.server, user)
        tokens = [mfa_token(live, f"otp{number}@example.com") for _ in range(4)]
        code = code_of(secret)
        requests = [
            form_request(live, "/oauth/token", {"grant_type": MFA_OTP, "mfa_token": token, "otp": code} | APP)
            for token in tokens * (AT_ONCE // 4)
        ]
        exactly_one(live.at_once(requests))


def test_an_mfa_token_completes_one_login(live: Live, cast: Cast) -> None:
    """Different proofs, one transaction."""
    for number in range(ROUNDS):
        user = making.make_user(live.server, cast.staff, f"mfa{number}@example.com")
        secrets = [making.enroll_totp(live.server, user) for _ in range(3)]
        code = making.give_recovery_code(live.server, user)
        token = mfa_token(live, f"mfa{number}@example.com")
        proofs = [{"grant_type": MFA_OTP, "otp": code_of(secret)} for secret in secrets]
        proofs.append({"grant_type": MFA_RECOVERY, "recovery_code": code})
        requests = [
            form_request(live, "/oauth/token", proof | {"mfa_token": token} | APP)
            for proof in proofs * (AT_ONCE // 4)
        ]
        exactly_one(live.at_once(requests))


def test_a_recovery_code_counts_once(live: Live, cast: Cast) -> None:
    for number in range(ROUNDS):
        user = making.make_user(live.server, cast.staff, f"rec{number}@example.com")
        making.enroll_totp(live.server, user)
        code = making.give_recovery_code(live.server, user)
        tokens = [mfa_token(live, f"rec{number}@example.com") for _ in range(4)]
        requests = [
            form_request(
                live,
                "/oauth/token",
                {"grant_type": MFA_RECOVERY, "mfa_token": token, "recovery_code": code} | APP,
            )
            for token in tokens * (AT_ONCE // 4)
        ]
        winner = exactly_one(live.at_once(requests))
        again = mfa_token(live, f"rec{number}@example.com")
        successor = winner.json["recovery_code"]
        used = live.post(
            "/oauth/token", grant_type=MFA_RECOVERY, mfa_token=again, recovery_code=successor, **APP
        )
        assert used.status == 200 or "Too many" in used.text, used.text


def test_a_refresh_token_rotates_once_and_its_reuse_ends_the_family(live: Live, cast: Cast) -> None:
    for number in range(ROUNDS):
        making.make_user(live.server, cast.staff, f"ref{number}@example.com")
        login = {"grant_type": "password", "username": f"ref{number}@example.com", "password": PASSWORD}
        first = live.post("/oauth/token", scope="openid offline_access", **login, **APP).json["refresh_token"]
        again = form_request(
            live, "/oauth/token", {"grant_type": "refresh_token", "refresh_token": first} | APP
        )
        winner = exactly_one(live.at_once([again] * AT_ONCE))
        successor = winner.json["refresh_token"]
        dead = live.post("/oauth/token", grant_type="refresh_token", refresh_token=successor, **APP)
        assert dead.status == 403, "fifteen repeated a used token: the family is dead"


def test_valid_logins_in_parallel_all_succeed(live: Live, cast: Cast) -> None:
    for _ in range(ROUNDS // 2):
        request = form_request(
            live,
            "/oauth/token",
            {"grant_type": "password", "username": "bob@example.com", "password": PASSWORD} | APP,
        )
        answers = live.at_once([request] * AT_ONCE)
        assert [answer.status for answer in answers] == [200] * AT_ONCE


def test_a_code_by_sms_counts_once(live: Live, cast: Cast) -> None:
    """One code and its oob_code, sixteen times in one login."""
    making.switch_on(live.server, "sms")
    for number in range(ROUNDS):
        user = making.make_user(live.server, cast.staff, f"sms{number}@example.com")
        making.enroll_phone(live.server, user, destination=f"+4917012{number:05}")
        token = mfa_token(live, f"sms{number}@example.com")
        handle, code = asked_for_code(live, user, token)
        proof = {"grant_type": MFA_OOB, "mfa_token": token, "oob_code": handle, "binding_code": code}
        exactly_one(live.at_once([form_request(live, "/oauth/token", proof | APP)] * AT_ONCE))


def asked_for_code(live: Live, user: User, token: str) -> tuple[str, str]:
    """A challenge as the server would write it, and the code that its message carries."""
    server = live.server
    ctx = Context(server, datetime.now(UTC), ip="")
    with server.db.write() as conn:
        transaction = find_transaction(conn, digest(token))
        (device,) = authenticators.list_authenticators(conn, user.id)
        assert transaction is not None
        assert FACTORS["sms"].challenge is not None
        begun = FACTORS["sms"].challenge(
            ctx, conn, Challenging(user, (device,), transaction.id, None, "Belay")
        )
        challenges.add_challenge(conn, begun.challenge)
    assert begun.message is not None
    return str(begun.shown["oob_code"]), str(begun.message[1].code)
