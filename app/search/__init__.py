"""The search language of administrators: the Lucene subset of Auth0's `q`, read into a small typed tree.

Nothing here knows fields or tables: what a field is called and how it is compared is app.store.search's business.
Precedence is NOT, AND, then OR; two terms side by side mean OR, Lucene's default. A negation that stands side by
side with other terms takes away from all of them: `a b -c` is `(a OR b) AND NOT c`, as in Lucene.
`+` is a character like any other, because phone numbers begin with it.
"""

from dataclasses import replace
from unicodedata import category

from app.search.tokens import HOW_A_RANGE_IS_WRITTEN, Field, Operator, Token, Word, tokens
from app.search.tree import (
    MAX_DEPTH,
    MAX_LENGTH,
    MAX_TERMS,
    MIN_LITERALS,
    And,
    BadQuery,
    Exists,
    Node,
    Not,
    Or,
    Range,
    Term,
    Wildcard,
)

__all__ = ["And", "BadQuery", "Exists", "Node", "Not", "Or", "Range", "Term", "Wildcard", "parse"]


def parse(text: str) -> Node:
    """Read a query. Raises BadQuery for what is not in the language, and for what is too long, deep or wide."""
    if len(text) > MAX_LENGTH:
        raise BadQuery(f"the query is longer than {MAX_LENGTH} characters")
    # PostgreSQL cannot hold a NUL and nothing can encode half a surrogate pair.
    if any(category(c) in ("Cc", "Cs") and c not in "\t\r\n" for c in text):
        raise BadQuery("the query has characters that are not text")
    parser = _Parser(list(tokens(text)))
    if not parser.tokens:
        raise BadQuery("the query is empty")
    node = parser.group(None, 0)
    if parser.peek() is not None:
        raise BadQuery("there is a ) without its (")
    return node


class _Parser:
    """Where in the tokens the reading stands. Recursion goes as deep as parentheses do, which is bounded."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.terms = 0

    def peek(self) -> Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self, sign: str) -> bool:
        """Go past this operator if it is the next token."""
        is_next = self.peek() == Operator(sign)
        self.at += is_next
        return is_next

    def group(self, field: str | None, depth: int) -> Node:
        """Everything up to the end or to a closing parenthesis, which stays."""
        clauses: list[tuple[Node, bool]] = []
        has_or: list[bool] = []
        while not clauses or self.peek() not in (None, Operator(")")):
            has_or.append(self.take("OR") if clauses else False)
            is_negation = self.peek() == Operator("NOT")
            node = self.chain(field, depth)
            clauses.append((node, is_negation and isinstance(node, Not)))
        # The first one has nothing on its left, so what stands on its right decides.
        has_or[0] = len(has_or) == 1 or has_or[1]
        wanted: list[Node] = []
        banned: list[Node] = []
        for (node, is_negation), is_or in zip(clauses, has_or, strict=True):
            (banned if is_negation and not is_or else wanted).append(node)
        either = [wanted[0] if len(wanted) == 1 else Or(tuple(wanted))] if wanted else []
        parts = (*either, *banned)
        return parts[0] if len(parts) == 1 else And(parts)

    def chain(self, field: str | None, depth: int) -> Node:
        parts = [self.negated(field, depth)]
        while self.take("AND"):
            parts.append(self.negated(field, depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def negated(self, field: str | None, depth: int) -> Node:
        is_negated = False
        while self.take("NOT"):
            is_negated = not is_negated
        node = self.primary(field, depth)
        return Not(node) if is_negated else node

    def primary(self, field: str | None, depth: int) -> Node:
        token = self.peek()
        if isinstance(token, Field):
            self.at += 1
            field, token = token.name, self.peek()
        if self.take("("):
            if depth == MAX_DEPTH:
                raise BadQuery(f"the query has more than {MAX_DEPTH} parentheses within each other")
            node = self.group(field, depth + 1)
            if not self.take(")"):
                raise BadQuery("a ( is not closed")
            return node
        if token is None or isinstance(token, Operator | Field):
            raise BadQuery(f"something is missing {_place(field, token)}")
        self.at += 1
        self.terms += 1
        if self.terms > MAX_TERMS:
            raise BadQuery(f"the query has more than {MAX_TERMS} terms")
        return _leaf(field, token)


def _place(field: str | None, token: Token | None) -> str:
    if field is not None:
        return f"after {field[:50]!r}:"
    return f"before {token.sign}" if isinstance(token, Operator) else "at the end"


def _leaf(field: str | None, token: Word | Range) -> Node:
    if isinstance(token, Range):
        if field is None or field == "_exists_":
            raise BadQuery(HOW_A_RANGE_IS_WRITTEN)
        return replace(token, field=field)
    pieces = token.pieces
    if field == "_exists_":
        if len(pieces) > 1 or not pieces[0]:
            raise BadQuery("_exists_ needs the name of a field: _exists_:field")
        return Exists(pieces[0])
    if len(pieces) == 1:
        if field is None and not pieces[0].strip():
            raise BadQuery("an empty phrase needs a field")
        return Term(field, pieces[0], token.is_phrase)
    if pieces == ("", ""):
        return Wildcard(None, pieces) if field is None else Exists(field)
    is_prefix = len(pieces) == 2 and not pieces[1]
    if not is_prefix and len("".join(pieces)) < MIN_LITERALS:
        raise BadQuery(f"a wildcard that is not only at the end needs {MIN_LITERALS} other characters")
    return Wildcard(field, pieces)
