"""The search language: what is in it, what each form means, and that nothing else comes of any text (T31)."""

import time
from random import Random

import pytest

from app.search import And, BadQuery, Exists, Node, Not, Or, Range, Term, Wildcard, parse
from app.search.tree import MAX_DEPTH, MAX_LENGTH, MAX_TERMS
from tests.evidence import report, size, within
from tests.queries import ATTACKS, random_noise


def word(value: str, field: str | None = None) -> Term:
    return Term(field, value, is_phrase=False)


def phrase(value: str, field: str | None = None) -> Term:
    return Term(field, value, is_phrase=True)


A, B, C = word("a"), word("b"), word("c")

READ: list[tuple[str, Node]] = [
    ("a", A),
    ('"green apple"', phrase("green apple")),
    ('email:"x"', phrase("x", "email")),
    ("email: x", word("x", "email")),
    ("a b", Or((A, B))),
    ("a OR b", Or((A, B))),
    ("a AND b", And((A, B))),
    ("a and b", Or((A, word("and"), B))),
    ("a AND b OR c", Or((And((A, B)), C))),
    ("a OR b AND c", Or((A, And((B, C))))),
    ("a AND (b OR c)", And((A, Or((B, C))))),
    ("NOT a", Not(A)),
    ("-a", Not(A)),
    ("NOT -a", A),
    ("a AND NOT b", And((A, Not(B)))),
    ("a -b", And((A, Not(B)))),
    ("-a b", And((B, Not(A)))),
    ("a b -c", And((Or((A, B)), Not(C)))),
    ("-a -b", And((Not(A), Not(B)))),
    ("NOT a OR b", Or((Not(A), B))),
    ("a OR NOT b", Or((A, Not(B)))),
    ("(NOT a) b", Or((Not(A), B))),
    ("f:(a OR b)", Or((word("a", "f"), word("b", "f")))),
    ("f:(a AND (b* OR g:c))", And((word("a", "f"), Or((Wildcard("f", ("b", "")), word("c", "g")))))),
    ("_exists_:f", Exists("f")),
    ("f:*", Exists("f")),
    ("*", Wildcard(None, ("", ""))),
    ("x*", Wildcard(None, ("x", ""))),
    ("f:*usa", Wildcard("f", ("", "usa"))),
    ("f:*usa*", Wildcard("f", ("", "usa", ""))),
    ("f:a*@x", Wildcard("f", ("a", "@x"))),
    ("f:[a TO b]", Range("f", "a", "b", has_low=True, has_high=True)),
    ("f:{a TO b}", Range("f", "a", "b", has_low=False, has_high=False)),
    ('f:{"a b" TO *]', Range("f", "a b", None, has_low=False, has_high=True)),
    ("f:[* TO 2026-10-01T00:00:00Z}", Range("f", None, "2026-10-01T00:00:00Z", has_low=True, has_high=False)),
    (r"f:a\*\"\:\\", word('a*":\\', "f")),
    (r'"a \"b\" \\"', phrase('a "b" \\')),
    (r"\-a", word("-a")),
    (r"\AND", word("AND")),
    ("f:-5", word("-5", "f")),
    ("+49170", word("+49170")),
    ("ip:2001:db8::1", word("2001:db8::1", "ip")),
    ("user_id:auth0|1", word("auth0|1", "user_id")),
    ('f:""', phrase("", "f")),
]

REFUSED: list[tuple[str, str]] = [
    ("", "is empty"),
    (" \t ", "is empty"),
    ("a OR", "missing at the end"),
    ("AND a", "missing before AND"),
    ("a OR AND b", "missing before AND"),
    ("NOT", "missing at the end"),
    ("f:", "missing after 'f'"),
    ("f: OR a", "missing after 'f'"),
    ("()", "missing before )"),
    ("(a", "a ( is not closed"),
    ("a)", "a ) without its ("),
    ('"a', 'a " is not closed'),
    (":a", "no field before a colon"),
    ("a\\", "ends with a backslash"),
    ('""', "an empty phrase needs a field"),
    ("a?b", "use *"),
    ("a~2", "fuzzy"),
    ("a^2", "boosting"),
    ("/a+/", "regular expressions"),
    ("!a", "write NOT"),
    ("a && b", "write AND and OR"),
    ("f:>5", "write a range like"),
    ("[a TO b]", "a range is written"),
    ("f:[a b]", "a range is written"),
    ("f:[a TO b", "not closed"),
    ("f:[a TO b*]", "a value or * alone"),
    ("_exists_:[a TO b]", "a range is written"),
    ("_exists_:a*", "name of a field"),
    ("*ab", "needs 3 other characters"),
    ("f:a*b", "needs 3 other characters"),
    ("f:**", "needs 3 other characters"),
    ("a\0b", "not text"),
    ("a\ud800b", "not text"),
    ("a" * (MAX_LENGTH + 1), "longer than"),
    ("(" * (MAX_DEPTH + 1) + "a" + ")" * (MAX_DEPTH + 1), "parentheses within"),
    ("a " * (MAX_TERMS + 1), "terms"),
]


@pytest.mark.parametrize(("text", "node"), READ)
def test_reads(text: str, node: Node) -> None:
    assert parse(text) == node


@pytest.mark.parametrize(("text", "why"), REFUSED)
def test_refuses_and_says_why(text: str, why: str) -> None:
    with pytest.raises(BadQuery) as refused:
        parse(text)
    assert why in str(refused.value)


def test_reads_up_to_its_limits() -> None:
    parse("(" * MAX_DEPTH + "a" + ")" * MAX_DEPTH)
    parse("a " * MAX_TERMS)
    assert parse("a" * MAX_LENGTH) == word("a" * MAX_LENGTH)
    parse("user_id:(" + " OR ".join(f'"auth0|{number:024}"' for number in range(MAX_TERMS)) + ")")


@pytest.mark.slow
def test_only_a_tree_or_a_refusal_comes_of_any_text() -> None:
    rng = Random(31)
    texts = [*ATTACKS, *(random_noise(rng) for _ in range(size(2_000, 100_000)))]
    read, slowest = 0, 0.0
    for text in texts:
        began = time.thread_time()
        try:
            parse(text)
            read += 1
        except BadQuery as refused:
            assert str(refused).isprintable() and len(str(refused)) < 200
        slowest = max(slowest, time.thread_time() - began)
    assert read > len(texts) / 5 and read < len(texts)
    assert slowest < within(0.2)
    report(
        "q: any text is a tree or a refusal (T31)",
        tried=f"{len(texts)} texts",
        held=f"{read} read, the others refused; slowest {slowest * 1000:.1f} ms",
    )
