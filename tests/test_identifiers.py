"""One person however the name is spelled, and nobody else however alike it looks (T35)."""

import unicodedata
from datetime import UTC, datetime
from hashlib import sha256
from importlib.resources import files
from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import accounts
from app.accounts import NotPossible
from app.context import Context, Server
from app.identifiers import MAX_CHARACTERS, counting_key, look_alike, normal_key, skeleton
from app.store import realms
from app.store.realms import Realm
from tests import making
from tests.evidence import report, size
from tests.making import CAROLS_PASSWORD, PASSWORD, Cast
from tests.wire import Wire, refused

SPELLINGS = {
    "alice@example.com": [
        "ALICE@EXAMPLE.COM",
        "Alice@Example.Com",
        " alice@example.com",
        "alice@example.com\t",
    ],
    "jos\u00e9@example.com": ["jose\u0301@example.com", "JOS\u00c9@example.com", "JOSE\u0301@EXAMPLE.COM"],
    "\u00e5sa@example.com": ["a\u030asa@example.com", "\u212bsa@example.com", "\u00c5SA@example.com"],
    "kelvin@example.com": ["\u212aelvin@example.com", "KELVIN@example.com"],
    "\u1ebf@example.com": ["e\u0302\u0301@example.com", "\u00ea\u0301@example.com", "\u1ebe@example.com"],
    "\uac00@example.com": ["\u1100\u1161@example.com"],
    "user@b\u00fccher.example": ["user@bu\u0308cher.example", "USER@B\u00dcCHER.EXAMPLE"],
    "alice": ["ALICE", "Alice", "\uff21\uff4c\uff49\uff43\uff45", "  alice "],
    "ren\u00e9": ["rene\u0301", "REN\u00c9", "RENE\u0301"],
    "\u0430\u043b\u0438\u0441\u0430": ["\u0410\u041b\u0418\u0421\u0410"],
    "\u5f20\u4f1f": [],
    "\u05d3\u05d5\u05d3": [],
}


def near(word: str) -> list[str]:
    """Texts that a reader takes for that word, and that are others."""
    swaps = {
        "a": "\u0430\u0251\u03b1\uff41",
        "e": "\u0435\u0117\u00e8",
        "i": "\u0456\u0131\u00ed\u01d0\u2170",
        "l": "1I\u04cf|",
    }
    swaps |= {
        "c": "\u0441\u03f2\u217d",
        "o": "\u043e\u03bf0\u00f6",
        "p": "\u0440",
        "s": "\u0455\u017f",
        "x": "\u0445\u00d7",
    }
    swaps |= {
        "n": "\u0578",
        "m": "\u217f",
        "t": "\u03c4",
        "b": "\u042c",
        "r": "\u0433",
        "g": "\u0261",
        "h": "\u04bb",
    }
    found = [
        word[:at] + other + word[at + 1 :]
        for at, c in enumerate(word)
        for other in swaps.get(c, "")
        if other != c
    ]
    hidden = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u034f\u202e\u202d\u2066\u200e\ufe0f"
    hidden += "\U000e0061\U000e0001\u180e\u0301\u3164"
    found += [word[:at] + c + word[at:] for at in (0, 2, len(word)) for c in hidden]
    return found + [
        word[::-1],
        word[:-1],
        word + word[-1],
        word[0] + word,
        f'"{word}"',
        word.replace("e", "\u0065\u0307"),
    ]


LOOK_ALIKES = {
    "alice@example.com": [f"{other}@example.com" for other in near("alice")]
    + [f"alice@{other}.com" for other in near("example") if "\uff41" not in other]
    + [
        "alice@example.com.",
        "alice@example.com\u3002",
        "alice@ex\u00e4mple.com",
        "alice@@example.com",
        "alice@example",
    ]
    + ["al\u0130ce@example.com", "ALI\u0307CE@example.com", "alice+a@example.com", "a.lice@example.com"],
    "fiona@example.com": ["\ufb01ona@example.com", "f\u0131ona@example.com", "FI\u0307ONA@example.com"],
    "gross@example.com": ["gro\u00df@example.com", "GRO\u1e9e@example.com", "gro\u03b2@example.com"],
    "sam@example.com": ["\u017fam@example.com", "\u0455am@example.com"],
    "office@example.com": ["o\ufb03ce@example.com", "o\ufb00ice@example.com"],
    "aether@example.com": ["\u00e6ther@example.com", "\u01fdther@example.com"],
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_has_one_key(name: str) -> None:
    keys = {normal_key(spelling) for spelling in (name, *SPELLINGS[name])}
    assert len(keys) == 1 and None not in keys
    assert {counting_key(spelling) for spelling in (name, *SPELLINGS[name])} == keys


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_no_look_alike_has_that_key(name: str) -> None:
    alike = [other for other in LOOK_ALIKES[name] if normal_key(other) == normal_key(name)]
    assert alike == [], [other.encode("unicode_escape") for other in alike]


@pytest.mark.slow
def test_case_and_form_fold_to_one_key() -> None:
    """For every letter there is, in the middle of a name and of an address."""
    folded = 0
    for number in range(0x80, 0x110000, size(7, 1)):
        c = chr(number)
        if unicodedata.category(c) in ("Cn", "Co", "Cs"):
            continue
        for name in (f"a{c}b", f"a{c}b@example.com"):
            key = normal_key(name)
            assert normal_key(normalize("NFC", name)) == normal_key(normalize("NFD", name)) == key
            if key is not None:
                folded += 1
                assert normal_key(key) == key
    assert folded > 10_000


UNUSABLE = [
    "",
    " ",
    "\t\n",
    "\0",
    "a\0",
    "a b",
    "a\u00a0b",
    "a\u3000b",
    "a\u200bb",
    "\u202ea",
    "a\u2066b",
    "a\ufeffb",
    "a\x7f",
]
UNUSABLE += [
    "a\x85b",
    "\ue000a",
    "a\U000e0061",
    "a\u0378",
    "a\ufdd0",
    "a\uffff",
    "\ud800",
    "a\udfffb",
    "\u2163",
    "\u05d3a",
    "\ufb01",
]
UNUSABLE += [
    "@",
    "a@",
    "a@ ",
    " @",
    "a\0@example.com",
    "a\u200b@example.com",
    "a b@example.com",
    "\u202ea@example.com",
]
UNUSABLE += [
    "a@exa mple.com",
    "a@exa\u200bmple.com",
    "a\ud800@example.com",
    "a@\ud800.com",
    "a\n@example.com",
    "a@b\nc",
]
UNUSABLE += ["a" * 256, "a" * 244 + "@example.com", "a" * 10_000]


def test_what_cannot_be_a_name_is_nobodys() -> None:
    realm = Realm("con_x", "x", "database", None, None, True, True, datetime.now(UTC))
    for name in UNUSABLE:
        assert normal_key(name) is None, name.encode("unicode_escape")
        assert counting_key(name).startswith("?"), name.encode("unicode_escape")
        with pytest.raises(NotPossible):
            accounts.new_user(realm, datetime.now(UTC), username=name)


@pytest.mark.slow
@settings(max_examples=size(500, 50_000), deadline=None, database=None)
@given(st.text(max_size=300))
def test_every_text_has_a_key_or_none(text: str) -> None:
    key = normal_key(text)
    assert key is None or (key and unicodedata.is_normalized("NFC", key) and "\0" not in key)
    assert counting_key(text)


# --- skeletons -----------------------------------------------------------------------------------------------------

# From Unicode's confusables.txt 17.0.0: the code point, and what it is taken for.
PROTOTYPES = {
    "\u0430": "a",
    "\u0440": "p",
    "\u0443": "y",
    "\u04cf": "l",
    "\u0131": "i",
    "\u04ad": "\u1d1b\u0329",
    "\u090d": "\u090f\u0306",
    "\u0261": "g",
    "\u03bf": "o",
    "\u0585": "o",
    "\U0001d41a": "a",
    "\ufb01": "fi",
    "m": "rn",
    "1": "l",
    "\u05d5": "l",
    "\u0661": "l",
    "\u1e9a": "a\u0309",
    "\u4e36": "\\",
    "\ufdfa": "\u0635\u0644\u0649 \u0627\u0644\u0644\u0647 \u0639\u0644\u0649\u0647 \u0648\u0633\u0644\u0645",
}


@pytest.mark.parametrize("character", PROTOTYPES)
def test_a_character_is_seen_as_its_prototype(character: str) -> None:
    assert skeleton(character) == skeleton(PROTOTYPES[character])


ALIKE = [
    ("alice", "\u0430lice"),
    ("paypa", "\u0440\u0430\u0443\u0440\u0430"),
    ("rn\u00e9", "m\u00e9"),
    ("\u03bfmar", "\u043emar"),
    ("alice@example.com", "al\ufe0fice@example.com"),
    ("fiona@example.com", "\ufb01ona@example.com"),
    ("ana@example.com", "ana@ex\u0430mple.com"),
]
APART = [
    ("bob1", "bobl"),
    ("corn", "com"),
    ("jose", "jos\u00e9"),
    ("\u043a\u0430\u0442\u044f", "katya"),
    ("gross", "gro\u00df"),
    ("\u5f20\u4f1f", "\u5f20\u5a01"),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_these_look_alike(one: str, other: str) -> None:
    assert normal_key(one) == one and normal_key(other) == other
    assert look_alike(one, other) and look_alike(other, one)


@pytest.mark.parametrize(("one", "other"), APART)
def test_these_do_not_look_alike(one: str, other: str) -> None:
    assert not look_alike(one, other) and not look_alike(other, one)


@pytest.mark.slow
def test_a_skeleton_is_its_own_skeleton_and_knows_no_spelling() -> None:
    for number in range(0x110000)[:: size(7, 1)]:
        if unicodedata.category(chr(number)) not in ("Cn", "Co", "Cs"):
            name = f"a{chr(number)}b"
            assert skeleton(skeleton(name)) == skeleton(name)
            assert skeleton(normalize("NFC", name)) == skeleton(normalize("NFD", name))


def test_a_skeleton_fits_into_an_index() -> None:
    """PostgreSQL's ends at 2,704 bytes for an entry; how well it packs them is not to be relied on."""
    for character in ("\ufdfa", "\uaf66", "\U0001ee00", "m"):
        assert len(skeleton(f"{character * 240}@example.com").encode()) <= 2500


def test_the_stored_skeletons_are_those_of_this_table() -> None:
    """With another table those in the database mean nothing: then a migration fills them again, as 0004 does."""
    table = files("homoglyphs_fork").joinpath("confusables.json").read_bytes()
    assert sha256(table).hexdigest() == "c194857ff3f68353bb55e6ea27e5b16eca37c060eac26a53953719f82bf5de41"


# --- over HTTP -----------------------------------------------------------------------------------------------------


def without_blocking(server: Server, realm: Realm) -> None:
    """So that each guess is answered for itself."""
    with server.db.write() as conn:
        realms.update_realm(conn, realm.id, has_brute_force_protection=False)
    making.loosen_limits(server)


def test_every_spelling_is_the_same_person(wire: Wire, server: Server, cast: Cast) -> None:
    for number, (name, spellings) in enumerate(SPELLINGS.items()):
        if name.startswith("alice"):
            continue
        profile = {"email": name} if "@" in name else {"email": f"n{number}@example.com", "username": name}
        user = making.make_user(server, cast.staff, **profile)
        for spelling in (name, *spellings):
            token = wire.ok(wire.password(spelling, scope="openid"))["access_token"]
            assert wire.ok(wire.get("/userinfo", token))["sub"] == user.id
    for name in ("alice", "alice@example.com"):
        for spelling in (name, *SPELLINGS[name], "+491701234567"):
            refused(wire.password(spelling), 403, "mfa_required")


def create(server: Server, realm: Realm, email: str, **profile: str) -> None:
    """As an administrator does it."""
    ctx = Context(server, making.now(), ip="")
    user = accounts.new_user(realm, ctx.now, email=email, **profile)
    with server.db.write() as conn:
        accounts.create_user(conn, ctx, user, None)


def test_every_spelling_can_be_created_and_found_by_every_other(
    wire: Wire, server: Server, cast: Cast
) -> None:
    for number, name in enumerate(("jos\u00e9", "\u1ebf", "\u00e5sa", "\uac00", "kelvin")):
        address = f"{name}@example.com"
        spelling = SPELLINGS[address][0].strip()
        user = making.make_user(server, cast.staff, spelling, f"password number {number}")
        token = wire.ok(wire.password(address, f"password number {number}", scope="openid email"))[
            "access_token"
        ]
        assert wire.ok(wire.get("/userinfo", token)) == {
            "sub": user.id,
            "email": spelling,
            "email_verified": True,
        }
        for other in (address, *SPELLINGS[address]):
            with pytest.raises(NotPossible):
                create(server, cast.staff, other.strip())


@pytest.mark.slow
def test_no_look_alike_logs_in(wire: Wire, server: Server, cast: Cast) -> None:
    without_blocking(server, cast.staff)
    tried = 0
    for name, others in LOOK_ALIKES.items():
        if not name.startswith("alice"):
            making.make_user(server, cast.staff, name)
        for other in others:
            answer = wire.password(other)
            assert answer.status_code == 403, (name, other.encode("unicode_escape"), answer.text)
            refused(answer, 403, "invalid_grant", "Wrong email or password.")
            tried += 1
        assert wire.password(name).status_code == (403 if name.startswith("alice") else 200)
    report("look-alike names", tried=f"{tried} logins", held="0 as somebody else")


def test_two_who_look_alike_are_two(wire: Wire, server: Server, cast: Cast) -> None:
    """Different mailboxes belong to different people: neither's password opens the other's account.

    These are no confusables to Unicode; those that are, tests/management/test_look_alikes.py has.
    """
    without_blocking(server, cast.staff)
    for name, other in (
        ("gross", "gro\u00df"),
        ("sam", "\u017fam"),
        ("jose", "jos\u00e9"),
    ):
        people = {}
        for number, local in enumerate((name, other)):
            people[local] = making.make_user(
                server, cast.staff, f"{local}@example.com", f"password number {number}"
            )
        for number, local in enumerate((name, other)):
            address, wrong = f"{local}@example.com", f"password number {1 - number}"
            refused(wire.password(address, wrong), 403, "invalid_grant", "Wrong email or password.")
            token = wire.ok(wire.password(address, f"password number {number}", scope="openid"))[
                "access_token"
            ]
            assert wire.ok(wire.get("/userinfo", token))["sub"] == people[local].id


def test_all_spellings_share_one_count_of_failures(wire: Wire, server: Server, cast: Cast) -> None:
    making.make_user(server, cast.staff, "jos\u00e9@example.com", username="jos\u00e9")
    spellings = ["jos\u00e9@example.com", *SPELLINGS["jos\u00e9@example.com"], "jos\u00e9", "JOSE\u0301"]
    for number in range(10):
        refused(wire.password(spellings[number % len(spellings)], "wrong password"), 403, "invalid_grant")
    for spelling in spellings:
        refused(wire.password(spelling), 429, "too_many_attempts")
    nobody = ["r\u00e9mi@example.com", "re\u0301mi@example.com", "R\u00c9MI@EXAMPLE.COM"]
    for number in range(10):
        refused(wire.password(nobody[number % 3], "wrong password"), 403, "invalid_grant")
    for spelling in nobody:
        refused(wire.password(spelling), 429, "too_many_attempts")
    wire.ok(wire.password("bob@example.com"))


@pytest.mark.slow
def test_a_name_of_any_length_is_answered(wire: Wire, server: Server, cast: Cast) -> None:
    without_blocking(server, cast.staff)
    longest = "a" * (MAX_CHARACTERS - len("@example.com")) + "@example.com"
    making.make_user(server, cast.staff, longest, username="b" * MAX_CHARACTERS)
    lengths = (
        range(1, 1026)
        if size(0, 1)
        else [1, 2, 3, 63, 64, 65, *range(250, 260), 320, 511, 512, 1023, 1024, 1025]
    )
    for length in lengths:
        for c in ("b", "\u00e9", "\U0001f511"):
            answer = wire.password(c * length, "x" * 20)
            refused(answer, 403, "invalid_grant", "Wrong email or password.")
            if (c, length) != ("b", MAX_CHARACTERS):
                assert wire.password(c * length).status_code == 403
    wire.ok(wire.password(longest))
    wire.ok(wire.password("b" * MAX_CHARACTERS))
    for other in (
        "a" + longest,
        longest + "m",
        longest[:-1],
        "b" * (MAX_CHARACTERS + 1),
        "b" * (MAX_CHARACTERS - 1),
    ):
        refused(wire.password(other), 403, "invalid_grant", "Wrong email or password.")


def test_a_name_is_one_persons_whatever_kind_it_is(wire: Wire, server: Server, cast: Cast) -> None:
    """Nobody takes an address of another as his username, in whatever spelling."""
    for taken in (
        "alice@example.com",
        "ALICE@example.com",
        "alice\uff20example.com",
        "alice",
        "\uff41lice",
        "+491701234567",
    ):
        with pytest.raises(NotPossible):
            create(server, cast.staff, "new@example.com", username=taken)
    with pytest.raises(NotPossible):
        create(server, cast.staff, "new@example.com", phone_number="+491701234567")
    carol = wire.mfa_token("ALICE@example.com", CAROLS_PASSWORD, realm="guests")
    assert wire.ok_list(wire.get("/mfa/authenticators", carol)) == []
    refused(wire.password("alice@example.com", CAROLS_PASSWORD), 403, "invalid_grant")
    refused(wire.password("alice@example.com", PASSWORD, realm="guests"), 403, "invalid_grant")
    for realm in ("STAFF", "staff ", "st\u0430ff", "Guests", "\uff47uests"):
        refused(wire.password(realm=realm), 400, "invalid_request")
