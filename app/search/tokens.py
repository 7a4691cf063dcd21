"""A query as operators, names of fields, words and ranges, read from left to right without looking back."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from app.search.tree import BadQuery, Range

_OPERATORS = {"AND", "OR", "NOT"}
HOW_A_RANGE_IS_WRITTEN = "a range is written field:[a TO b]"
_ENDS_A_WORD = '()"'
_NOT_IN_A_WORD = {
    "?": "? is not supported; use *",
    "~": "fuzzy and proximity searches (~) are not supported",
    "^": "boosting (^) is not supported",
    **dict.fromkeys("[]{}", HOW_A_RANGE_IS_WRITTEN),
}
_NOT_AT_THE_BEGINNING = {
    "/": "regular expressions are not supported",
    "!": "write NOT or - instead of !",
    **dict.fromkeys("<>", "write a range like {100 TO *] instead of < and >"),
}


@dataclass(frozen=True)
class Operator:
    """One of AND, OR, NOT and the parentheses."""

    sign: str


@dataclass(frozen=True)
class Field:
    name: str


@dataclass(frozen=True)
class Word:
    pieces: tuple[str, ...]
    is_phrase: bool = False


Token: TypeAlias = Operator | Field | Word | Range


def tokens(text: str) -> Iterator[Token]:
    at, is_value = 0, False
    while (at := _skip_space(text, at)) < len(text):
        token: Token
        sign = text[at]
        if sign in "()":
            token, at = Operator(sign), at + 1
        elif sign == '"':
            value, at = _phrase(text, at)
            token = Word((value,), is_phrase=True)
        elif sign in "[{":
            token, at = _range(text, at)
        elif sign == "-" and not is_value:
            token, at = Operator("NOT"), at + 1
        else:
            token, at = _word(text, at, is_value)
        yield token
        is_value = isinstance(token, Field)


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _phrase(text: str, at: int) -> tuple[str, int]:
    read: list[str] = []
    at += 1
    while at < len(text):
        if text[at] == '"':
            return "".join(read), at + 1
        if text[at] == "\\":
            at += 1
        read.append(text[at : at + 1])
        at += 1
    raise BadQuery('a " is not closed')


def _range(text: str, at: int) -> tuple[Range, int]:
    """A range that does not know its field yet."""
    has_low = text[at] == "["
    low, at = _bound(text, at + 1)
    at = _skip_space(text, at)
    if text[at : at + 2] != "TO":
        raise BadQuery(HOW_A_RANGE_IS_WRITTEN)
    high, at = _bound(text, at + 2)
    at = _skip_space(text, at)
    if text[at : at + 1] not in ("]", "}"):
        raise BadQuery("a range is not closed by ] or }")
    return Range("", low, high, has_low, text[at] == "]"), at + 1


def _bound(text: str, at: int) -> tuple[str | None, int]:
    at = _skip_space(text, at)
    if text[at : at + 1] == '"':
        return _phrase(text, at)
    read: list[str] = []
    start = at
    while at < len(text) and not text[at].isspace() and text[at] not in "[]{}":
        if text[at] == "\\":
            at += 1
        read.append(text[at : at + 1])
        at += 1
    if text[start:at] == "*":
        return None, at
    if "*" in text[start:at]:
        raise BadQuery("a bound of a range is a value or * alone")
    if not read:
        raise BadQuery(HOW_A_RANGE_IS_WRITTEN)
    return "".join(read), at


def _word(text: str, at: int, is_value: bool) -> tuple[Token, int]:
    """A word, an operator, or the name of a field up to its colon; in a value, colons are characters."""
    if text[at] in _NOT_AT_THE_BEGINNING:
        raise BadQuery(_NOT_AT_THE_BEGINNING[text[at]])
    start, pieces = at, [""]
    while at < len(text) and not text[at].isspace() and text[at] not in _ENDS_A_WORD:
        sign = text[at]
        if sign in _NOT_IN_A_WORD:
            raise BadQuery(_NOT_IN_A_WORD[sign])
        if sign == ":" and not is_value:
            if not (name := "*".join(pieces)):
                raise BadQuery("there is no field before a colon")
            return Field(name), at + 1
        if sign == "*":
            pieces.append("")
        elif sign == "\\":
            at += 1
            if at == len(text):
                raise BadQuery("the query ends with a backslash")
            pieces[-1] += text[at]
        else:
            pieces[-1] += sign
        at += 1
    if text[start:at] in ("&&", "||"):
        raise BadQuery("write AND and OR instead of && and ||")
    if text[start:at] in _OPERATORS:
        return Operator(text[start:at]), at
    return Word(tuple(pieces)), at
