"""Logins in a realm in blind mode: without the second factor nobody learns whether the password was right."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory
from sqlalchemy import event, func, select
from werkzeug.test import TestResponse

from app import accounts, upkeep
from app.context import Context, Server
from app.guards.brute_force import CAP
from app.guards.second_factor import BUCKET_SIZE
from app.store import prune, realms
from app.store.transactions import OPEN_LIMIT, transactions
from tests import making
from tests.making import PASSWORD, Cast
from tests.wire import Wire, code_of, refused, told

BLIND: dict[str, Any] = {"blind": True, "factors": {"allowed": ["otp", "recovery-code"]}}
VARYING = {"date", "x-request-id", "x-ratelimit-reset"}
TRIED = {
    "right": ("alice@example.com", PASSWORD),
    "wrong": ("alice@example.com", "wrong"),
    "wrong, no factor": ("bob@example.com", "wrong"),
    "unknown": ("nobody@example.com", "wrong"),
    "too long": ("n" * 300, "wrong"),
}


@pytest.fixture(autouse=True)
def blind(server: Server, cast: Cast) -> None:
    making.set_policy(server, cast.staff, {"mode": "when_enrolled"} | BLIND)


def canonical(answer: TestResponse) -> tuple[object, ...]:
    """All that a client sees but what is new in each answer; of an `mfa_token` its length."""
    headers = {name: text for name, text in answer.headers.items() if name.lower() not in VARYING}
    text = told(answer)
    token = (answer.json or {}).get("mfa_token") if isinstance(answer.json, dict) else None
    return answer.status_code, tuple(sorted(headers.items())), text.replace(token or "\0", "")


def tokens_of(wire: Wire) -> Mapping[str, str]:
    return {who: wire.mfa_token(*asked) for who, asked in TRIED.items()}


def one(answers: list[TestResponse]) -> TestResponse:
    """The one answer that all of them are."""
    assert len({canonical(answer) for answer in answers}) == 1, [answer.text for answer in answers]
    return answers[0]


def test_right_wrong_and_unknown_are_one_answer(wire: Wire) -> None:
    answers = [wire.password(*asked) for asked in TRIED.values()]
    refused(one(answers), 403, "mfa_required", "Multifactor authentication required")
    tokens = [answer.json["mfa_token"] for answer in answers if answer.json]
    assert {len(token) for token in tokens} == {43} and len(set(tokens)) == len(TRIED)
    assert {tuple(answer.json) for answer in answers if answer.json} == {
        ("error", "error_description", "mfa_token", "error_id")
    }


def test_each_second_step_of_a_decoy_ends_like_a_wrong_code(wire: Wire) -> None:
    tokens = tokens_of(wire).values()
    refused(one([wire.otp(t, "000000") for t in tokens]), 403, "invalid_grant", "Invalid otp_code.")
    refused(one([wire.otp(t, "words") for t in tokens]), 403, "invalid_grant", "Invalid otp_code.")
    answers = [wire.recovery(t, "A" * 24) for t in tokens]
    refused(one(answers), 403, "invalid_grant", "MFA Authorization rejected.")
    answers = [wire.oob(t, "none", binding_code="000000") for t in tokens]
    refused(one(answers), 403, "invalid_grant", "Malformed oob_code")
    one([wire.webauthn(t, {"id": "x"}) for t in tokens])
    answers = [wire.otp(t, "000000", client_id="phone-app", client_secret="") for t in tokens]
    refused(one(answers), 400, "invalid_request", "mfa_token not issued to this client")


def test_the_other_endpoints_show_an_authenticator_app_to_everybody(wire: Wire) -> None:
    tokens = tokens_of(wire)
    for types in ({}, {"challenge_type": "otp"}, {"challenge_type": "otp oob"}):
        assert one([wire.challenge(t, **types) for t in tokens.values()]).json == {"challenge_type": "otp"}
    refused(
        one([wire.challenge(t, challenge_type="oob") for t in tokens.values()]),
        401,
        "unsupported_challenge_type",
    )
    one([wire.challenge(t, authenticator_id="totp|dev_none") for t in tokens.values()])
    refused(
        one([wire.associate(t) for t in tokens.values()]), 403, "access_denied", "User is already enrolled."
    )
    one([wire.delete("totp|dev_none", t) for t in tokens.values()])
    lists = {who: wire.ok_list(wire.get("/mfa/authenticators", t)) for who, t in tokens.items()}
    assert lists["right"] == lists["wrong"] != lists["unknown"]  # stable for one name
    for who, [shown] in lists.items():
        assert sorted(shown) == ["active", "authenticator_type", "id", "type"], who
        assert len(shown["id"]) == len("totp|dev_") + 16
        assert wire.challenge(tokens[who], authenticator_id=shown["id"]).status_code == 200


def test_the_owner_logs_in_as_ever(wire: Wire, cast: Cast, clock: FrozenDateTimeFactory) -> None:
    for _ in range(CAP + 2):  # more often than a wrong password could be tried
        clock.tick(30)
        wire.mfa_token(password="wrong")
        tokens = wire.ok(wire.otp(wire.mfa_token(), code_of(cast.alice_totp)))
        assert tokens["access_token"]
    assert wire.ok(wire.password("bob@example.com"))["access_token"]  # the policy asks nothing of Bob


def test_the_recovery_code_completes_a_login_too(wire: Wire, cast: Cast) -> None:
    code = cast.alice_recovery
    assert wire.ok(wire.recovery(wire.mfa_token(), code))["recovery_code"] != code


def test_who_must_enrol_first_is_told_so(wire: Wire, cast: Cast, server: Server) -> None:
    making.set_policy(server, cast.staff, {"mode": "always"} | BLIND)
    answer = wire.password("bob@example.com")
    assert answer.json is not None and answer.json["mfa_requirements"] == {"enroll": [{"type": "otp"}]}
    assert wire.associate(answer.json["mfa_token"]).status_code == 200


def test_right_passwords_count_like_wrong_ones_until_a_factor_is_proven(wire: Wire) -> None:
    """Else the number of tries until the block would tell which of them was right."""
    statuses = {
        who: [wire.password(name, tried).status_code for tried in (*["wrong"] * 4, password, *["wrong"] * 7)]
        for who, (name, password) in TRIED.items()
        if who != "wrong"
    }
    assert set(map(tuple, statuses.values())) == {(403,) * CAP + (429,) * 2}, statuses


def test_guesses_at_a_decoy_are_limited_like_others(wire: Wire) -> None:
    for who in ("right", "unknown"):
        answers = [wire.otp(wire.mfa_token(*TRIED[who]), "000000") for _ in range(4)]
        answers += [wire.otp(wire.mfa_token(TRIED[who][0], "wrong"), "000000") for _ in range(4)]
        token = wire.mfa_token(*TRIED[who])
        answers += [wire.otp(token, "000000") for _ in range(BUCKET_SIZE - 7)]
        assert [a.status_code for a in answers] == [403] * BUCKET_SIZE + [429], who


def test_strangers_use_up_nothing_of_the_owner(wire: Wire, cast: Cast, server: Server) -> None:
    ours = wire.mfa_token()
    stranger = Wire(server)
    stranger.client.environ_base["REMOTE_ADDR"] = "203.0.113.9"
    for _ in range(CAP):
        decoy = stranger.mfa_token(password="wrong")
    for _ in range(BUCKET_SIZE):
        refused(stranger.otp(decoy, "000000"), 403, "invalid_grant")
    refused(stranger.otp(decoy, "000000"), 429, "invalid_request")
    assert wire.ok(wire.otp(ours, code_of(cast.alice_totp)))


def test_over_the_owners_own_limit_a_code_is_wrong_and_the_log_says_why(
    wire: Wire, cast: Cast, server: Server
) -> None:
    for number in range(3):  # from addresses of their own, so that only the person's limit is reached
        wire.client.environ_base["REMOTE_ADDR"] = f"203.0.113.{number}"
        token = wire.mfa_token()
        for _ in range(4):
            refused(wire.otp(token, "000000"), 403, "invalid_grant", "Invalid otp_code.")
    refused(wire.otp(token, code_of(cast.alice_totp)), 403, "invalid_grant", "Invalid otp_code.")
    assert [e.reason for e in wire.events() if e.type == "feotpft"][-1] == "guess_limit"
    assert len(wire.messages()) == 1  # the owner is told, once a day


def test_events_tell_the_administrator_the_truth(wire: Wire, cast: Cast) -> None:
    tokens = tokens_of(wire)
    for who in ("right", "wrong", "unknown"):
        wire.otp(tokens[who], "000000")
    found = [(e.type, e.reason, e.user_id) for e in wire.events()]
    assert [(type, user) for type, _, user in found[: len(TRIED)]] == [
        ("mfar", cast.alice.id),
        ("fp", cast.alice.id),
        ("fp", cast.bob.id),
        ("fu", None),
        ("fu", None),
    ]
    assert found[len(TRIED) :] == [
        ("feotpft", "wrong_code", cast.alice.id),
        ("feotpft", "blind_token", None),
        ("feotpft", "blind_token", None),
    ]
    logins = [e.details["login"] for e in wire.events()]
    assert logins[5:] == [logins[0], logins[1], logins[3]]  # which guess belongs to which password


def test_rows_of_strangers_are_bounded_and_run_out(
    wire: Wire, server: Server, cast: Cast, clock: FrozenDateTimeFactory
) -> None:
    with server.db.write() as conn:
        realms.update_realm(conn, cast.staff.id, has_brute_force_protection=False)
    oldest = wire.mfa_token("nobody@example.com", "wrong")
    for _ in range(OPEN_LIMIT):
        clock.tick(1)
        token = wire.mfa_token("nobody@example.com", "wrong")
    with server.db.read() as conn:
        assert conn.execute(select(func.count()).select_from(transactions)).scalar_one() == OPEN_LIMIT
    refused(wire.otp(oldest, "000000"), 403, "invalid_grant", "Malformed mfa_token")
    clock.tick(601)
    refused(wire.otp(token, "000000"), 403, "expired_token", "mfa_token is expired")


def test_rows_of_invented_names_are_bounded_and_right_ones_fall_out_like_them(
    wire: Wire, server: Server, cast: Cast, clock: FrozenDateTimeFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune, "VEILED_LIMIT", 6)

    def kept() -> int:
        upkeep.prune_all(server, making.now())
        with server.db.read() as conn:
            return int(conn.execute(select(func.count()).select_from(transactions)).scalar_one())

    ours, decoy = wire.mfa_token(), wire.mfa_token(password="wrong")
    for number in range(8):
        clock.tick(1)
        newest = wire.mfa_token(f"invented{number}@example.com", "wrong")
    assert kept() == 10, "whoever types a code at once is not pushed out"
    clock.tick(121)
    assert kept() == 6
    refused(one([wire.otp(t, "000000") for t in (ours, decoy)]), 403, "invalid_grant", "Malformed mfa_token")
    refused(wire.otp(newest, "000000"), 403, "invalid_grant", "Invalid otp_code.")
    clock.tick(600)
    refused(wire.otp(newest, "000000"), 403, "expired_token", "mfa_token is expired")
    clock.tick(601)
    assert kept() == 0


def test_a_login_that_an_administrator_ends_goes_on_as_a_decoy(
    wire: Wire, cast: Cast, server: Server
) -> None:
    token = wire.mfa_token()
    with server.db.write() as conn:
        accounts.set_blocked(conn, Context(server, making.now(), ip=""), cast.alice, True)
    refused(wire.otp(token, code_of(cast.alice_totp)), 403, "invalid_grant", "Invalid otp_code.")
    assert wire.challenge(token).status_code == 200


def test_nothing_is_hidden_where_the_realm_asks_nobody_for_a_factor(
    wire: Wire, cast: Cast, server: Server
) -> None:
    making.set_policy(server, cast.staff, {"mode": "when_enrolled", "factors": BLIND["factors"]})
    refused(wire.password(password="wrong"), 403, "invalid_grant", "Wrong email or password.")


def test_the_work_is_the_same_for_everybody(wire: Wire, server: Server) -> None:
    """Statements and commits of each step; the time is compared in tests/races."""
    done: list[str] = []
    event.listen(server.db.engine, "before_cursor_execute", lambda c, k, text, *_: done.append(text))
    event.listen(server.db.engine, "commit", lambda c: done.append("COMMIT"))

    def work_of(step: Callable[[], TestResponse]) -> tuple[str, ...]:
        done.clear()
        step()
        return tuple(" ".join(text.split()[:3]) for text in done)

    works: dict[str, dict[str, tuple[str, ...]]] = {}
    for who, (name, password) in TRIED.items():
        token = wire.mfa_token(name, password)
        wire.otp(token, "000000")  # what is made once is made
        works[who] = {
            "password": work_of(lambda: wire.password(name, password)),  # noqa: B023
            "otp": work_of(lambda: wire.otp(token, "000000")),  # noqa: B023
            "challenge": work_of(lambda: wire.challenge(token)),  # noqa: B023
            "list": work_of(lambda: wire.get("/mfa/authenticators", token)),  # noqa: B023
        }
    for step in works["right"]:
        counts = {who: len(work[step]) for who, work in works.items()}
        assert len(set(counts.values())) == 1, (step, works["right"][step], works["unknown"][step])
        commits = {who: work[step].count("COMMIT") for who, work in works.items()}
        assert len(set(commits.values())) == 1, step
