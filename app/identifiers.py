"""How a person's name, e-mail address or phone number is compared: one normal form, one key.

PRECIS UsernameCaseMapped (RFC 8265 3.3) where it applies, so that `Ana@Example.com`, its upper case and its
decomposed spelling are one identifier, with one account and one failure count. What only looks the same has another
key, and the same skeleton (UTS 39): nobody is found by it, it is asked when an identifier is taken.
"""

import json
import re
import unicodedata
from collections import defaultdict
from functools import cache
from importlib.resources import files

import precis_i18n

MAX_CHARACTERS = 255
MAX_SKELETON_CHARACTERS = 2 * MAX_CHARACTERS  # of eighteen for one: an index of PostgreSQL has a limit

# Letters and marks that are not drawn (Default_Ignorable_Code_Point); those of category C are in no key.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_LEFT_TO_RIGHT_MARK = "\u200e"

_PROFILE = precis_i18n.get_profile("UsernameCaseMapped")


def normal_key(text: str) -> str | None:
    """The key under which an identifier is stored and counted; None when it cannot be anybody's."""
    text = text.strip()
    if not text or len(text) > MAX_CHARACTERS:
        return None
    local, at, domain = text.rpartition("@")
    try:
        if not at:
            return str(_PROFILE.enforce(text))
        # An address is not a username: `+` and quotes are allowed, but case and form are folded alike.
        # Lower case and not case folding, as PRECIS has it: else "gro\u00df" would be somebody else's "gross".
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", local).lower())
        if any(unicodedata.category(c)[0] in "CZ" for c in folded):
            return None
        return f"{folded}@{_PROFILE.enforce(domain)}"
    except UnicodeEncodeError:
        return None


def counting_key(text: str) -> str:
    """A key for any text at all: what cannot be anybody's is counted too."""
    return normal_key(text) or "?" + unicodedata.normalize("NFKC", text).casefold()[:MAX_CHARACTERS]


def is_phone_number(text: str) -> bool:
    """E.164, as stored: a plus and up to fifteen digits."""
    return re.fullmatch(r"\+[1-9][0-9]{1,14}", text) is not None


def is_email_address(text: str) -> bool:
    """Something before an `@` and something behind it; only a mail that arrives proves more."""
    key = normal_key(text)
    return key is not None and 0 < key.find("@") < len(key) - 1 and text.isprintable() and " " not in text


def skeleton(key: str) -> str:
    """What a reader sees of a key: two keys with one skeleton look alike (UTS 39, 4)."""
    prototypes = _prototypes()
    seen, text = "", unicodedata.normalize("NFD", _UNSEEN.sub("", key))
    while seen != text:
        seen = text
        text = unicodedata.normalize("NFD", "".join(prototypes.get(c, c) for c in seen))
    return text[:MAX_SKELETON_CHARACTERS]


def look_alike(one: str, other: str) -> bool:
    """Whether two keys are too near for two people.

    Plain ASCII beside plain ASCII is not: bob1 and bobl are real people's names, and nobody is hiding a script.
    """
    return not (one.isascii() and other.isascii()) and skeleton(one) == skeleton(other)


@cache
def _prototypes() -> dict[str, str]:
    """For each character that looks like another: what Unicode's confusables take it for.

    The library's file has every pair in both directions, and right-to-left ones between marks of Unicode's comment.
    The prototype of a pair is the side that has further partners or is more than one character; where two have
    only each other, either will do, as long as it is always the same one.
    """
    near: dict[str, set[str]] = defaultdict(set)
    table = files("homoglyphs_fork").joinpath("confusables.json").read_text("utf-8")
    for one, others in json.loads(table).items():
        for other in others:
            a, b = (
                unicodedata.normalize("NFD", side.replace(_LEFT_TO_RIGHT_MARK, "")) for side in (one, other)
            )
            near[a].add(b)
            near[b].add(a)
    found = {}
    for character, partners in near.items():
        if len(character) == 1 and len(partners) == 1:
            (partner,) = partners
            if len(partner) > 1 or len(near[partner]) > 1 or partner < character:
                found[character] = partner
    return found
