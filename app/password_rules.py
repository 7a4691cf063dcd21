"""What a new password must be like: the rules of one realm, and which of them a password breaks.

Rules come from a connection's `options` in Auth0's words, of either generation; `password_options` replaces the older
members altogether. Refusals are Auth0's: name, message, and for strength the list of rules with what was met.

Lengths count characters of the normal form, so that an accent typed in two ways counts the same. Nothing is ever cut:
`max_length_exceeded: truncate` and the older generation accept whole what Auth0 would cut after 72 bytes, and only
`error` refuses more than 72 bytes.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from app.common_passwords import LARGE, SMALL, common_passwords
from app.password_strength import LEVELS, MAX_ROW, TYPES, Strength, as_text, measure, rule_of
from app.passwords import MAX_CHARACTERS, PasswordUnusable, normal_form

NIST_ALONE = 15  # characters where the password can be all that is asked for (SP 800-63B-4, 3.1.1.2)
NIST_WITH_FACTOR = 8
BCRYPT_BYTES = 72  # what `max_length_exceeded: error` holds on to
MAX_LENGTH = 128  # the longest minimum
MAX_HISTORY = 24
USUAL_HISTORY = 5
MIN_FACT = 3  # characters: initials and the like stand in half of all passwords

PROFILE_FIELDS = (  # what Auth0 looks at when it does not say
    "name",
    "username",
    "nickname",
    "email",
    "user_metadata.name",
    "user_metadata.first",
    "user_metadata.last",
)

_USUAL = LEVELS["good"]
_BETWEEN_WORDS = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class PasswordRules:
    strength: Strength
    dictionary: str | None = None
    """`en_10k`, `en_100k`, or none."""
    own_words: frozenset[str] = frozenset()
    history_size: int = 0
    """How many earlier hashes to keep and to compare with, at most 24."""
    profile_fields: tuple[str, ...] = ()
    """Which members of a profile must not be in the password; `facts_of` takes them out."""


@dataclass(frozen=True)
class Failure:
    """Why a password is refused, in Auth0's words."""

    name: str
    code: str
    message: str
    description: str | dict[str, object]
    policy: str | None = None
    """The rules of strength as text, one on a line."""

    def __str__(self) -> str:
        """As the management API says it."""
        return f"{self.name}: {self.message}"


# --- reading a realm's options -------------------------------------------------------------------------------------


def rules_of(options: Mapping[str, object], *, is_password_only: bool) -> PasswordRules:
    """The rules of a connection's `options`; a member that is absent or no such value counts as Auth0's default.

    `assurance: nist` is expected among the options, wherever the realm keeps it. `is_password_only`: no second factor
    is always required.
    """
    modern = options.get("password_options")
    rules = _modern(modern) if isinstance(modern, Mapping) else _older(options)
    return _nist(rules, is_password_only) if options.get("assurance") == "nist" else rules


def _older(options: Mapping[str, object]) -> PasswordRules:
    level = options.get("passwordPolicy")
    strength = LEVELS.get(level, _USUAL) if isinstance(level, str) else _USUAL
    complexity = _part(options, "password_complexity_options")
    least = _number(complexity.get("min_length"), strength.min_length, 1, MAX_LENGTH)
    history, dictionary = _part(options, "password_history"), _part(options, "password_dictionary")
    is_listed = dictionary.get("enable") is True
    is_personal = _part(options, "password_no_personal_info").get("enable") is True
    return PasswordRules(
        strength=replace(strength, min_length=least),
        dictionary=SMALL if is_listed else None,
        own_words=_words(dictionary.get("dictionary")) if is_listed else frozenset(),
        history_size=_history_size(history, "enable", 0),
        profile_fields=PROFILE_FIELDS if is_personal else (),
    )


def _modern(options: Mapping[str, object]) -> PasswordRules:
    complexity, dictionary = _part(options, "complexity"), _part(options, "dictionary")
    types = tuple(name for name in TYPES if name in _strings(complexity.get("character_types")))
    is_three = complexity.get("character_type_rule") == "three_of_four" and types == TYPES
    strength = Strength(
        min_length=_number(complexity.get("min_length"), _USUAL.min_length, 1, BCRYPT_BYTES),
        types=types,
        types_needed=3 if is_three else len(types),
        max_identical=MAX_ROW if complexity.get("identical_characters") == "block" else 0,
        max_sequential=MAX_ROW if complexity.get("sequential_characters") == "block" else 0,
        max_bytes=BCRYPT_BYTES if complexity.get("max_length_exceeded") == "error" else 0,
    )
    is_listed, profile = dictionary.get("active") is True, _part(options, "profile_data")
    fields = _strings(profile.get("blocked_fields")) or PROFILE_FIELDS
    return PasswordRules(
        strength=strength,
        dictionary=(LARGE if dictionary.get("default") == LARGE else SMALL) if is_listed else None,
        own_words=_words(dictionary.get("custom")) if is_listed else frozenset(),
        history_size=_history_size(_part(options, "history"), "active", 1),
        profile_fields=fields if profile.get("active") is True else (),
    )


def _nist(rules: PasswordRules, is_password_only: bool) -> PasswordRules:
    """SP 800-63B-4, 3.1.1.2: long, on no list, nothing of the person; no composition rules and no shorter maximum."""
    least = NIST_ALONE if is_password_only else NIST_WITH_FACTOR
    return replace(
        rules,
        strength=Strength(max(rules.strength.min_length, least)),
        dictionary=rules.dictionary or SMALL,
        profile_fields=rules.profile_fields or PROFILE_FIELDS,
    )


def _history_size(history: Mapping[str, object], switch: str, least: int) -> int:
    return (
        _number(history.get("size"), USUAL_HISTORY, least, MAX_HISTORY) if history.get(switch) is True else 0
    )


def _part(options: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = options.get(name)
    return found if isinstance(found, Mapping) else {}


def _number(value: object, usual: int, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        return usual
    return min(max(value, low), high)


def _strings(value: object) -> tuple[str, ...]:
    return tuple(text for text in value if isinstance(text, str)) if isinstance(value, list | tuple) else ()


def _words(value: object) -> frozenset[str]:
    return frozenset(_folded(word) for word in _strings(value) if word)


# --- looking at a password -----------------------------------------------------------------------------------------


def check(
    rules: PasswordRules, password: str, *, facts: Iterable[str], is_used_before: Callable[[str], bool]
) -> Failure | None:
    """The first thing that is wrong with a new password: strength, dictionary, the person's facts, history.

    `is_used_before` is asked last, because comparing with hashes is slow; the caller compares `history_size` of them.
    """
    text, unusable = _normal(password)
    found = measure(rules.strength, text)
    if unusable:
        found.append(rule_of("unusable", unusable, False))
    if not all(rule["verified"] for rule in found):
        return _failure("PasswordStrengthError", {"rules": found, "verified": False}, as_text(found))
    folded = _folded(text)
    if folded in rules.own_words or (rules.dictionary and folded in common_passwords(rules.dictionary)):
        return _failure("PasswordDictionaryError", "Password is not allowed, it might be too common.")
    if rules.profile_fields and any(word in folded for fact in facts for word in _words_of(fact)):
        return _failure("PasswordNoUserInfoError", "Password is not allowed, it contains user information.")
    if rules.history_size and is_used_before(password):
        return _failure(
            "PasswordHistoryError", f"You may not reuse any of your last {rules.history_size} passwords."
        )
    return None


def facts_of(rules: PasswordRules, profile: Mapping[str, object]) -> list[str]:
    """The texts of an Auth0 user object that the rules keep out of a password."""
    found = []
    for field in rules.profile_fields:
        value: object = profile
        for name in field.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        if isinstance(value, str):
            found.append(value)
    return found


_REFUSALS = {  # code and message on the wire
    "PasswordStrengthError": ("invalid_password", "Password is too weak"),
    "PasswordDictionaryError": ("password_dictionary_error", "Password is too common"),
    "PasswordNoUserInfoError": ("password_no_user_info_error", "Password contains user information"),
    "PasswordHistoryError": ("invalid_password", "Password has previously been used"),
}


def _failure(name: str, description: str | dict[str, object], policy: str | None = None) -> Failure:
    return Failure(name, *_REFUSALS[name], description, policy)


def _normal(password: str) -> tuple[str, str | None]:
    """The normal form, or what can be looked at without one and why there is none."""
    try:
        return normal_form(password), None
    except PasswordUnusable as error:
        return password[:MAX_CHARACTERS], str(error) if password else None


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _words_of(fact: str) -> set[str]:
    """A fact and its words, where they are long enough to mean something; of an e-mail address what is before the @."""
    whole = _folded(fact).partition("@")[0]
    return {word for word in (whole, *_BETWEEN_WORDS.split(whole)) if len(word) >= MIN_FACT}
