"""The members of a `custom_password_hash`: each in the form it must have, or a text that says which one has not."""

import base64
import binascii
import re
from collections.abc import Mapping

MAX_TEXT = 2048  # characters of one member; real ones have some hundred at most
MAX_WHOLE = 2**21

ENCODINGS = {  # how the other system turned a password into bytes, in Node's words
    "ascii": "ascii",
    "utf8": "utf-8",
    "utf16le": "utf-16-le",
    "ucs2": "utf-16-le",
    "latin1": "latin-1",
    "binary": "latin-1",
}

Given = Mapping[str, object]
Record = dict[str, str | int]

_URL_SAFE = str.maketrans("-_", "+/")


class BadHash(ValueError):
    """A hash that cannot be imported; the text says which member is wrong."""


def members_of(value: object, name: str, known: set[str]) -> Given:
    if not isinstance(value, Mapping):
        raise BadHash(f"{name} must be an object")
    strange = {str(member) for member in value} - known
    if strange:
        raise BadHash(f"{name} has no member {', '.join(sorted(strange))[:100]!r}")
    return value


def word_of(given: Given, name: str, allowed: tuple[str, ...], usual: str | None = None) -> str:
    value = given.get(name.rpartition(".")[2], usual)
    if not isinstance(value, str) or value not in allowed:
        raise BadHash(f"{name} is one of: {', '.join(allowed)}")
    return value


def whole_of(given: Given, name: str, usual: int | None) -> int:
    value = given.get(name, usual)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_WHOLE:
        raise BadHash(f"{name} must be a whole number from 1 to {MAX_WHOLE}")
    return value


def text_of(given: Given, name: str) -> str:
    value = given.get("value")
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise BadHash(f"{name}.value must be a text of at most {MAX_TEXT} characters")
    return value


def whole_text(
    given: Given, hashed: Given, form: re.Pattern[str], called: str, *, may_have_salt: bool = False
) -> re.Match[str]:
    """The `hash.value` of an algorithm whose hashes say everything in one text."""
    word_of(hashed, "hash.encoding", ("utf8",), "utf8")
    if "salt" in given and not may_have_salt:
        raise BadHash("salt is not allowed here: the hash contains it")
    found = form.fullmatch(text_of(hashed, "hash"))
    if found is None:
        raise BadHash(f"hash.value must be {called}")
    return found


def octets_of(given: Given, name: str, allowed: tuple[str, ...], usual: str | None = None) -> bytes:
    return decoded(text_of(given, name), word_of(given, f"{name}.encoding", allowed, usual), name)


def decoded(text: str, encoding: str, name: str) -> bytes:
    try:
        if encoding == "utf8":
            return text.encode()
        if encoding == "hex":
            return binascii.unhexlify(text)
        bare = text.rstrip("=").translate(_URL_SAFE)
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except ValueError:
        raise BadHash(f"{name}.value is not {encoding}") from None


def phc_octets(text: str) -> bytes:
    """PHC's base64: no padding, no stray bits, or libargon2 refuses it at the first login."""
    raw = decoded(text, "base64", "hash")
    if b64(raw).rstrip("=") != text:
        raise BadHash("hash.value must hold base64 without padding")
    return raw


def encoding_of(given: Given) -> str:
    """Python's name of the passwords' encoding."""
    password = members_of(given.get("password", {}), "password", {"encoding"})
    return ENCODINGS[word_of(password, "password.encoding", tuple(ENCODINGS), "utf8")]


def salt_of(given: Given) -> Record:
    """The salt of algorithms that have none of their own; an absent one is empty."""
    found = members_of(given.get("salt", {"value": ""}), "salt", {"value", "encoding", "position"})
    position = word_of(found, "salt.position", ("prefix", "suffix"), "prefix")
    return {"salt": b64(octets_of(found, "salt", ("base64", "hex", "utf8"), "utf8")), "position": position}


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
