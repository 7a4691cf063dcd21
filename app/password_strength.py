"""How strong a password is by Auth0's rules: its length, its kinds of characters, its rows.

Each rule is reported in the shape that Auth0's libraries read (`message`, `format`, `code`, `verified`, `items`),
met or not, because a person who is refused wants to see all of them.
"""

import re
import string
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

MAX_ROW = 2  # identical or sequential characters in a row where that is ruled
TYPES = ("lowercase", "uppercase", "number", "special")

_CHARACTERS = {  # ASCII, as the messages say
    "lowercase": ("lowerCase", "lower case letters (a-z)", frozenset(string.ascii_lowercase)),
    "uppercase": ("upperCase", "upper case letters (A-Z)", frozenset(string.ascii_uppercase)),
    "number": ("numbers", "numbers (i.e. 0-9)", frozenset(string.digits)),
    "special": (
        "specialCharacters",
        "special characters (e.g. !@#$%^&*)",
        frozenset(string.punctuation + " "),
    ),
}
_ALPHANUMERIC = frozenset(string.ascii_letters + string.digits)

Rule = dict[str, object]


@dataclass(frozen=True)
class Strength:
    min_length: int
    types: tuple[str, ...] = ()
    types_needed: int = 0
    """How many of the types; fewer than all reads "at least"."""
    max_identical: int = 0
    """In a row; 0 is any number, here and below."""
    max_sequential: int = 0
    max_bytes: int = 0


LEVELS = {
    "none": Strength(1),
    "low": Strength(6),
    "fair": Strength(8, TYPES[:3], 3),
    "good": Strength(8, TYPES, 3),
    "excellent": Strength(10, TYPES, 3, max_identical=MAX_ROW),
}


def measure(wanted: Strength, text: str) -> list[Rule]:
    """Every rule of strength, with whether the text meets it; also what a page shows while somebody types."""
    if wanted.min_length == 1:
        found = [rule_of("nonEmpty", "Non-empty password required", bool(text))]
    else:
        is_long = len(text) >= wanted.min_length
        found = [rule_of("lengthAtLeast", "At least %d characters in length", is_long, wanted.min_length)]
    if wanted.types:
        found.append(_types_rule(wanted, text))
    if most := wanted.max_identical:
        message = 'No more than %d identical characters in a row (e.g., "%s" not allowed)'
        found.append(rule_of("identicalChars", message, _row(text, 0) <= most, most, "a" * (most + 1)))
    if most := wanted.max_sequential:
        message = 'No more than %d sequential alphanumeric characters (e.g., "%s" not allowed)'
        example = string.ascii_lowercase[: most + 1]
        is_mixed = max(_row(text, 1), _row(text, -1)) <= most
        found.append(rule_of("sequentialChars", message, is_mixed, most, example))
    if most := wanted.max_bytes:
        is_short = len(text.encode("utf-8", "surrogatepass")) <= most
        found.append(rule_of("maxLength", "Maximum password length exceeded", is_short, most))
    return found


def _types_rule(wanted: Strength, text: str) -> Rule:
    items: list[Rule] = []
    for name in wanted.types:
        code, message, characters = _CHARACTERS[name]
        items.append(rule_of(code, message, not characters.isdisjoint(text)))
    is_met = sum(item["verified"] is True for item in items) >= wanted.types_needed
    if wanted.types_needed == len(items):
        return {**rule_of("shouldContain", "Should contain:", is_met), "items": items}
    message = "Contain at least %d of the following %d types of characters:"
    return {**rule_of("containsAtLeast", message, is_met, wanted.types_needed, len(items)), "items": items}


def rule_of(code: str, message: str, is_met: bool, *format: object) -> Rule:
    found: Rule = {"message": message, "code": code, "verified": is_met}
    return {**found, "format": list(format)} if format else found


def _row(text: str, step: int) -> int:
    """How long the longest row is in which each character is `step` after the one before; beyond 0, of letters and
    digits of ASCII.
    """
    longest = row = min(len(text), 1)
    for before, after in pairwise(text):
        is_row = ord(after) - ord(before) == step and (step == 0 or {before, after} <= _ALPHANUMERIC)
        row = row + 1 if is_row else 1
        longest = max(longest, row)
    return longest


def as_text(rules: Iterable[Rule], indent: str = "") -> str:
    lines = []
    for rule in rules:
        message = str(rule["message"])
        for value in rule.get("format", ()):  # type: ignore[attr-defined]
            message = re.sub("%[ds]", str(value), message, count=1)
        lines.append(f"{indent}* {message}")
        if "items" in rule:
            lines.append(as_text(rule["items"], indent + " "))  # type: ignore[arg-type]
    return "\n".join(lines)
