"""Refresh tokens under retries, races and thieves: one successor a token, and what was ended stays ended."""

import random
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from app import accounts
from app.context import Context
from app.store import clients, users
from app.store.refresh_families import refresh_families
from app.store.users import User
from tests import making
from tests.databases import Templates
from tests.evidence import report, size
from tests.live import Answer, Live, _read, form_request, serving
from tests.making import APP_SECRET, MALLORY_SECRET, PASSWORD, Cast, now
from tests.races.load import (
    APP,
    each_left_one_event,
    events_after,
    last_event,
    login,
    password_request,
    refresh,
    token_request,
)

pytestmark = [pytest.mark.races, pytest.mark.timeout(3600)]

AT_ONCE = 16
UNDER_WAY = 8  # below the cap of wrong passwords, which the old one becomes
LEEWAY_SECONDS = 60
PATIENT = {"client_id": "patient", "client_secret": APP_SECRET}
"""A client with a leeway."""


@pytest.fixture(scope="module", autouse=True)
def patient(live: Live, cast: Cast) -> None:
    making.make_client(
        live.server,
        "patient",
        secret=APP_SECRET,
        realm_names=(cast.staff.name,),
        refresh_leeway_seconds=LEEWAY_SECONDS,
    )


@pytest.fixture
def somebody(live: Live, cast: Cast) -> Iterator[tuple[str, User]]:
    name = f"somebody{random.randrange(10**12)}@example.com"
    yield name, making.make_user(live.server, cast.staff, name)


def begin(live: Live, name: str, client: dict[str, str] = APP) -> dict[str, str]:
    """A login without an API: an opaque access token and a refresh token."""
    answer = login(live, name, scope="openid offline_access", **client)
    assert answer.status == 200, answer.text
    return dict(answer.json)


def refresh_request(live: Live, token: str, client: dict[str, str] = APP) -> bytes:
    members = {"grant_type": "refresh_token", "refresh_token": token} | client
    return form_request(live, "/oauth/token", members)


def revoke_request(live: Live, token: str, client: dict[str, str] = APP) -> bytes:
    return form_request(live, "/oauth/revoke", {"token": token} | client)


def successor(answer: Answer) -> str:
    assert answer.status == 200, answer.text
    return str(answer.json["refresh_token"])


def works(live: Live, access_token: str) -> bool:
    return live.get("/userinfo", access_token).status == 200


def rotated_longer_ago(live: Live, user: User, seconds: float) -> None:
    with live.server.db.write() as conn:
        mine = refresh_families.c.user_id == user.id
        conn.execute(
            update(refresh_families).where(mine).values(rotated_at=now() - timedelta(seconds=seconds))
        )


def revived(live: Live, user: User) -> None:
    with live.server.db.write() as conn:
        mine = refresh_families.c.user_id == user.id
        conn.execute(update(refresh_families).where(mine).values(revoked_at=None))


def context(live: Live) -> Context:
    return Context(live.server, now(), ip="", request_id="test")


# --- the leeway ----------------------------------------------------------------------------------------------------


def test_within_the_leeway_a_lost_answer_is_given_again(live: Live, somebody: tuple[str, User]) -> None:
    name, _ = somebody
    first = begin(live, name, PATIENT)["refresh_token"]
    second = successor(refresh(live, first, **PATIENT))
    assert [successor(refresh(live, first, **PATIENT)) for _ in range(3)] == [second] * 3
    third = successor(refresh(live, second, **PATIENT))
    assert successor(refresh(live, second, **PATIENT)) == third


def test_within_the_leeway_only_the_direct_parent_is_answered(live: Live, somebody: tuple[str, User]) -> None:
    name, _ = somebody
    first = begin(live, name, PATIENT)["refresh_token"]
    third = successor(refresh(live, successor(refresh(live, first, **PATIENT)), **PATIENT))
    assert refresh(live, first, **PATIENT).status == 403
    assert refresh(live, third, **PATIENT).status == 403, "the grandparent's return ended the family"


def test_after_the_leeway_a_repeated_token_ends_the_family_on_every_worker(
    live: Live, somebody: tuple[str, User]
) -> None:
    name, user = somebody
    tokens = begin(live, name, PATIENT)
    answer = refresh(live, tokens["refresh_token"], **PATIENT)
    newest = successor(answer)
    rotated_longer_ago(live, user, LEEWAY_SECONDS + 1)
    assert refresh(live, tokens["refresh_token"], **PATIENT).status == 403
    tries = live.at_once([refresh_request(live, newest, PATIENT)] * AT_ONCE)
    assert {try_.status for try_ in tries} == {403}
    assert not works(live, tokens["access_token"]) and not works(live, answer.json["access_token"])


def test_with_a_leeway_sixteen_at_once_get_one_successor(live: Live, cast: Cast) -> None:
    rounds = size(10, 500)
    making.make_user(live.server, cast.staff, "parallel@example.com")
    for _ in range(rounds):
        first = begin(live, "parallel@example.com", PATIENT)["refresh_token"]
        start = last_event(live)
        answers = live.at_once([refresh_request(live, first, PATIENT)] * AT_ONCE)
        assert {answer.status for answer in answers} == {200}
        successors = {successor(answer) for answer in answers}
        assert len(successors) == 1
        each_left_one_event(answers, events_after(live, start))
        assert refresh(live, successors.pop(), **PATIENT).status == 200
    report(
        "T23a refresh with leeway",
        tried=f"{rounds} rounds x {AT_ONCE}, 4 workers",
        held="one successor a round, and it works",
    )


# --- reuse ---------------------------------------------------------------------------------------------------------


def test_every_one_of_a_hundred_old_tokens_is_recognised(live: Live, somebody: tuple[str, User]) -> None:
    name, user = somebody
    chain = [begin(live, name)["refresh_token"]]
    for _ in range(100):
        chain.append(successor(refresh(live, chain[-1])))
    assert len(set(chain)) == len(chain)
    start = last_event(live)
    for old in chain[:-1]:
        assert refresh(live, old).status == 403
        revived(live, user)
    events = events_after(live, start)
    assert [event.type for event in events] == ["ferrt"] * (len(chain) - 1)
    last = successor(refresh(live, chain[-1]))
    assert refresh(live, chain[0]).status == 403
    assert refresh(live, last).status == 403, "the family is dead"
    report("T23d chain of rotations", tried="100 rotations, each old token again", held="each is reuse")


def test_a_forged_secret_of_a_known_family_is_refused(live: Live, somebody: tuple[str, User]) -> None:
    name, _ = somebody
    token = begin(live, name)["refresh_token"]
    for forged in (token[:-4] + "AAAA", token[:-1], token + "A", token.lower(), "v1." + token):
        assert refresh(live, forged).status == 403


def test_another_clients_token_is_unknown_and_unharmed(live: Live, somebody: tuple[str, User]) -> None:
    name, _ = somebody
    token = begin(live, name)["refresh_token"]
    mallory = {"client_id": "mallory", "client_secret": MALLORY_SECRET}
    strange = {"client_id": "phone-app", "client_secret": ""}
    for client in (mallory, strange, PATIENT):
        assert refresh(live, token, **client).status == 403
        assert live.send(revoke_request(live, token, client)).status == 200
    assert refresh(live, token).status == 200


# --- races with whatever ends access -------------------------------------------------------------------------------


@pytest.mark.parametrize("client", [APP, PATIENT], ids=["no leeway", "leeway"])
def test_after_a_revocation_is_acknowledged_nothing_works(
    live: Live, cast: Cast, client: dict[str, str]
) -> None:
    rounds = size(25, 300)
    name = f"revoked-{client['client_id']}@example.com"
    making.make_user(live.server, cast.staff, name)
    for _ in range(rounds):
        tokens = begin(live, name, client)
        refresh_tokens, access_tokens = {tokens["refresh_token"]}, {tokens["access_token"]}
        if client is PATIENT:  # those that come are repetitions within the leeway
            answer = refresh(live, tokens["refresh_token"], **client)
            refresh_tokens.add(successor(answer))
            access_tokens.add(answer.json["access_token"])
        requests = [refresh_request(live, tokens["refresh_token"], client)] * 8
        requests.append(revoke_request(live, tokens["refresh_token"], client))
        random.shuffle(requests)
        for answer in live.at_once(requests):
            assert answer.status in (200, 403)
            if answer.status == 200 and answer.text:
                refresh_tokens.add(successor(answer))
                access_tokens.add(answer.json["access_token"])
        assert {refresh(live, token, **client).status for token in refresh_tokens} == {403}
        assert not [token for token in access_tokens if works(live, token)]
    report(
        f"T23e refresh against revocation ({client['client_id']})",
        tried=f"{rounds} rounds x 8 and one revocation",
        held="no token of the family works afterwards",
    )


def test_a_reuse_leaves_no_access_token_alive(live: Live, cast: Cast) -> None:
    rounds = size(15, 300)
    making.make_user(live.server, cast.staff, "reused@example.com")
    for _ in range(rounds):
        tokens = begin(live, "reused@example.com")
        answers = live.at_once([refresh_request(live, tokens["refresh_token"])] * AT_ONCE)
        winners = [answer for answer in answers if answer.status == 200]
        assert len(winners) == 1
        assert refresh(live, successor(winners[0])).status == 403
        issued = [tokens["access_token"], *(winner.json["access_token"] for winner in winners)]
        assert not [token for token in issued if works(live, token)]
    report(
        "T23a refresh without leeway", tried=f"{rounds} rounds x {AT_ONCE}", held="one winner, family dead"
    )


def test_a_changed_password_ends_every_login_made_with_the_old_one(live: Live, cast: Cast) -> None:
    """Those included that were under way."""
    rounds = size(20, 200)
    survivors = 0
    for number in range(rounds):
        name = f"changes{number}@example.com"
        user = making.make_user(live.server, cast.staff, name)
        kept = begin(live, name)
        new_hash = accounts.hash_new_password(live.server, "an entirely new password")
        requests = [password_request(live, name, PASSWORD, scope="openid offline_access")] * UNDER_WAY
        answers = changing_meanwhile(live, requests, user, new_hash)
        assert {answer.status for answer in answers} <= {200, 403}
        issued = [kept, *(answer.json for answer in answers if answer.status == 200)]
        survivors += sum(refresh(live, tokens["refresh_token"]).status == 200 for tokens in issued)
    assert survivors == 0
    report(
        "T23g changed password",
        tried=f"{rounds} changes, {UNDER_WAY} logins under way",
        held="no refresh token of the old password works",
    )


def changing_meanwhile(live: Live, requests: list[bytes], user: User, new_hash: str) -> list[Answer]:
    """The password is changed when some of the requests have been answered and some have not."""
    socks = [live.connect() for _ in requests]
    for sock, request in zip(socks, requests, strict=True):
        sock.sendall(request)
    with live.server.db.write() as conn:
        accounts.set_password(conn, context(live), user, new_hash)
    answers = [_read(sock, time.perf_counter()) for sock in socks]
    for sock in socks:
        sock.close()
    return answers


@pytest.mark.parametrize("what", ["blocked", "deleted", "reset", "client"])
def test_whoever_is_cut_off_refreshes_no_more(live: Live, cast: Cast, what: str) -> None:
    name = f"cut-off-{what}@example.com"
    user = making.make_user(live.server, cast.staff, name)
    client = {"client_id": f"client-{what}", "client_secret": APP_SECRET}
    making.make_client(live.server, client["client_id"], secret=APP_SECRET, realm_names=(cast.staff.name,))
    tokens = begin(live, name, client)
    with live.server.db.write() as conn:
        if what == "blocked":
            accounts.set_blocked(conn, context(live), user, True)
        elif what == "deleted":
            accounts.remove_user(conn, context(live), user)
        elif what == "reset":
            accounts.reset_factors(conn, context(live), user)
        else:
            clients.update_client(conn, client["client_id"], is_enabled=False)
    requests = [refresh_request(live, tokens["refresh_token"], client)] * AT_ONCE
    assert {answer.status for answer in live.at_once(requests)} <= {401, 403}
    assert not works(live, tokens["access_token"])
    with live.server.db.write() as conn:  # coming back revives nothing that was ended
        users.update_user(conn, user.id, is_blocked=False)
        clients.update_client(conn, client["client_id"], is_enabled=True)
    if what != "client":
        assert refresh(live, tokens["refresh_token"], **client).status == 403


def test_a_family_outlives_a_restart(live: Live, templates: Templates, tmp_path: Path) -> None:
    kind = "sqlite" if live.server.db.is_sqlite else "postgresql"
    with serving(templates, kind, tmp_path, workers=1) as before:
        making.make_cast(before.server)
        url, issuer = before.server.settings.database_url, before.server.settings.public_url
        first = begin(before, "bob@example.com")["refresh_token"]
        second = successor(refresh(before, first))
    with serving(templates, kind, tmp_path, workers=1, url=url, BELAY_PUBLIC_URL=issuer) as after:
        third = successor(refresh(after, second))
        assert refresh(after, second).status == 403
        assert refresh(after, third).status == 403, "reuse is recognised across the restart"


def test_a_scope_shrinks_and_never_grows(live: Live, somebody: tuple[str, User]) -> None:
    name, _ = somebody
    answer = login(live, name, scope="openid email offline_access")
    less = live.send(
        token_request(
            live,
            grant_type="refresh_token",
            refresh_token=successor(answer),
            scope="openid profile phone read:things",
        )
    )
    assert less.status == 200 and set(less.json["scope"].split()) == {"openid"}
    more = live.send(token_request(live, grant_type="refresh_token", refresh_token=successor(less)))
    assert set(more.json["scope"].split()) == {"openid", "email", "offline_access"}
