"""Password hashes that another system made: read at import, verified until the first login, then replaced.

The shapes are Auth0's `custom_password_hash` and `password_hash`. What is kept is one text, our prefix and canonical
JSON, with everything that a comparison needs. An argon2id hash is not foreign: it is kept as it is and verified like
our own, which also replaces it when its cost is not today's.

Parameters that would hold a hashing slot for longer than about a second, or take more than 256 MiB, are refused at
import: afterwards every guess at that account would pay for them.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import bcrypt
from argon2 import Type
from argon2.exceptions import Argon2Error
from argon2.low_level import verify_secret
from passlib.crypto.digest import lookup_hash

from app.hash_members import BadHash as BadHash
from app.hash_members import (
    Given,
    Record,
    b64,
    decoded,
    encoding_of,
    members_of,
    octets_of,
    phc_octets,
    salt_of,
    whole_of,
    whole_text,
    word_of,
)

PREFIX = "foreign:"
MAX_PASSWORD = 1024  # characters; a longer one is wrong without looking
MIN_DERIVED, MAX_DERIVED = 16, 128  # bytes of a derived key: too many passwords fit a shorter one
BCRYPT_BYTES = 72  # all that bcrypt reads, salt included; bcrypt 5 raises for more instead of cutting
MAX_BCRYPT_COST = 14  # 0.9 s
MAX_KIB = 256 * 1024
MAX_ARGON2_WORK = 1024 * 1024  # t * m: 0.5 s
MAX_ARGON2_LANES = 16  # each is a thread
MAX_SCRYPT_WORK = 2**21  # cost * blockSize * parallelization: 0.6 s, and 256 MiB at most
MAX_PBKDF2_WORK = 5_000_000  # iterations * blocks * weight: 1 s
PBKDF2_WEIGHTS = {"md5": 2, "sha1": 1, "sha224": 1, "sha256": 1, "sha384": 2, "sha512": 2, "ripemd160": 3}
HMAC_DIGESTS = ("md4", "md5", "ripemd160", "sha1", "sha224", "sha256", "sha384", "sha512", "whirlpool")

_MEMBERS = {"algorithm", "hash", "salt", "password", "keylen", "cost", "blockSize", "parallelization"}
_BCRYPT = re.compile(
    r"(\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{21})([./A-Za-z0-9])([./A-Za-z0-9]{30})([./A-Za-z0-9])"
)
_BCRYPT_LETTERS = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_ARGON2 = re.compile(
    r"\$argon2(id|i|d)(?:\$v=(?:16|19))?\$m=([0-9]{1,7}),t=([0-9]{1,7}),p=([0-9]{1,3})\$([^$]+)\$([^$]+)"
)
_PBKDF2 = re.compile(
    r"\$pbkdf2-([A-Za-z0-9-]+)(?:\$([il]=[0-9]{1,9}(?:,[il]=[0-9]{1,9})*))?\$([^$]+)\$([^$]+)"
)
_PBKDF2_DIGEST = re.compile(
    r"(?:RSA-|ssl3-)?([a-z0-9]+?)(?:-2)?(?:With(?:RSAEncryption|RSA))?", re.IGNORECASE
)
_LDAP = re.compile(r"\{(S?)(MD5|SHA|SHA224|SHA256|SHA384|SHA512)\}([^{}]+)", re.IGNORECASE)


def read(custom_password_hash: Mapping[str, object]) -> str:
    """What to store for Auth0's `custom_password_hash`: a foreign hash, or an argon2id hash as it is. Raises BadHash.

    The key of an HMAC is in the text.
    """
    given = members_of(custom_password_hash, "custom_password_hash", _MEMBERS)
    algorithm = word_of(given, "algorithm", tuple(_READERS))
    hashed = members_of(given.get("hash"), "hash", {"value", "encoding", "digest", "key"})
    encoding = encoding_of(given)
    record = _READERS[algorithm](given, hashed)
    if str(record["hash"]).startswith("$argon2id$v=19$") and encoding == "utf-8":
        return str(record["hash"])
    record = {"algorithm": algorithm, "encoding": encoding, **record}
    return PREFIX + json.dumps(record, sort_keys=True, separators=(",", ":"))


def read_bcrypt(password_hash: str) -> str:
    """What to store for Auth0's plain `password_hash`. Raises BadHash."""
    return read({"algorithm": "bcrypt", "hash": {"value": password_hash}})


def is_foreign(stored: str) -> bool:
    return stored.startswith(PREFIX)


def verify(stored: str, password: str) -> bool:
    """Whether this is the password behind a foreign hash; "no" for whatever cannot be compared.

    The password is taken as it was typed: no other system knows our normal form.
    """
    if not is_foreign(stored) or len(password) > MAX_PASSWORD:
        return False
    try:
        record = json.loads(stored.removeprefix(PREFIX))
        compare = _COMPARISONS.get(record["algorithm"], _is_digest)
        return compare(record, password.encode(record["encoding"]))
    except (ValueError, KeyError, TypeError, Argon2Error):  # also a character that has no such encoding
        return False


# --- one reader and one comparison for each algorithm --------------------------------------------------------------


def _read_argon2(given: Given, hashed: Given) -> Record:
    found = whole_text(given, hashed, _ARGON2, "an argon2 hash in PHC string format")
    memory, passes, lanes = (int(found[number]) for number in (2, 3, 4))
    salt, key = phc_octets(found[5]), phc_octets(found[6])
    if len(salt) < 8 or not MIN_DERIVED <= len(key) <= MAX_DERIVED:
        raise BadHash(f"argon2: the salt has 8 bytes or more, the hash {MIN_DERIVED} to {MAX_DERIVED}")
    if not 1 <= lanes <= MAX_ARGON2_LANES or passes < 1 or not 8 * lanes <= memory <= MAX_KIB:
        raise BadHash(f"argon2: p is 1 to {MAX_ARGON2_LANES}, t at least 1, m 8 times p to {MAX_KIB}")
    if passes * memory > MAX_ARGON2_WORK:
        raise BadHash(f"argon2: t times m is at most {MAX_ARGON2_WORK}")
    return {"hash": found[0]}


def _is_argon2(record: Record, secret: bytes) -> bool:
    stored = str(record["hash"])
    kind = {"id": Type.ID, "i": Type.I, "d": Type.D}[stored.split("$")[1].removeprefix("argon2")]
    return verify_secret(stored.encode("ascii"), secret, kind)


def _read_bcrypt(given: Given, hashed: Given) -> Record:
    text = "a bcrypt hash that begins with $2a$, $2b$ or $2y$"
    found = whole_text(given, hashed, _BCRYPT, text, may_have_salt=True)
    if not 4 <= int(found[2]) <= MAX_BCRYPT_COST:
        raise BadHash(f"bcrypt: the cost is 4 to {MAX_BCRYPT_COST}")
    # Some libraries leave stray bits in the last letters of salt and hash, at which bcrypt 5 raises.
    salt_end, hash_end = (_BCRYPT_LETTERS.index(found[number]) for number in (3, 5))
    value = found[1] + _BCRYPT_LETTERS[salt_end & 0x30] + found[4] + _BCRYPT_LETTERS[hash_end & 0x3C]
    salt = salt_of(given)
    if len(_salted({"hash": value, **salt}, b"")) >= BCRYPT_BYTES:
        raise BadHash("bcrypt: the salt leaves no room for a password")  # any password would be right
    return {"hash": value, **salt}


def _is_bcrypt(record: Record, secret: bytes) -> bool:
    return bcrypt.checkpw(_salted(record, secret)[:BCRYPT_BYTES], str(record["hash"]).encode("ascii"))


def _read_digest(given: Given, hashed: Given) -> Record:
    algorithm = str(given["algorithm"])
    return {"hash": _digest_value(hashed, algorithm), **salt_of(given)}


def _is_digest(record: Record, secret: bytes) -> bool:
    found = _constructor(str(record["algorithm"]))(_salted(record, secret)).digest()
    return hmac.compare_digest(found, _stored_bytes(record, "hash"))


def _read_hmac(given: Given, hashed: Given) -> Record:
    digest = word_of(hashed, "hash.digest", HMAC_DIGESTS)
    key = members_of(hashed.get("key"), "hash.key", {"value", "encoding"})
    found = {
        "digest": digest,
        "hash": _digest_value(hashed, digest),
        "key": b64(octets_of(key, "hash.key", ("base64", "hex", "utf8"), "utf8")),
    }
    return {**found, **salt_of(given)}


def _is_hmac(record: Record, secret: bytes) -> bool:
    key, digest = _stored_bytes(record, "key"), _constructor(str(record["digest"]))
    made = hmac.new(key, _salted(record, secret), digest)
    return hmac.compare_digest(made.digest(), _stored_bytes(record, "hash"))


def _read_ldap(given: Given, hashed: Given) -> Record:
    found = whole_text(given, hashed, _LDAP, "an RFC 2307 value such as {SSHA}… (no crypt)")
    digest = found[2].lower() if found[2].upper() != "SHA" else "sha1"
    raw, size = decoded(found[3], "base64", "hash"), _constructor(digest)(b"").digest_size
    if (len(raw) <= size) if found[1] else (len(raw) != size):
        raise BadHash(f"ldap: {size} bytes of hash{', then the salt' if found[1] else ' and no more'}")
    return {
        "algorithm": digest,
        "hash": b64(raw[:size]),
        "salt": b64(raw[size:]),
        "position": "suffix",
    }


def _read_pbkdf2(given: Given, hashed: Given) -> Record:
    found = whole_text(given, hashed, _PBKDF2, "$pbkdf2-<digest>$i=…,l=…$salt$hash")
    named = _PBKDF2_DIGEST.fullmatch(found[1])
    digest = named[1].lower() if named else ""
    digest = "ripemd160" if digest in ("ripemd", "rmd160") else digest
    if digest not in PBKDF2_WEIGHTS or digest not in hashlib.algorithms_available:
        raise BadHash(f"pbkdf2: {found[1]} cannot be verified here; possible: {', '.join(PBKDF2_WEIGHTS)}")
    settings = dict(pair.split("=") for pair in (found[2] or "").split(",") if pair)
    iterations, length = int(settings.get("i", 100_000)), int(settings.get("l", 64))
    salt, key = phc_octets(found[3]), phc_octets(found[4])
    if iterations < 1 or len(key) != length or not MIN_DERIVED <= length <= MAX_DERIVED:
        raise BadHash(f"pbkdf2: the hash has l bytes, {MIN_DERIVED} to {MAX_DERIVED}, and i is at least 1")
    blocks = -(-length // _constructor(digest)(b"").digest_size)
    if iterations * blocks * PBKDF2_WEIGHTS[digest] > MAX_PBKDF2_WORK:
        most = MAX_PBKDF2_WORK // (blocks * PBKDF2_WEIGHTS[digest])
        raise BadHash(f"pbkdf2: i is at most {most} for this digest and l")
    return {
        "digest": digest,
        "hash": b64(key),
        "salt": b64(salt),
        "iterations": iterations,
    }


def _is_pbkdf2(record: Record, secret: bytes) -> bool:
    expected, salt = _stored_bytes(record, "hash"), _stored_bytes(record, "salt")
    iterations = int(record["iterations"])
    found = hashlib.pbkdf2_hmac(str(record["digest"]), secret, salt, iterations, len(expected))
    return hmac.compare_digest(found, expected)


def _read_scrypt(given: Given, hashed: Given) -> Record:
    length = whole_of(given, "keylen", None)
    cost, block, lanes = (
        whole_of(given, name, usual)
        for name, usual in (("cost", 16384), ("blockSize", 8), ("parallelization", 1))
    )
    key = octets_of(hashed, "hash", ("hex", "base64"))
    if len(key) != length or not MIN_DERIVED <= length <= MAX_DERIVED:
        raise BadHash(f"scrypt: the hash has keylen bytes, {MIN_DERIVED} to {MAX_DERIVED}")
    if cost < 2 or cost & (cost - 1) or (block < 4 and cost >= 2 ** (16 * block)):
        raise BadHash("scrypt: cost is a power of two from 2, below 2 to the power of 16 times blockSize")
    if cost * block * lanes > MAX_SCRYPT_WORK:
        raise BadHash(f"scrypt: cost times blockSize times parallelization is at most {MAX_SCRYPT_WORK}")
    return {
        "hash": b64(key),
        "cost": cost,
        "block": block,
        "lanes": lanes,
        **salt_of(given),
    }


def _is_scrypt(record: Record, secret: bytes) -> bool:
    cost, block, lanes = (int(record[name]) for name in ("cost", "block", "lanes"))
    expected, salt = _stored_bytes(record, "hash"), _stored_bytes(record, "salt")
    most = 128 * block * (cost + lanes + 2) + 2**20  # OpenSSL allows itself 32 MiB otherwise
    found = hashlib.scrypt(secret, salt=salt, n=cost, r=block, p=lanes, maxmem=most, dklen=len(expected))
    return hmac.compare_digest(found, expected)


_READERS: dict[str, Callable[[Given, Given], Record]] = {
    "argon2": _read_argon2,
    "bcrypt": _read_bcrypt,
    "hmac": _read_hmac,
    "ldap": _read_ldap,
    "md4": _read_digest,
    "md5": _read_digest,
    "sha1": _read_digest,
    "sha256": _read_digest,
    "sha512": _read_digest,
    "pbkdf2": _read_pbkdf2,
    "scrypt": _read_scrypt,
}
_COMPARISONS: dict[str, Callable[[Record, bytes], bool]] = {
    "argon2": _is_argon2,
    "bcrypt": _is_bcrypt,
    "hmac": _is_hmac,
    "pbkdf2": _is_pbkdf2,
    "scrypt": _is_scrypt,
}


def _digest_value(hashed: Given, digest: str) -> str:
    raw = octets_of(hashed, "hash", ("hex", "base64"))
    if digest not in ("md4", *hashlib.algorithms_available):
        raise BadHash(f"{digest} cannot be verified by this server's OpenSSL")
    if len(raw) != _constructor(digest)(b"").digest_size:
        raise BadHash(f"hash.value has not the length of {digest}")
    return b64(raw)


def _salted(record: Record, secret: bytes) -> bytes:
    salt = _stored_bytes(record, "salt")
    return salt + secret if record["position"] == "prefix" else secret + salt


def _constructor(digest: str) -> Callable[..., Any]:
    """OpenSSL 3 has no MD4; libpass brings one in Python, 0.4 ms for a kilobyte."""
    if digest == "md4":
        return cast(Callable[..., Any], lookup_hash("md4").const)
    return partial(hashlib.new, digest, usedforsecurity=False)


def _stored_bytes(record: Record, name: str) -> bytes:
    return base64.b64decode(str(record[name]))
