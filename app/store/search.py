"""From a query's tree (app.search) to a condition: only the fields that are given can be asked for.

Every value of the query becomes a bound parameter. What does not exist is not equal to anything, and NOT finds it:
`NOT blocked:true` is everybody who is not blocked, where SQL alone would lose rows over a NULL.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import BigInteger, ColumnElement, and_, case, false, literal, or_, true

from app.search import And, BadQuery, Exists, Node, Not, Or, Range, Term, Wildcard
from app.store import json_paths
from app.store.base import UTCDateTime
from app.store.dialects import is_like, is_one_of, spellings
from app.store.moments import moment

Condition: TypeAlias = ColumnElement[bool]

MAX_PATH = 8  # members of members of metadata; SQLite joins at most 64 tables, and each level is two
# What a search may cost, in milliseconds on 100,000 people that no index rules out; reading them takes twenty more.
MAX_COST = 180
EQUAL_COST = 1  # one of a list of values
LIKE_COST = 5  # a spelling, compared with part of a text
ROWS_COST = 30  # rows of another table that belong to the person
JSON_COST = 30  # what stands at a path in metadata


@dataclass(frozen=True)
class Text:
    column: ColumnElement[Any]
    is_folded: bool = False
    """Case does not matter."""
    has_words: bool = False
    """A word that is not in quotes may be one of several."""
    is_bare: bool = False
    """Found by a term without a field."""
    look_up: Callable[[Sequence[str]], Condition] | None = None
    """What is quickly said about being one of some values; asked before the comparison itself."""
    cost: int = LIKE_COST
    """Of one pattern."""


@dataclass(frozen=True)
class Flag:
    column: ColumnElement[bool]
    is_shown_when_false: bool = True


@dataclass(frozen=True)
class Number:
    column: ColumnElement[int]
    is_shown_when_zero: bool = True


@dataclass(frozen=True)
class Time:
    column: ColumnElement[datetime]


@dataclass(frozen=True)
class Json:
    column: ColumnElement[Any]
    path: tuple[str, ...] = ()


@dataclass(frozen=True)
class Through:
    """A field of rows in another table; `link` says what a condition on them means here."""

    link: Callable[[Condition], Condition]
    field: "Text | Time"
    is_bare: bool = False
    cost: int = EQUAL_COST


Field: TypeAlias = Text | Flag | Number | Time | Json | Through


def condition(node: Node, fields: Mapping[str, Field]) -> Condition:
    """What the query demands of a row. Raises BadQuery for a field that is not there or cannot be asked like that."""
    if _cost(node, fields) > MAX_COST:
        raise BadQuery("the query compares too much: name the fields, and fewer members of metadata")
    return _condition(node, fields)


def _cost(node: Node, fields: Mapping[str, Field]) -> int:
    match node:
        case And(parts) | Or(parts):
            return sum(_cost(part, fields) for part in parts)
        case Not(part):
            return _cost(part, fields)
        case Term(name, value, is_phrase):
            asked = _bare(fields) if name is None else [(name, _field(name, fields))]
            is_word = name is None or not is_phrase
            return sum(
                _cost_of(field, (value,), is_pattern=is_word and _has_words(field)) for _, field in asked
            )
        case Wildcard(name, pieces):
            asked = _bare(fields) if name is None else [(name, _field(name, fields))]
            return sum(_cost_of(field, pieces, is_pattern=True) for _, field in asked)
        case Range(name) | Exists(name):
            return _cost_of(_field(name, fields), ("",), is_pattern=isinstance(node, Exists))


def _cost_of(field: Field, pieces: Sequence[str], *, is_pattern: bool) -> int:
    match field:
        case Json():
            return JSON_COST
        case Through(cost=cost):
            return cost
        case Text() if is_pattern:
            return field.cost * (len(spellings(pieces)) if field.is_folded else 1)
    return EQUAL_COST


def _has_words(field: Field) -> bool:
    return isinstance(field, Text) and field.has_words


def _condition(node: Node, fields: Mapping[str, Field]) -> Condition:
    match node:
        case And(parts):
            return and_(*(_condition(part, fields) for part in parts))
        case Or(parts):
            return or_(*_alternatives(parts, fields))
        case Not(part):
            # CASE, because inside coalesce() SQLite works out every comparison of a row, the decided ones too.
            return case((_condition(part, fields), false()), else_=true())
        case Term():
            return or_(*_alternatives([node], fields))
        case Wildcard(name, pieces):
            asked = _bare(fields) if name is None else [(name, _field(name, fields))]
            return or_(*(_like(each, field, pieces) for each, field in asked))
        case Range():
            return _within(node, _field(node.field, fields))
        case Exists(name):
            return _exists(_field(name, fields))


def _alternatives(parts: Iterable[Node], fields: Mapping[str, Field]) -> list[Condition]:
    """A list of values of one field becomes one IN: fifty comparisons a row would be too many."""
    values: dict[tuple[str | None, bool], list[str]] = {}
    for part in parts:
        if isinstance(part, Term):
            values.setdefault((part.field, part.is_phrase), []).append(part.value)
    found = [_condition(part, fields) for part in parts if not isinstance(part, Term)]
    for (name, is_phrase), each in values.items():
        if name is None:
            found += [_equal(bare, field, each, has_words=True) for bare, field in _bare(fields)]
        else:
            found.append(_equal(name, _field(name, fields), each, has_words=not is_phrase))
    return found


def _field(name: str, fields: Mapping[str, Field]) -> Field:
    if (field := fields.get(name)) is not None:
        return field
    root, *path = name.split(".")
    bag = fields.get(root)
    if not isinstance(bag, Json) or not all(path):
        raise BadQuery(f"there is no field {name[:50]!r} to search in")
    if len(path) > MAX_PATH:
        raise BadQuery(f"{root} can be searched {MAX_PATH} members deep")
    return Json(bag.column, tuple(path))


def _bare(fields: Mapping[str, Field]) -> list[tuple[str, Field]]:
    return [
        (name, field) for name, field in fields.items() if isinstance(field, Text | Through) and field.is_bare
    ]


def _equal(name: str, field: Field, values: Sequence[str], *, has_words: bool) -> Condition:
    match field:
        case Text(has_words=True) if has_words:
            return or_(*(_has_word(field, value) for value in values))
        case Text():
            is_equal = is_one_of(field.column, values, is_folded=field.is_folded)
            return is_equal if field.look_up is None else and_(field.look_up(values), is_equal)
        case Flag():
            return or_(*(field.column.is_(_flag(name, value)) for value in values))
        case Number():
            return field.column.in_([literal(_number(name, value), BigInteger()) for value in values])
        case Time():
            spans = [moment(name, value) for value in values]
            return or_(*(and_(field.column >= _at(start), field.column < _at(end)) for start, end in spans))
        case Json(path=()):
            raise BadQuery(f"name a member: {name}.member")
        case Json():
            return or_(*(json_paths.has_value(field.column, field.path, value) for value in values))
        case Through():
            return field.link(_equal(name, field.field, values, has_words=has_words))


def _has_word(field: Text, word: str) -> Condition:
    """Most rows do not have its letters at all, which is told without adding spaces to each."""
    has_letters = is_like(field.column, ("", word, ""), is_folded=field.is_folded)
    spaced = " " + field.column + " "
    return and_(has_letters, is_like(spaced, ("", f" {word} ", ""), is_folded=field.is_folded))


def _like(name: str, field: Field, pieces: Sequence[str]) -> Condition:
    match field:
        case Text():
            return is_like(field.column, pieces, is_folded=field.is_folded)
        case Through():
            return field.link(_like(name, field.field, pieces))
        case _:
            raise BadQuery(f"{name[:50]} cannot be searched with a wildcard")


def _within(node: Range, field: Field) -> Condition:
    bounds: list[ColumnElement[Any] | None]
    match field:
        case Number():
            low = None if node.low is None else (_number(node.field, node.low), not node.has_low)
            high = None if node.high is None else (_number(node.field, node.high), node.has_high)
            # Whole numbers: beyond 3 is from 4, up to 3 is below 4.
            bounds = [None if b is None else literal(b[0] + b[1], BigInteger()) for b in (low, high)]
        case Time():
            # A day is all of its moments: `}` stops before the first of them, `]` after the last.
            start = None if node.low is None else moment(node.field, node.low)[0 if node.has_low else 1]
            end = None if node.high is None else moment(node.field, node.high)[1 if node.has_high else 0]
            bounds = [None if point is None else _at(point) for point in (start, end)]
        case Through():
            return field.link(_within(node, field.field))
        case _:
            raise BadQuery(f"{node.field[:50]} cannot be searched by a range")
    limits = [] if bounds[0] is None else [field.column >= bounds[0]]
    limits += [] if bounds[1] is None else [field.column < bounds[1]]
    return and_(field.column.is_not(None), *limits)


def _exists(field: Field) -> Condition:
    match field:
        case Text():
            return field.column != ""
        case Flag():
            return field.column.is_not(None) if field.is_shown_when_false else field.column.is_(True)
        case Number():
            return field.column.is_not(None) if field.is_shown_when_zero else field.column != 0
        case Time():
            return field.column.is_not(None)
        case Json():
            return json_paths.has_anything(field.column, field.path)
        case Through():
            return field.link(_exists(field.field))


def _flag(name: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise BadQuery(f"{name} is true or false")
    return value == "true"


def _number(name: str, value: str) -> int:
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):  # a column has 64 bits
        raise BadQuery(f"{name} is a whole number")
    return int(value)


def _at(point: datetime) -> ColumnElement[datetime]:
    return literal(point, UTCDateTime())
