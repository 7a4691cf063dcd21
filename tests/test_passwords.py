"""A password opens when it is exactly the same one, however long it is and whichever keyboard typed it (T35, T37)."""

import unicodedata
from pathlib import Path
from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import accounts
from app.accounts import NotPossible
from app.context import Server
from app.gate import Gate
from app.passwords import MAX_CHARACTERS, Passwords, PasswordUnusable, normal_form
from app.store import realms
from tests import making
from tests.evidence import report, size
from tests.making import Cast
from tests.wire import Wire, refused


@pytest.fixture
def passwords(tmp_path: Path) -> Passwords:
    return Passwords(Gate(tmp_path, 1, 30, 100), memory_kib=8, passes=1, lanes=1)


@pytest.fixture
def staff(server: Server, cast: Cast) -> Cast:
    """Nobody in it is ever blocked, so that each guess is answered for itself."""
    with server.db.write() as conn:
        realms.update_realm(conn, cast.staff.id, has_brute_force_protection=False)
    making.loosen_limits(server)
    return cast


def wrong(wire: Wire, username: str, password: str) -> None:
    refused(wire.password(username, password), 403, "invalid_grant", "Wrong email or password.")


# --- length --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "c", ["a", "\u00e9", "\u20ac", "\U0001f511"], ids=["1 byte", "2 bytes", "3 bytes", "4 bytes"]
)
def test_every_character_of_every_length_counts(passwords: Passwords, c: str) -> None:
    for length in range(1, MAX_CHARACTERS + 1):
        password = c * length
        stored = passwords.hash(password)
        assert passwords.verify(password, stored).is_right
        for other in (password[:-1], password + c, password[:-1] + "b", "b" + password[1:], password + "\0"):
            assert not passwords.verify(other, stored).is_right, (length, len(other))
    report(
        f"password lengths, {len(c.encode())} bytes a character",
        tried=f"{MAX_CHARACTERS} x 6",
        held="exact match only",
    )


@pytest.mark.parametrize("length", [MAX_CHARACTERS + 1, 300, 1023, 1024, 1025, 10_000, 2**20])
def test_too_long_is_refused_and_never_cut(passwords: Passwords, length: int) -> None:
    password = "a" * length
    with pytest.raises(PasswordUnusable):
        passwords.hash(password)
    for kept in (8, 72, 128, 255, MAX_CHARACTERS):
        assert not passwords.verify(password, passwords.hash(password[:kept])).is_right


@pytest.mark.parametrize("same", [55, 56, 64, 71, 72, 73, 127, 128, 254, 255])
def test_what_differs_late_differs(passwords: Passwords, same: int) -> None:
    """bcrypt would stop reading at 72 bytes."""
    for c in ("a", "\u00e9", "\U0001f511"):
        start = c * (same // len(c.encode())) + "x" * (same % len(c.encode()))
        assert len(start.encode()) == same
        for behind, other in (("1", "2"), ("1", ""), ("1", "1 "), ("a", "A"), ("\u00e9", "e")):
            assert not passwords.verify(start + other, passwords.hash(start + behind)).is_right
        assert passwords.verify(start, passwords.hash(start)).is_right


def test_long_passwords_over_http(wire: Wire, server: Server, staff: Cast) -> None:
    for number, length in enumerate((8, 71, 72, 73, 100, 255, MAX_CHARACTERS)):
        name, password = f"long{number}@example.com", "p\u00e4ss w\u00f6rd " * 30
        password = password[:length]
        making.make_user(server, staff.staff, name, password)
        wire.ok(wire.password(name, password))
        for other in (
            password[:-1],
            password + "x",
            password[:-1] + "X",
            password[:72] + "x" * 50,
            password * 4,
        ):
            if other != password:
                wrong(wire, name, other)


@pytest.mark.slow
def test_a_password_of_any_length_is_answered(wire: Wire, staff: Cast) -> None:
    lengths = (
        range(1, 1026)
        if size(0, 1)
        else [1, 7, 8, 71, 72, 73, *range(254, 260), 511, 512, 1023, 1024, 1025, 4000]
    )
    for length in lengths:
        for c in ("a", "\u00e9", "\U0001f511"):
            if length * len(c.encode()) * 3 < 15_000:
                wrong(wire, "bob@example.com", c * length)
                wrong(wire, "nobody@example.com", c * length)
    wire.ok(wire.password("bob@example.com"))


def test_a_long_name_needs_its_password_all_the_same(wire: Wire, server: Server, staff: Cast) -> None:
    """Okta's cache key of 2024 was name and password, cut at 72 bytes."""
    for length in (40, 52, 60, 71, 72, 73, 200):
        name = "n" * length + "@example.com"
        making.make_user(server, staff.staff, name)
        wire.ok(wire.password(name))
        for other in ("x", "wrong password", making.PASSWORD + "x", making.PASSWORD[:-1], name, "n" * 72):
            wrong(wire, name, other)


@pytest.mark.parametrize("length", [0, 1, 7, MAX_CHARACTERS + 1, 1025])
def test_only_usable_lengths_can_be_set(server: Server, length: int) -> None:
    with pytest.raises(NotPossible):
        accounts.hash_new_password(server, "a" * length)
    for usable in (8, MAX_CHARACTERS):
        assert accounts.hash_new_password(server, "\U0001f511" * usable)


# --- spelling ------------------------------------------------------------------------------------------------------

SAME = [
    ("p\u00e4ssw\u00f6rd", "pa\u0308sswo\u0308rd"),
    ("\u212bngstr\u00f6m", "\u00c5ngstro\u0308m"),
    ("\u212aelvin-scale", "Kelvin-scale"),
    (
        "\uac00\ub098\ub2e4\ub77c\ub9c8\ubc14\uc0ac\uc544",
        normalize("NFD", "\uac00\ub098\ub2e4\ub77c\ub9c8\ubc14\uc0ac\uc544"),
    ),
    ("two\u00a0words", "two words"),
    ("two\u3000words", "two\u2003words"),
    ("\u1ebfxample word", "e\u0302\u0301xample word"),
    ("q\u0323\u0307 in any order", "q\u0307\u0323 in any order"),
]
DIFFERENT = [
    ("password one", "Password one"),
    ("password one", "password one "),
    ("password one", " password one"),
    ("password one", "password  one"),
    ("password one", "passwordone"),
    ("password one", "\uff50assword one"),
    ("password one", "p\u0430ssword one"),
    ("password one", "password 0ne"),
    ("stra\u00dfe vor uns", "strasse vor uns"),
    ("\ufb01sh and chips", "fish and chips"),
    ("\u2168 symphonies", "IX symphonies"),
    ("d\u0131fferent i", "different i"),
    ("\u0130stanbul is it", "Istanbul is it"),
    ("\u017fecond letter", "second letter"),
    ("caf\u00e9 au lait", "cafe au lait"),
    ("x\u00b2 + y\u00b2 = 1", "x2 + y2 = 1"),
    ("\u00bd a password", "1/2 a password"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_one_password_typed_on_two_keyboards(passwords: Passwords, one: str, other: str) -> None:
    assert one != other and normal_form(one) == normal_form(other)
    assert passwords.verify(other, passwords.hash(one)).is_right
    assert passwords.verify(one, passwords.hash(other)).is_right


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_what_only_looks_alike_is_another_password(passwords: Passwords, one: str, other: str) -> None:
    assert not passwords.verify(other, passwords.hash(one)).is_right
    assert not passwords.verify(one, passwords.hash(other)).is_right
    assert passwords.verify(other, passwords.hash(other)).is_right


def test_spellings_over_http(wire: Wire, server: Server, staff: Cast) -> None:
    for number, (one, other) in enumerate(SAME):
        making.make_user(server, staff.staff, f"same{number}@example.com", one)
        wire.ok(wire.password(f"same{number}@example.com", one))
        wire.ok(wire.password(f"same{number}@example.com", other))
        wrong(wire, f"same{number}@example.com", other.upper() if other.upper() != other else other + "x")
    for number, (one, other) in enumerate(DIFFERENT):
        making.make_user(server, staff.staff, f"other{number}@example.com", one)
        wire.ok(wire.password(f"other{number}@example.com", one))
        wrong(wire, f"other{number}@example.com", other)


@pytest.mark.parametrize("length", [100, 128, 129, 200, MAX_CHARACTERS])
def test_a_long_password_may_be_typed_decomposed(passwords: Passwords, length: int) -> None:
    """Two code points for each letter are no longer a password than one."""
    password = "\u00e9" * length
    stored = passwords.hash(password)
    assert passwords.verify(password, stored).is_right
    assert passwords.verify(normalize("NFD", password), stored).is_right
    assert not passwords.verify(normalize("NFD", password[:-1]), stored).is_right


UNUSABLE = [
    "",
    "\0",
    "password\0",
    "pass\0word",
    "password\n",
    "pass\tword",
    "\x7fpassword",
    "pass\x85word",
    "\x1b[31mpassword",
]
UNUSABLE += [
    "password\ud800",
    "pass\ufffeword",
    "pass\u0378word",
    "pass\ue000word",
    "pass\u200bword",
    "\ufeffpassword",
]


def test_what_cannot_be_a_password_is_nobodys(passwords: Passwords) -> None:
    others = [passwords.hash(other) for other in ("password", "nobody", "pass", "pass word")]
    for password in UNUSABLE:
        with pytest.raises(PasswordUnusable):
            passwords.hash(password)
        assert not any(passwords.verify(password, stored).is_right for stored in others)


def test_nobody_has_no_password(passwords: Passwords) -> None:
    """What an unknown person's guess is compared with lets nobody in, not even the right text."""
    for text in ("nobody", "", "x" * 300, "\0"):
        assert not passwords.verify(text, None).is_right
        assert not passwords.verify(text, "not a hash").is_right


@pytest.mark.slow
@settings(max_examples=size(500, 50_000), deadline=None, database=None)
@given(st.text(max_size=60))
def test_every_text_has_a_normal_form_or_is_refused(text: str) -> None:
    try:
        form = normal_form(text)
    except PasswordUnusable:
        return
    assert (
        normal_form(form)
        == form
        == normal_form(normalize("NFD", text))
        == normal_form(normalize("NFC", text))
    )
    assert unicodedata.is_normalized("NFC", form)
