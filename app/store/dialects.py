"""Comparisons that SQLite and PostgreSQL write differently and that mean the same on both. Every value is bound.

Case is folded from A to Z alone in SQL: SQLite can no more, and PostgreSQL's answer would depend on the locale that
the cluster was made with. Letters beyond are met by asking for the usual spellings of the text that is looked for.
"""

from collections.abc import Callable, Sequence

from sqlalchemy import Boolean, ColumnElement, Text, collate, func, literal, or_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.visitors import InternalTraversal

_SPELLINGS: tuple[Callable[[str], str], ...] = (str, str.lower, str.upper, str.title)


class ByDialect(ColumnElement[bool]):
    """A condition in two spellings, of which each database gets its own."""

    inherit_cache = True
    _is_implicitly_boolean = True  # else SQLite is asked for `(…) = 1`, which works out both sides of an OR
    type = Boolean()
    _traverse_internals = [
        ("sqlite", InternalTraversal.dp_clauseelement),
        ("postgresql", InternalTraversal.dp_clauseelement),
    ]

    def __init__(self, sqlite: ColumnElement[bool], postgresql: ColumnElement[bool]) -> None:
        self.sqlite = sqlite
        self.postgresql = postgresql


@compiles(ByDialect)
def _compile(element: ByDialect, compiler: SQLCompiler, **options: object) -> str:
    chosen = element.postgresql if compiler.dialect.name == "postgresql" else element.sqlite
    return f"({compiler.process(chosen, **options)})"


def bound(value: str) -> ColumnElement[str]:
    return literal(value, Text())


def is_one_of(column: ColumnElement[str], values: Sequence[str], *, is_folded: bool) -> ColumnElement[bool]:
    if is_folded:
        spelled = sorted({spelling for value in values for (spelling,) in spellings((value,))})
        return ByDialect(
            is_one_of(func.lower(column), spelled, is_folded=False),
            is_one_of(func.lower(collate(column, "C")), spelled, is_folded=False),
        )
    return column == bound(values[0]) if len(values) == 1 else column.in_([bound(value) for value in values])


def is_like(column: ColumnElement[str], pieces: Sequence[str], *, is_folded: bool) -> ColumnElement[bool]:
    """Whether the text is these pieces with anything between them."""
    if is_folded:
        patterns = [bound("%".join(map(_for_like, spelling))) for spelling in spellings(pieces)]
        # SQLite's LIKE is blind to the case of A to Z by itself.
        return ByDialect(
            or_(*(column.like(pattern, escape="!") for pattern in patterns)),
            or_(*(func.lower(collate(column, "C")).like(pattern, escape="!") for pattern in patterns)),
        )
    return ByDialect(
        column.op("GLOB", is_comparison=True)(bound("*".join(map(_for_glob, pieces)))),
        column.like(bound("%".join(map(_for_like, pieces))), escape="!"),
    )


def spellings(pieces: Sequence[str]) -> list[tuple[str, ...]]:
    """How a text may be stored, seen with A to Z made small: what is beyond has kept its capitals."""
    return sorted({tuple(_folded(spell(piece)) for piece in pieces) for spell in _SPELLINGS})


def _folded(text: str) -> str:
    return "".join(c.lower() if c.isascii() else c for c in text)


def _for_like(text: str) -> str:
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def _for_glob(text: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in text)
