"""One-time things over HTTP against four worker processes: of sixteen uses at once exactly one succeeds."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from webauthn.helpers import base64url_to_bytes

from app.context import Context
from app.crypto import digest
from app.factors import FACTORS
from app.factors.factor import Challenging
from app.store import authenticators, challenges, clients, realms
from app.store.transactions import find_transaction
from app.store.users import User
from tests import making
from tests.evidence import report, size
from tests.live import Answer, Live, form_request, raw_request
from tests.making import APP_SECRET, PASSWORD, Cast
from tests.security_key import BE, UP, UV, Json, SecurityKey
from tests.wire import MFA_OOB, MFA_OTP, MFA_RECOVERY, MFA_WEBAUTHN, code_of

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


def webauthn_request(live: Live, token: str, response: Json) -> bytes:
    body = APP | {"grant_type": MFA_WEBAUTHN, "mfa_token": token, "authn_response": response}
    media_type = {"Content-Type": "application/json"}
    return raw_request("POST", "/oauth/token", live.host, json.dumps(body).encode(), media_type)


def asked_for_key(live: Live, token: str) -> Json:
    answer = live.post("/mfa/challenge", mfa_token=token, challenge_type="webauthn", **APP)
    found: Json = answer.json["authn_params_public_key"]
    return found


def test_a_security_key_s_answer_counts_once(live: Live, cast: Cast) -> None:
    """By turns: one answer of a synced key, which has no counter, sixteen times in one login; and four copies of one
    key that say the same count in four logins, each answer four times.
    """
    for number in range(ROUNDS):
        email, is_synced = f"key{number}@example.com", number % 2 == 0
        user = making.make_user(live.server, cast.staff, email)
        how = {"flags": UP | UV | BE, "counter": 0} if is_synced else {"counter": 7}
        key = making.enroll_security_key(live.server, user, **how)
        requests = []
        for token in [mfa_token(live, email) for _ in range(1 if is_synced else 4)]:
            copy = SecurityKey(
                private_key=key.private_key, id=key.id, flags=key.flags, counter=key.counter, origin=live.base
            )
            requests.append(webauthn_request(live, token, copy.get(asked_for_key(live, token))))
        exactly_one(live.at_once(requests * (AT_ONCE // len(requests))))


def test_the_enrolment_of_a_key_is_confirmed_once(live: Live, cast: Cast) -> None:
    """By turns: one response sixteen times in one login; and four logins, each with a key of its own."""
    making.switch_on(live.server, "webauthn-roaming")
    for number in range(ROUNDS):
        email = f"new{number}@example.com"
        user = making.make_user(live.server, cast.guests, email)
        login = {"grant_type": "password", "username": email, "password": PASSWORD, "realm": "guests"}
        requests, ids = [], []
        for _ in range(1 if number % 2 == 0 else 4):
            token = live.post("/oauth/token", **login, **APP).json["mfa_token"]
            shown = live.post_json(
                "/mfa/associate", {"authenticator_types": ["webauthn-roaming"]}, token
            ).json
            key = SecurityKey(origin=live.base)
            response = key.create(shown["authn_params_public_key"])
            ids.append(base64url_to_bytes(response["id"]))
            requests.append(webauthn_request(live, token, response))
        exactly_one(live.at_once(requests * (AT_ONCE // len(requests))))
        with live.server.db.read() as conn:
            owned = authenticators.list_authenticators(conn, user.id)
        confirmed = [a for a in owned if a.confirmed_at and a.credential_id]
        assert len(confirmed) == 1 and base64url_to_bytes(str(confirmed[0].credential_id)) in ids


PASSKEY = "urn:okta:params:oauth:grant-type:webauthn"


def test_a_passkey_s_answer_counts_once(live: Live, cast: Cast) -> None:
    """By turns: a synced passkey, which has no counter, and one that counts; each answer sixteen times."""
    with live.server.db.write() as conn:
        options = cast.staff.options | {"authentication_methods": {"passkey": {"enabled": True}}}
        realms.update_realm(conn, cast.staff.id, options=options)
        clients.update_client(conn, "app", grant_types=(*cast.app.grant_types, PASSKEY))
    media_type = {"Content-Type": "application/json"}
    place = {"client_id": "app", "realm": "staff"}
    for number in range(ROUNDS):
        key = SecurityKey(origin=live.base, counter=number % 2, flags=UP | UV | (0 if number % 2 else BE))
        person = {"user_profile": {"email": f"passkey{number}@example.com"}}
        for path, body, answer in (("register", person, key.create), ("challenge", {}, key.get)):
            shown = live.post_json(f"/passkey/{path}", place | body).json
            response = answer(shown["authn_params_public_key"])
            sent = APP | {
                "grant_type": PASSKEY,
                "auth_session": shown["auth_session"],
                "authn_response": response,
            }
            request = raw_request("POST", "/oauth/token", live.host, json.dumps(sent).encode(), media_type)
            exactly_one(live.at_once([request] * AT_ONCE))
