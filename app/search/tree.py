"""What a query was read into, the limits that bound it, and the refusal of one that cannot be read."""

from dataclasses import dataclass
from typing import TypeAlias

MAX_LENGTH = 2_000  # characters: fifty user ids in one list fit
MAX_DEPTH = 10  # parentheses within parentheses; bounds the recursion of everything that walks the tree
MAX_TERMS = 50  # as many rows as a page shows
MIN_LITERALS = 3  # in a wildcard that cannot use the beginning of the text


class BadQuery(ValueError):
    """The text is for the administrator who wrote the query."""


@dataclass(frozen=True)
class Term:
    field: str | None
    value: str
    is_phrase: bool
    """Written in quotes: the whole value, where a word alone may be one of several."""


@dataclass(frozen=True)
class Wildcard:
    field: str | None
    pieces: tuple[str, ...]
    """What stands between the stars: `jo*` is ("jo", ""), `*usa*` is ("", "usa", "")."""


@dataclass(frozen=True)
class Range:
    field: str
    low: str | None
    high: str | None
    has_low: bool
    """Whether the bound itself belongs to the range."""
    has_high: bool


@dataclass(frozen=True)
class Exists:
    field: str


@dataclass(frozen=True)
class Not:
    part: "Node"


@dataclass(frozen=True)
class And:
    parts: "tuple[Node, ...]"


@dataclass(frozen=True)
class Or:
    parts: "tuple[Node, ...]"


Node: TypeAlias = Term | Wildcard | Range | Exists | Not | And | Or
