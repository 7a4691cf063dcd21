"""How a person's name, e-mail address or phone number is compared: one normal form, one key.

PRECIS UsernameCaseMapped (RFC 8265 3.3) where it applies, so that `Ana@Example.com`, its upper case and its
decomposed spelling are one identifier, with one account and one failure count.
"""

import re
import unicodedata

import precis_i18n

MAX_CHARACTERS = 255

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
