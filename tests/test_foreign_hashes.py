"""Hashes of other systems: each opens for its password only, costs what is bounded, and is gone after one login."""

import copy
import hashlib
import time
from typing import Any

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.foreign_hashes import BadHash, is_foreign, read, read_bcrypt, verify
from tests.evidence import report, size, within
from tests.foreign_vectors import VECTORS, coded, keyed, one

ARGON2ID = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
MD5 = "67a1e09bb1f83f5007dc119c14d663aa"

every_vector = pytest.mark.parametrize(
    ("password", "custom"), [row[1:] for row in VECTORS], ids=[row[0] for row in VECTORS]
)


@every_vector
def test_opens_for_its_password(password: str, custom: dict[str, Any]) -> None:
    stored = read(custom)
    assert is_foreign(stored)
    assert verify(stored, password)


@every_vector
def test_stays_closed_for_any_other(password: str, custom: dict[str, Any]) -> None:
    stored = read(custom)
    for other in (
        "",
        "x" + password,
        password[1:],
        password.swapcase() + "x",
        "\x00",
        "\udc00",
        "x" * 10**6,
    ):
        assert not verify(stored, other), other[:20]


def test_the_same_hash_is_always_the_same_text() -> None:
    forward = {"algorithm": "md5", "hash": {"value": MD5, "encoding": "hex"}, "salt": {"value": "salt"}}
    backward = {
        "salt": {"value": "c2FsdA", "encoding": "base64"},
        "hash": {"encoding": "hex", "value": MD5.upper()},
    }
    assert read(forward) == read(backward | {"algorithm": "md5"})


def test_an_argon2id_hash_is_not_foreign() -> None:
    assert read(one("argon2", ARGON2ID)) == ARGON2ID
    assert not is_foreign(ARGON2ID)
    assert is_foreign(read(one("argon2", ARGON2ID, password={"encoding": "utf16le"})))


def test_bcrypt_counts_the_first_72_bytes() -> None:
    for password in ("a" * 71, "a" * 72, "a" * 73, "ä" * 36, "ä" * 60):
        raw = password.encode()
        stored = read_bcrypt(bcrypt.hashpw(raw[:72], bcrypt.gensalt(4)).decode())
        assert verify(stored, password)
        assert not verify(stored, "b" + password[1:])
        assert verify(stored, password + "b") is (len(raw) >= 72)


def test_bcrypt_cuts_the_salt_with_the_password() -> None:
    hashed = bcrypt.hashpw(b"s" * 10 + b"p" * 62, bcrypt.gensalt(4)).decode()
    stored = read(one("bcrypt", hashed, salt={"value": "s" * 10}))
    assert verify(stored, "p" * 62) and verify(stored, "p" * 63)
    assert not verify(stored, "p" * 61)


def test_stray_bits_in_a_bcrypt_hash_do_not_matter() -> None:
    hashed = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
    strayed = hashed[:28] + "A" + hashed[29:59] + "X"
    assert read_bcrypt(strayed) == read_bcrypt(hashed)
    assert verify(read_bcrypt(strayed), "U*U")


@pytest.mark.parametrize("encoding", ["ascii", "latin1", "binary"])
def test_a_character_without_an_encoding_is_wrong(encoding: str) -> None:
    """Node would write a question mark, and any such character would open for any other."""
    question_mark = "8a8de823d5ed3e12746a62ef169bcf372be0ca44f0a1236abc35df05d96928e1"  # SHA-256
    stored = read(coded("sha256", "hex", question_mark, password={"encoding": encoding}))
    assert verify(stored, "?")
    assert not verify(stored, "\u20ac")


def test_ascii_is_no_more_than_ascii() -> None:
    in_utf8 = hashlib.sha256("\u00e9".encode()).hexdigest()
    assert verify(read(coded("sha256", "hex", in_utf8)), "\u00e9")
    assert not verify(read(coded("sha256", "hex", in_utf8, password={"encoding": "ascii"})), "\u00e9")


def test_a_password_has_at_most_1024_characters() -> None:
    for length in (1024, 1025):
        stored = read(coded("sha256", "hex", hashlib.sha256(b"a" * length).hexdigest()))
        assert verify(stored, "a" * length) is (length == 1024)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "foreign:",
        "foreign:{}",
        "foreign:[]",
        "foreign:7",
        ARGON2ID,
        'foreign:{"algorithm":[],"encoding":"utf-8"}',
    ],
)
def test_what_is_no_foreign_hash_opens_for_nothing(stored: str) -> None:
    assert not verify(stored, "password")


# --- refusals ------------------------------------------------------------------------------------------------------

ARGON2 = "$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA"
KEY32 = "A" * 43
SCRYPT = "097f6197e1b41538f723e32aa7a68e8d76227d8e432ce5faa4882a913032db29"

REFUSED: list[tuple[str, Any]] = [
    ("algorithm", {}),
    ("algorithm", coded("sha3", "hex", MD5)),
    ("algorithm", coded("MD5", "hex", MD5)),
    ("hash must be", {"algorithm": "md5"}),
    ("hash must be", {"algorithm": "md5", "hash": MD5}),
    ("hash.value", {"algorithm": "md5", "hash": {"encoding": "hex"}}),
    ("hash.value", coded("md5", "hex", MD5[:-1])),
    ("hash.value", coded("md5", "hex", MD5[:-2])),
    ("hash.value", coded("md5", "hex", MD5 + "00")),
    ("hash.value", coded("md5", "hex", " " + MD5)),
    ("hash.value", coded("md5", "base64", "?" * 22)),
    ("hash.value", coded("md5", "base64", "ho2SqPhB!!!!of+rPWEhfIhdVw==")),
    ("salt.value", coded("md5", "hex", MD5, salt={"value": "s" * 2049})),
    ("hash.encoding", one("md5", MD5)),
    ("hash.encoding", coded("md5", "utf8", MD5)),
    ("hash.encoding", coded("bcrypt", "hex", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")),
    ("no member 'hsah'", {"algorithm": "md5", "hsah": {}}),
    ("no member 'postion'", coded("md5", "hex", MD5, salt={"value": "a", "postion": "suffix"})),
    ("salt.position", coded("md5", "hex", MD5, salt={"value": "a", "position": "middle"})),
    ("salt.encoding", coded("md5", "hex", MD5, salt={"value": "a", "encoding": "latin1"})),
    ("salt.value", coded("md5", "hex", MD5, salt={"value": "zz", "encoding": "hex"})),
    ("salt.value", coded("md5", "hex", MD5, salt={"value": "\udc00"})),
    ("salt must be", coded("md5", "hex", MD5, salt="salt")),
    ("password.encoding", coded("md5", "hex", MD5, password={"encoding": "ebcdic"})),
    ("hash.digest", {"algorithm": "hmac", "hash": {"value": MD5, "encoding": "hex", "key": {"value": "k"}}}),
    ("hash.digest", keyed("sha3", {"value": "k"}, MD5)),
    ("hash.key", {"algorithm": "hmac", "hash": {"value": MD5, "encoding": "hex", "digest": "md5"}}),
    ("OpenSSL", keyed("whirlpool", {"value": "k"}, "00" * 64)),
    ("salt is not allowed", one("ldap", "{MD5}ho2SqPhBof+rPWEhfIhdVw==", salt={"value": "a"})),
    ("salt is not allowed", one("argon2", "$argon2i$v=19$m=65536,t=2,p=1" + ARGON2, salt={"value": "a"})),
    ("no crypt", one("ldap", "{CRYPT}abcdefghijklm")),
    ("16 bytes", one("ldap", "{SMD5}ho2SqPhBof+rPWEhfIhdVw==")),
    ("16 bytes", one("ldap", "{MD5}+qni5PuXRo+W3uVyXbdLQgD/ECD6AQID")),
    ("bcrypt hash", one("bcrypt", "$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")),
    ("bcrypt hash", one("bcrypt", "$2b$05$short")),
    ("bcrypt hash", one("bcrypt", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n")),
    ("cost is 4 to 14", one("bcrypt", "$2b$15$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")),
    ("cost is 4 to 14", one("bcrypt", "$2b$03$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")),
    ("PHC", one("argon2", "argon2")),
    ("PHC", one("argon2", "$argon2x$v=19$m=65536,t=2,p=1" + ARGON2)),
    ("PHC", one("argon2", "$argon2i$v=20$m=65536,t=2,p=1" + ARGON2)),
    ("m 8 times p", one("argon2", "$argon2id$v=19$m=262145,t=1,p=1" + ARGON2)),
    ("m 8 times p", one("argon2", "$argon2id$v=19$m=7,t=1,p=1" + ARGON2)),
    ("m 8 times p", one("argon2", "$argon2id$v=19$m=65536,t=0,p=1" + ARGON2)),
    ("m 8 times p", one("argon2", "$argon2id$v=19$m=65536,t=1,p=17" + ARGON2)),
    ("t times m", one("argon2", "$argon2id$v=19$m=262144,t=5,p=1" + ARGON2)),
    ("t times m", one("argon2", "$argon2i$v=19$m=65536,t=9999999,p=1" + ARGON2)),
    ("the salt has 8", one("argon2", "$argon2id$v=19$m=65536,t=1,p=1$c2FsdA$" + KEY32)),
    ("the salt has 8", one("argon2", "$argon2id$v=19$m=65536,t=1,p=1$c29tZXNhbHQ$AAAA")),
    ("padding", one("argon2", "$argon2id$v=19$m=65536,t=1,p=1$c29tZXNhbHQ=$" + KEY32)),
    ("base64", one("argon2", "$argon2id$v=19$m=65536,t=1,p=1$c29tZXNhbHQ$ä" + KEY32)),
    ("pbkdf2-<digest>", one("pbkdf2", "pbkdf2")),
    ("pbkdf2-<digest>", one("pbkdf2", "$pbkdf2-sha1$x=4096,l=20$c2FsdA$SwB5AbdlSJq+rUnZJvch0GWkKcE")),
    ("cannot be verified", one("pbkdf2", f"$pbkdf2-md4$i=1000,l=32$c2FsdA${KEY32}")),
    ("cannot be verified", one("pbkdf2", f"$pbkdf2-mdc2$i=1000,l=32$c2FsdA${KEY32}")),
    ("l bytes", one("pbkdf2", f"$pbkdf2-sha1$i=1000,l=33$c2FsdA${KEY32}")),
    ("l bytes", one("pbkdf2", "$pbkdf2-sha1$i=1000,l=3$c2FsdA$AAAA")),
    ("l bytes", one("pbkdf2", f"$pbkdf2-sha1$i=0,l=32$c2FsdA${KEY32}")),
    ("i is at most 2500000", one("pbkdf2", f"$pbkdf2-sha512$i=2500001,l=32$c2FsdA${KEY32}")),
    ("i is at most 2500000", one("pbkdf2", f"$pbkdf2-sha1$i=2500001,l=32$c2FsdA${KEY32}")),
    ("keylen", coded("scrypt", "hex", SCRYPT)),
    ("keylen", coded("scrypt", "hex", SCRYPT, keylen=True)),
    ("keylen", coded("scrypt", "hex", SCRYPT, keylen=64)),
    ("parallelization", coded("scrypt", "hex", SCRYPT, keylen=32, parallelization=True)),
    ("blockSize", coded("scrypt", "hex", SCRYPT, keylen=32, blockSize=0)),
    ("power of two", coded("scrypt", "hex", SCRYPT, keylen=32, cost=1000)),
    ("power of two", coded("scrypt", "hex", SCRYPT, keylen=32, cost=1)),
    ("power of two", coded("scrypt", "hex", SCRYPT, keylen=32, cost=2**16, blockSize=1)),
    ("at most 2097152", coded("scrypt", "hex", SCRYPT, keylen=32, cost=2**19)),
    ("at most 2097152", coded("scrypt", "hex", SCRYPT, keylen=32, parallelization=17)),
    ("cost", coded("scrypt", "hex", SCRYPT, keylen=32, cost=10**30)),
    ("must be an object", None),
    ("must be an object", [one("md5", MD5)]),
]


@pytest.mark.parametrize(("text", "custom"), REFUSED)
def test_refuses_and_says_why(text: str, custom: Any) -> None:
    with pytest.raises(BadHash, match=text):
        read(custom)


@pytest.mark.slow
@pytest.mark.parametrize(
    "custom",
    [
        one("bcrypt", "$2b$14$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
        one("argon2", "$argon2i$v=19$m=262144,t=4,p=1" + ARGON2),
        one("pbkdf2", f"$pbkdf2-sha512$i=2500000,l=32$c2FsdA${KEY32}"),
        one("pbkdf2", f"$pbkdf2-sha256$i=5000000,l=32$c2FsdA${KEY32}"),
        one("pbkdf2", f"$pbkdf2-md5$i=1250000,l=32$c2FsdA${KEY32}"),
        one("pbkdf2", f"$pbkdf2-ripemd160$i=833333,l=32$c2FsdA${KEY32}"),
        coded("scrypt", "hex", SCRYPT, keylen=32, cost=2**18, blockSize=8),
        coded("scrypt", "hex", SCRYPT, keylen=32, cost=2**14, parallelization=16),
        coded("md4", "hex", "00" * 16, salt={"value": "s" * 2048}),
    ],
    ids=["bcrypt", "argon2", "sha512", "sha256", "md5", "ripemd160", "scrypt deep", "scrypt wide", "md4"],
)
def test_the_dearest_hash_takes_about_a_second(custom: dict[str, Any]) -> None:
    stored = read(custom)
    started = time.thread_time()
    assert not verify(stored, "\U0001f511" * 1024)
    seconds = time.thread_time() - started
    report(f"dearest {custom['algorithm']}", tried="1", held=f"{seconds:.2f} s")
    assert seconds < within(3)  # about one on an idle core


# --- odd inputs ----------------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
PATHS = [
    ("algorithm",),
    ("hash",),
    ("hash", "value"),
    ("hash", "encoding"),
    ("hash", "digest"),
    ("hash", "key"),
    ("hash", "key", "value"),
    ("salt",),
    ("salt", "value"),
    ("salt", "encoding"),
    ("salt", "position"),
    ("password",),
    ("password", "encoding"),
    ("keylen",),
    ("cost",),
    ("blockSize",),
    ("parallelization",),
]


def reads_or_refuses(custom: Any) -> None:
    try:
        stored = read(custom)
    except BadHash as error:
        assert str(error)
        return
    assert is_foreign(stored) or stored.startswith("$argon2id$")


@settings(max_examples=size(200, 5000), deadline=None)
@given(json_values)
def test_anything_is_read_or_refused(custom: Any) -> None:
    reads_or_refuses(custom)


@settings(max_examples=size(300, 10000), deadline=None)
@given(st.sampled_from(VECTORS), st.sampled_from(PATHS), json_values)
def test_a_good_hash_with_one_odd_member_is_read_or_refused(
    vector: tuple[str, str, dict[str, Any]], path: tuple[str, ...], odd: Any
) -> None:
    custom = copy.deepcopy(vector[2])
    inner: Any = custom
    for name in path[:-1]:
        inner = inner.setdefault(name, {})
    inner[path[-1]] = odd
    reads_or_refuses(custom)


@settings(max_examples=size(300, 10000), deadline=None)
@given(st.sampled_from(VECTORS), st.integers(0, 200), st.text(max_size=3))
def test_a_good_hash_with_odd_letters_is_read_or_refused(
    vector: tuple[str, str, dict[str, Any]], place: int, odd: str
) -> None:
    custom = copy.deepcopy(vector[2])
    value = custom["hash"]["value"]
    custom["hash"]["value"] = value[:place] + odd + value[place + 1 :]
    reads_or_refuses(custom)


CHEAP = [row for row in VECTORS if row[2]["algorithm"] not in ("argon2", "scrypt", "pbkdf2")]


@settings(max_examples=size(200, 5000), deadline=None)
@given(st.sampled_from(CHEAP), st.text(st.characters(), max_size=100))
def test_any_password_gets_an_answer(vector: tuple[str, str, dict[str, Any]], password: str) -> None:
    assert verify(read(vector[2]), password) is (password == vector[1])
