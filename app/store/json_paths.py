"""What stands at a path in a JSON column, alike on SQLite and PostgreSQL.

Lists on the way and at the end are looked into, one level deep: `addresses.city` finds the city of any address.
The JSON was written by json.dumps, so a plain name or text that is nowhere in the column's text cannot be in its
value: that is asked first, because it is a hundred times cheaper than reading JSON in every row.
"""

import json
import re
from collections.abc import Callable, Sequence

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Float,
    FromClause,
    Text,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH

from app.store.dialects import ByDialect, bound

_PLAIN = re.compile(r"[ -\[\]-~]+")  # ASCII without the backslash: written as it is, its quotes around it
_NUMBER = re.compile(
    r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?"
)  # what a double holds exactly, on both databases
_BOOLEANS = {"true": True, "false": False}
# Escapes that json.dumps writes and jsonb refuses, for the whole statement: NUL, and halves of surrogate pairs.
_UNREADABLE = (
    r"\\u0000|\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    r"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
_IS_ANYTHING = (
    '@.type() == "string" || @.type() == "number" || @.type() == "boolean"'
    ' || (@.type() == "object" && exists(@.*)) || (@.type() == "array" && @.size() > 0)'
)


def has_value(column: ColumnElement[object], path: Sequence[str], value: str) -> ColumnElement[bool]:
    """Whether the text, or the number or boolean that is written like it, stands at the path."""
    number = _number(value)
    looked_for: dict[str, object] = {"text": value}
    tests = ['(@.type() == "string" && @ == $text)']
    if number is not None:
        looked_for["number"] = number
        tests.append('(@.type() == "number" && @ == $number)')
    if value in _BOOLEANS:
        looked_for["boolean"] = _BOOLEANS[value]
        tests.append('(@.type() == "boolean" && @ == $boolean)')

    def is_it(found: FromClause) -> ColumnElement[bool]:
        each = [and_(found.c.type == "text", found.c.value == bound(value))]
        if number is not None:
            kind = Float() if isinstance(number, float) else BigInteger()
            each.append(and_(found.c.type.in_(["integer", "real"]), found.c.value == literal(number, kind)))
        if value in _BOOLEANS:
            each.append(found.c.type == bound(value))
        return or_(*each)

    mentioned = [json.dumps(value)] if len(tests) == 1 else [value] if _is_written_alike(value) else []
    return _guarded(
        column,
        path,
        mentioned,
        _sqlite(column, path, is_it),
        _postgresql(column, path, " || ".join(tests), looked_for),
    )


def has_anything(column: ColumnElement[object], path: Sequence[str]) -> ColumnElement[bool]:
    """Whether there is more at the path than nulls and empty lists and objects."""
    if not path:
        return cast(column, Text).not_in(["{}", "[]", "null"])

    def is_it(found: FromClause) -> ColumnElement[bool]:
        is_filled = and_(found.c.type.in_(["object", "array"]), found.c.value.not_in(["{}", "[]"]))
        return or_(found.c.type.in_(["text", "integer", "real", "true", "false"]), is_filled)

    return _guarded(
        column, path, (), _sqlite(column, path, is_it), _postgresql(column, path, _IS_ANYTHING, {})
    )


def _is_written_alike(value: str) -> bool:
    """Whether it has the same characters as text and as what it means: 1.50 has not, for it is kept as 1.5."""
    return value in _BOOLEANS or value == str(_number(value))


def _number(value: str) -> int | float | None:
    found = _NUMBER.fullmatch(value)
    if found is None:
        return None
    return float(value) if found[2] else int(value)


def _guarded(
    column: ColumnElement[object],
    path: Sequence[str],
    mentioned: Sequence[str],
    sqlite: ColumnElement[bool],
    postgresql: ColumnElement[bool],
) -> ColumnElement[bool]:
    """CASE, because only that has an order: first the cheap test, then the JSON that may be there."""
    plain = [text for text in (*mentioned, *map(json.dumps, path)) if _PLAIN.fullmatch(text)]
    may_be = and_(true(), *(cast(column, Text).contains(text, autoescape=True) for text in plain))
    return ByDialect(
        case((and_(may_be, func.json_valid(column) == 1), sqlite), else_=false()),
        case((may_be, postgresql), else_=false()),
    )


def _postgresql(
    column: ColumnElement[object], path: Sequence[str], test: str, looked_for: dict[str, object]
) -> ColumnElement[bool]:
    way = "$" + "".join("." + json.dumps(name) for name in path) + f" ? ({test})"
    written = cast(column, Text)
    readable = case(
        (
            written.contains(r"\u", autoescape=True),
            func.regexp_replace(written, _UNREADABLE, r"\\ufffd", "g"),
        ),
        else_=written,
    )
    variables = cast(bound(json.dumps(looked_for)), JSONB)
    return func.jsonb_path_exists(cast(readable, JSONB), cast(bound(way), JSONPATH), variables)


def _sqlite(
    column: ColumnElement[object], path: Sequence[str], is_it: Callable[[FromClause], ColumnElement[bool]]
) -> ColumnElement[bool]:
    found = _each(cast(column, Text))  # metadata are objects
    tables, conditions = [found], [found.c.key == bound(path[0])]
    for name in path[1:]:
        # A list is replaced by its members, an object stands for itself, and anything else has no members.
        is_object = found.c.type == "object"
        members = _each(case((found.c.type == "array", found.c.value), (is_object, "[0]"), else_="[]"))
        one = case((is_object, found.c.value), (members.c.type == "object", members.c.value), else_="{}")
        found = _each(one)
        tables += [members, found]
        conditions.append(found.c.key == bound(name))
    inner = _each(case((found.c.type == "array", found.c.value), else_="[]"))
    is_inside = select(literal_column("1")).select_from(inner).where(is_it(inner)).correlate(*tables).exists()
    is_there = or_(and_(found.c.type != "array", is_it(found)), is_inside)
    return (
        select(literal_column("1"))
        .select_from(*tables)
        .where(*conditions, is_there)
        .correlate(column.table)
        .exists()
    )


def _each(json_text: ColumnElement[str]) -> FromClause:
    return func.json_each(json_text).table_valued("key", "value", "type", joins_implicitly=True)
