"""A login that waits for its turn to hash is overtaken: what changed in the meantime wins."""

import fcntl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection

from app import accounts
from app.accounts.policies import mode_only
from app.context import Context
from app.store import clients, realms
from app.store.attempts import password_attempts
from tests import making
from tests.databases import KINDS, Templates
from tests.live import Answer, Live, serving
from tests.making import APP_SECRET, PASSWORD, Cast

pytestmark = pytest.mark.races


@pytest.fixture(scope="module", params=KINDS)
def live(
    request: pytest.FixtureRequest, templates: Templates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live]:
    with serving(templates, request.param, tmp_path_factory.mktemp("overtaken"), workers=2) as found:
        yield found


@pytest.fixture(scope="module")
def cast(live: Live) -> Cast:
    return making.make_cast(live.server)


@contextmanager
def no_turn_to_hash(live: Live) -> Iterator[None]:
    """Hold every slot of the gate, as other processes that hash would."""
    slots = [slot.open("rb+") for slot in sorted((live.server.settings.instance / "gate").glob("slot-*"))]
    for slot in slots:
        fcntl.flock(slot, fcntl.LOCK_EX)
    try:
        yield
    finally:
        for slot in slots:
            slot.close()


def overtaken(live: Live, members: dict[str, str], change: Callable[[Connection, Context], None]) -> Answer:
    """Send a login, make the change while it waits, let it go on."""
    live.post("/oauth/token", **(members | {"username": "nobody"}))  # the workers have opened their slots
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(live.post("/oauth/token", **members)))
    with no_turn_to_hash(live):
        thread.start()
        wait_for_attempt(live)
        ctx = Context(live.server, datetime.now(UTC), ip="")
        with live.server.db.write() as conn:
            change(conn, ctx)
    thread.join()
    return answers[0]


def wait_for_attempt(live: Live) -> None:
    for _ in range(2000):
        with live.server.db.read() as conn:
            if any(row.pending for row in conn.execute(password_attempts.select())):
                return
        threading.Event().wait(0.005)
    raise TimeoutError("the login did not begin")


def login(email: str, client_id: str = "app") -> dict[str, str]:
    members = {
        "grant_type": "password",
        "username": email,
        "password": PASSWORD,
        "scope": "openid offline_access",
    }
    return members | {"client_id": client_id, "client_secret": APP_SECRET}


def test_a_new_password_wins_over_a_login_with_the_old_one(live: Live, cast: Cast) -> None:
    user = making.make_user(live.server, cast.staff, "changed@example.com")
    new_hash = accounts.hash_new_password(live.server, "a new password")
    answer = overtaken(
        live, login("changed@example.com"), lambda c, x: accounts.set_password(c, x, user, new_hash)
    )
    assert (answer.status, answer.json["error"]) == (403, "invalid_grant")


def test_a_block_wins(live: Live, cast: Cast) -> None:
    user = making.make_user(live.server, cast.staff, "blocked@example.com")
    answer = overtaken(
        live, login("blocked@example.com"), lambda c, x: accounts.set_blocked(c, x, user, True)
    )
    assert (answer.status, answer.json["error"]) == (403, "invalid_grant")


def test_a_person_deleted_meanwhile_gets_nothing(live: Live, cast: Cast) -> None:
    user = making.make_user(live.server, cast.staff, "deleted@example.com")
    answer = overtaken(live, login("deleted@example.com"), lambda c, x: accounts.remove_user(c, x, user))
    assert (answer.status, answer.json["error"]) == (403, "invalid_grant")


def test_a_client_deleted_meanwhile_gets_nothing(live: Live, cast: Cast) -> None:
    making.make_user(live.server, cast.staff, "clientless@example.com")
    making.make_client(live.server, "short-lived", secret=APP_SECRET, realm_names=("staff",))
    members = login("clientless@example.com", "short-lived")
    answer = overtaken(live, members, lambda c, _: clients.remove_client(c, "short-lived"))
    assert 400 <= answer.status < 500, answer.text


def test_a_stricter_policy_holds_at_the_next_step(live: Live, cast: Cast) -> None:
    making.make_user(live.server, cast.staff, "stricter@example.com")
    token = live.post("/oauth/token", **login("stricter@example.com")).json["refresh_token"]
    with live.server.db.write() as conn:
        realms.update_realm(conn, cast.staff.id, mfa_policy=mode_only("always"))
    refreshed = live.post(
        "/oauth/token",
        grant_type="refresh_token",
        refresh_token=token,
        client_id="app",
        client_secret=APP_SECRET,
    )
    with live.server.db.write() as conn:
        realms.update_realm(conn, cast.staff.id, mfa_policy=mode_only("when_enrolled"))
    assert refreshed.json["error"] == "mfa_required"
