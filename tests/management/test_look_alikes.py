"""Nobody takes an identifier that looks like somebody else's, by whatever way people are made (T35)."""

import contextlib
import random
import string
import threading
from collections.abc import Iterator
from functools import cache

import pytest
from sqlalchemy import text

from app import accounts
from app.accounts.people import LOOKS_TAKEN, TAKEN
from app.context import Context, Server
from app.errors import Conflict
from app.identifiers import look_alike, normal_key, skeleton
from app.store.realms import Realm
from app.store.users import User, find_user_by_key
from tests import making
from tests.evidence import report, size
from tests.making import Cast
from tests.management.conftest import Admin, refused
from tests.wire import Wire
from tests.wire import refused as refused_login

FIRST, SECOND = "The first one's passw0rd", "The second one's passw0rd"
UNSEEN = "\u034f\ufe0f\U000e0100"
PAIRS = size(100, 500)
FAILURES = 10  # after which a name is blocked


@cache
def alike() -> dict[str, list[str]]:
    """For each letter: the characters that look like it and may stand in an address."""
    found: dict[str, list[str]] = {c: [] for c in string.ascii_lowercase}
    by_skeleton = {skeleton(c): c for c in found}
    for number in range(0x80, 0x110000):
        c = chr(number)
        letter = by_skeleton.get(skeleton(c)) if not 0xD800 <= number < 0xE000 else None
        if letter and normal_key(f"{c}@example.com") == f"{c}@example.com":
            found[letter].append(c)
    return {letter: others for letter, others in found.items() if others}


def pairs(count: int) -> Iterator[tuple[str, str]]:
    """Addresses that look alike: a letter or all of another script, something unseen, either side first."""
    chance = random.Random(39)
    letters = sorted(alike())
    for number in range(count):
        local = [chance.choice(letters) for _ in range(8)]

        def swapped(of: list[str], how_many: int) -> str:
            places = chance.sample(range(8), how_many)
            return "".join(chance.choice(alike()[c]) if at in places else c for at, c in enumerate(of))

        plain = "".join(local)
        one, other = [
            (plain, swapped(local, 1)),
            (plain, swapped(local, 8)),
            (swapped(local, 1), plain),
            (swapped(local, 4), swapped(local, 5)),
            (plain, plain[:4] + chance.choice(UNSEEN) + plain[4:]),
        ][number % 5]
        yield f"{one}@example.com", f"{other}@example.com"


def new(email: str, password: str = SECOND) -> dict[str, str]:
    return {"connection": "staff", "email": email, "password": password}


@pytest.mark.slow
def test_of_two_who_look_alike_the_first_is_the_only_one(admin: Admin, wire: Wire) -> None:
    making.loosen_limits(wire.server)
    tried = 0
    for one, other in pairs(PAIRS):
        made = admin.post("/users", new(one, FIRST))
        answer = admin.ask("POST", "/users", new(other))
        refused(answer, 409, "auth0_idp_error", LOOKS_TAKEN)
        assert one not in answer.text and made["user_id"] not in answer.text
        assert [found["user_id"] for found in admin.get("/users-by-email", email=one)] == [made["user_id"]]
        assert admin.get("/users-by-email", email=other) == []
        for number in range(FAILURES):
            refused_login(wire.password(other, (FIRST, SECOND)[number % 2]), 403, "invalid_grant")
        refused_login(wire.password(other, FIRST), 429, "too_many_attempts")
        token = wire.ok(wire.password(one, FIRST, scope="openid"))["access_token"]
        assert wire.ok(wire.get("/userinfo", token))["sub"] == made["user_id"]
        tried += 1
    held = "0 second ones made, 0 logins as another, 0 counted for the first"
    report("look-alikes at creation", tried=f"{tried} pairs", held=held)


# --- the rule ------------------------------------------------------------------------------------------------------


def create(server: Server, realm: Realm, email: str, **profile: str) -> User:
    ctx = Context(server, making.now(), ip="")
    user = accounts.new_user(realm, ctx.now, email=email, **profile)
    with server.db.write() as conn:
        return accounts.create_user(conn, ctx, user, None)


def change(server: Server, user: User, **changed: str) -> User:
    ctx = Context(server, making.now(), ip="")
    with server.db.write() as conn:
        return accounts.update_user(conn, ctx, user, **changed)


@contextlib.contextmanager
def refusal(description: str) -> Iterator[None]:
    with pytest.raises(Conflict) as told:
        yield
    assert told.value.description == description


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("alina", "\u0430lina"),
        ("paypa", "\u0440\u0430\u0443\u0440\u0430"),
        ("fiona", "\ufb01ona"),
        ("\u03bfmar", "\u043emar"),
        ("\u0440\u0430\u0443\u0440\u0430l", "p\u0430ypal"),
    ],
)
def test_either_is_refused_beside_the_other(server: Server, cast: Cast, one: str, other: str) -> None:
    for number, (first, second) in enumerate(((one, other), (other, one))):
        domain = f"d{number}.example"
        create(server, cast.staff, f"{first}@{domain}")
        with refusal(LOOKS_TAKEN):
            create(server, cast.staff, f"{second}@{domain}")


def test_a_username_is_no_way_round(server: Server, cast: Cast) -> None:
    for username in ("\u0430lice", "al\u0456ce"):
        with refusal(LOOKS_TAKEN):
            create(server, cast.staff, "new@example.com", username=username)
    create(server, cast.staff, "new@example.com", username="alicia")


def test_nobody_changes_into_a_look_alike(server: Server, cast: Cast) -> None:
    before = making.reload_user(server, cast.bob)
    with refusal(LOOKS_TAKEN):
        change(server, cast.bob, email="\u0430lice@example.com")
    with refusal(LOOKS_TAKEN):
        change(server, cast.bob, username="\u0430lice")
    assert making.reload_user(server, cast.bob) == before


def test_a_person_may_spell_their_own_name_otherwise(server: Server, cast: Cast) -> None:
    user = create(server, cast.staff, "marie@example.com", username="mari\u00e9")
    for email in (
        "MARIE@example.com",
        "m\u0430rie@example.com",
        "\uff4darie@example.com",
        "marie@example.com",
    ):
        user = change(server, user, email=email)
        assert making.reload_user(server, user).email == email
    change(server, user, username="m\u0430rie")


def test_what_is_the_same_is_taken_and_not_alike(server: Server, cast: Cast) -> None:
    create(server, cast.staff, "jos\u00e9@example.com")
    with refusal(TAKEN):
        create(server, cast.staff, "JOSE\u0301@example.com")


def test_plain_ascii_beside_plain_ascii_is_allowed(server: Server, cast: Cast) -> None:
    for name in ("bob1", "bobl", "corn", "com", "c0rn"):
        create(server, cast.staff, f"{name}@example.com", username=name)


def test_other_realms_are_others(server: Server, cast: Cast) -> None:
    create(server, cast.guests, "b\u043eb@example.com")
    create(server, cast.staff, "dora@example.com")
    create(server, cast.guests, "d\u043era@example.com")


def test_an_identifier_that_is_seen_longer_is_stored(server: Server, cast: Cast) -> None:
    for character in ("\ufdfa", "\uaf66", "\u4e36", "\U0001d510"):
        create(server, cast.staff, f"{character * 240}@example.com")


def test_the_next_one_is_refused_when_the_first_is_gone_only(server: Server, cast: Cast) -> None:
    user = create(server, cast.staff, "dora@example.com")
    with refusal(LOOKS_TAKEN):
        create(server, cast.staff, "d\u043era@example.com")
    change(server, user, email="dorothea@example.com")
    create(server, cast.staff, "d\u043era@example.com")
    with refusal(LOOKS_TAKEN):
        change(server, making.reload_user(server, user), email="dora@example.com")


# --- from before ---------------------------------------------------------------------------------------------------


def make_from_before(server: Server, realm: Realm, email: str, password: str) -> User:
    """Somebody who had the address before there was the rule."""
    user = making.make_user(server, realm, "somebody@example.com", password)
    values = {"id": user.id, "email": email, "skeleton": skeleton(email)}
    with server.db.write() as conn:
        conn.execute(text("UPDATE users SET email = :email WHERE id = :id"), values)
        conn.execute(
            text("UPDATE identifiers SET key = :email, skeleton = :skeleton WHERE user_id = :id"), values
        )
    return making.reload_user(server, user)


def test_two_from_before_are_two_and_stay(admin: Admin, wire: Wire, server: Server, cast: Cast) -> None:
    """A login looks for the key and never for the skeleton."""
    for name, other in (("fiona", "\ufb01ona"), ("paul", "p\u0430ul")):
        addresses = f"{name}@example.com", f"{other}@example.com"
        assert look_alike(*addresses)
        first = making.make_user(server, cast.staff, addresses[0], FIRST)
        people = first, make_from_before(server, cast.staff, addresses[1], SECOND)
        for user, address, own, wrong in zip(
            people, addresses, (FIRST, SECOND), (SECOND, FIRST), strict=True
        ):
            refused_login(wire.password(address, wrong), 403, "invalid_grant", "Wrong email or password.")
            token = wire.ok(wire.password(address, own, scope="openid"))["access_token"]
            assert wire.ok(wire.get("/userinfo", token))["sub"] == user.id
            assert [f["user_id"] for f in admin.get("/users-by-email", email=address)] == [user.id]
            changed = change(server, making.reload_user(server, user), username=f"number-{user.id[-6:]}")
            assert changed.email == address


def test_failures_of_look_alikes_are_counted_apart(wire: Wire, server: Server, cast: Cast) -> None:
    making.make_user(server, cast.staff, "paul@example.com", FIRST)
    make_from_before(server, cast.staff, "p\u0430ul@example.com", SECOND)
    for name in ("p\u0430ul", "n\u043ebody"):
        for _ in range(FAILURES):
            refused_login(wire.password(f"{name}@example.com", "wrong password"), 403, "invalid_grant")
        refused_login(wire.password(f"{name}@example.com", SECOND), 429, "too_many_attempts")
    wire.ok(wire.password("paul@example.com", FIRST))
    refused_login(wire.password("nobody@example.com", FIRST), 403, "invalid_grant")


# --- at once -------------------------------------------------------------------------------------------------------


def test_of_two_at_once_one_is_refused(server: Server, cast: Cast) -> None:
    """Each has looked before the other commits, if they were let."""
    for one, other in pairs(size(3, 30)):
        ready, looked = threading.Barrier(2), threading.Barrier(2)
        outcomes: dict[str, str] = {}

        def run(
            email: str, ready: threading.Barrier, looked: threading.Barrier, found: dict[str, str]
        ) -> None:
            ctx = Context(server, making.now(), ip="")
            user = accounts.new_user(cast.staff, ctx.now, email=email)
            ready.wait(10)
            try:
                with server.db.write() as conn:
                    accounts.create_user(conn, ctx, user, None)
                    with contextlib.suppress(threading.BrokenBarrierError):
                        looked.wait(0.3)
                found[email] = "made"
            except Conflict as error:
                found[email] = str(error.description)

        threads = [threading.Thread(target=run, args=(who, ready, looked, outcomes)) for who in (one, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes.values()) == sorted(["made", LOOKS_TAKEN])
        with server.db.read() as conn:
            there = [find_user_by_key(conn, cast.staff.id, email) is not None for email in (one, other)]
        assert sorted(there) == [False, True]
