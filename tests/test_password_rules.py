"""What a new password must be like: one table, a row for each rule, level and generation."""

import json
import tracemalloc
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.common_passwords import common_passwords
from app.password_rules import MAX_HISTORY, PROFILE_FIELDS, Failure, check, facts_of, rules_of
from tests.evidence import size

STRENGTH = "PasswordStrengthError"
DICTIONARY = "PasswordDictionaryError"
PERSONAL = "PasswordNoUserInfoError"
HISTORY = "PasswordHistoryError"

ALICE: dict[str, Any] = {
    "name": "Alice Lidell",
    "username": "wonder_land",
    "nickname": "Al",
    "email": "white.rabbit@hole.example.com",
    "phone_number": "+491701234567",
    "user_metadata": {"first": "Älíce", "last": 7, "name": "Zoe\u0308", "pet": "Dinah"},
}
USED = "Used-before-1"


def failure_of(
    options: Mapping[str, object], password: str, *, is_password_only: bool = True
) -> Failure | None:
    rules = rules_of(options, is_password_only=is_password_only)
    return check(rules, password, facts=facts_of(rules, ALICE), is_used_before=lambda tried: tried == USED)


def older(level: str = "none", /, **members: object) -> dict[str, object]:
    return {"passwordPolicy": level, **members}


def least(length: object) -> dict[str, object]:
    return {"password_complexity_options": {"min_length": length}}


def modern(**parts: object) -> dict[str, object]:
    return {"password_options": {"complexity": {"min_length": 1}, **parts}}


def complexity(**members: object) -> dict[str, object]:
    return {"password_options": {"complexity": {"min_length": 1, **members}}}


LISTED = {"password_dictionary": {"enable": True, "dictionary": ["Grüne-Gurke"]}}
PRIVATE = {"password_no_personal_info": {"enable": True}}
OLD = {"password_history": {"enable": True, "size": 3}}
ALL_FOUR = ["uppercase", "lowercase", "number", "special"]
NIST = {"assurance": "nist"}

# name, options, what is taken, what is refused and which rule (or refusal) says so
ROWS: list[tuple[str, dict[str, object], list[str], list[tuple[str, str]]]] = [
    ("none", older("none"), ["a", " ", "ä"], [("", "nonEmpty")]),
    ("low", older("low"), ["abcdef", "éééééé"], [("abcde", "lengthAtLeast"), ("", "lengthAtLeast")]),
    (
        "fair",
        older("fair"),
        ["someP123"],
        [
            ("soP1234", "lengthAtLeast"),
            ("KTHXBYE123", "lowerCase"),
            ("123hellogoodbye", "upperCase"),
            ("helloGOODBYE", "numbers"),
            ("ÄÖÜäöü12", "lowerCase"),
        ],
    ),
    (
        "good",
        older("good"),
        ["someP123", "some p123", "SOME!123", "someP!!!"],
        [("soP!234", "lengthAtLeast"), ("somepassword1", "containsAtLeast"), ("someäöü1", "containsAtLeast")],
    ),
    ("good when nothing is said", {}, ["someP123"], [("somepassword", "containsAtLeast")]),
    ("good when it is no level", older("great"), ["someP123"], [("somepassword", "containsAtLeast")]),
    ("good when it is null", {"passwordPolicy": None}, ["someP123"], [("somepassword", "containsAtLeast")]),
    (
        "excellent",
        older("excellent"),
        ["someP12345", "aabbccDD11"],
        [
            ("someP1234", "lengthAtLeast"),
            ("someP11123", "identicalChars"),
            ("somepassword", "containsAtLeast"),
        ],
    ),
    ("a length that replaces the level's", older("low", **least(4)), ["abcd"], [("abc", "lengthAtLeast")]),
    ("a longer length", older("good", **least(12)), ["someP1234567"], [("someP123456", "lengthAtLeast")]),
    ("a length beyond the bounds", older("none", **least(500)), ["a" * 128], [("a" * 127, "lengthAtLeast")]),
    ("a length of nothing", older("low", **least(0)), ["a"], [("", "nonEmpty")]),
    ("a length that is none", older("low", **least("8")), ["abcdef"], [("abcde", "lengthAtLeast")]),
    ("a length that is a truth", older("low", **least(True)), ["abcdef"], [("abcde", "lengthAtLeast")]),
    ("characters, not bytes", older("none", **least(4)), ["🔑🔑🔑🔑"], [("🔑🔑🔑", "lengthAtLeast")]),
    ("of the normal form", older("none", **least(4)), ["e\u0301" * 4], [("e\u0301" * 3, "lengthAtLeast")]),
    ("long ones are not cut", older("none"), ["a" * 256, "🔑" * 256], [("a" * 257, "unusable")]),
    ("control characters", older("none"), ["a b"], [("a\x00b", "unusable"), ("\udc00", "unusable")]),
    (
        "dictionary",
        older(**LISTED),
        ["password but longer", "gurke"],
        [
            ("password", DICTIONARY),
            ("PassWord", DICTIONARY),
            ("michael", DICTIONARY),
            ("GRÜNE-GURKE", DICTIONARY),
            ("Gru\u0308ne-gurke", DICTIONARY),
        ],
    ),
    (
        "dictionary off",
        older(password_dictionary={"enable": False, "dictionary": ["own"]}),
        ["password", "own"],
        [],
    ),
    (
        "personal",
        older(**PRIVATE),
        ["snow cat", "4917012345678", "al alone", "dinah", "hole", "example"],
        [
            ("my ALICE 1", PERSONAL),
            ("lidell", PERSONAL),
            ("a white.rabbit b", PERSONAL),
            ("the rabbits", PERSONAL),
            ("wonder", PERSONAL),
            ("A\u0308LI\u0301CE", PERSONAL),
            ("zo\u00eb!", PERSONAL),
        ],
    ),
    ("personal off", older(password_no_personal_info={"enable": False}), ["alice"], []),
    ("history", older(**OLD), [USED + "x"], [(USED, HISTORY)]),
    ("history off", older(password_history={"enable": False, "size": 3}), [USED], []),
    ("history of none", older(password_history={"enable": True, "size": 0}), [USED], []),
    (
        "everything at once, older",
        older("excellent", **LISTED, **PRIVATE, **OLD),
        ["Kein-Wort-99"],
        [
            ("Aliiice1", "lengthAtLeast"),
            ("Aliiice-123", "identicalChars"),
            ("Alice-12345", PERSONAL),
            (USED, HISTORY),
        ],
    ),
    (
        "8 characters when nothing is said",
        {"password_options": {}},
        ["abcdefgh"],
        [("abcdefg", "lengthAtLeast")],
    ),
    ("modern length", complexity(min_length=5), ["abcde"], [("abcd", "lengthAtLeast")]),
    ("modern length beyond", complexity(min_length=100), ["a" * 72], [("a" * 71, "lengthAtLeast")]),
    (
        "types",
        complexity(character_types=["number", "special"]),
        ["1!"],
        [("1", "specialCharacters"), ("!", "numbers")],
    ),
    (
        "all four types",
        complexity(character_types=ALL_FOUR, character_type_rule="all"),
        ["aA1!"],
        [("aA1", "shouldContain"), ("aA!", "numbers")],
    ),
    (
        "three of four types",
        complexity(character_types=ALL_FOUR, character_type_rule="three_of_four"),
        ["aA1", "aA!", "a1!"],
        [("a1", "containsAtLeast")],
    ),
    (
        "three of four where there are not four",
        complexity(character_types=["number", "special"], character_type_rule="three_of_four"),
        ["1!"],
        [("1", "shouldContain")],
    ),
    (
        "identical",
        complexity(identical_characters="block"),
        ["aabb", "aa", "🔑🔑"],
        [("aaa", "identicalChars"), ("x   y", "identicalChars"), ("🔑🔑🔑", "identicalChars")],
    ),
    ("identical allowed", complexity(identical_characters="allow"), ["aaaa"], []),
    (
        "sequential",
        complexity(sequential_characters="block"),
        ["ab-cd", "abd", "aba", '!"#$', "89:", "éêë", "aBc"],
        [
            ("abc", "sequentialChars"),
            ("321", "sequentialChars"),
            ("-XYZ", "sequentialChars"),
            ("abab12345", "sequentialChars"),
        ],
    ),
    ("sequential allowed", complexity(sequential_characters="allow"), ["abcd"], []),
    (
        "too long is an error",
        complexity(max_length_exceeded="error"),
        ["a" * 72, "ä" * 36, "e\u0301" * 36],
        [("a" * 73, "maxLength"), ("ä" * 37, "maxLength")],
    ),
    ("too long is taken whole", complexity(max_length_exceeded="truncate"), ["a" * 256], []),
    (
        "modern dictionary",
        modern(dictionary={"active": True, "custom": ["Gurke"]}),
        ["roter hering"],
        [("qwerty", DICTIONARY), ("gurke", DICTIONARY)],
    ),
    (
        "modern dictionary off",
        modern(dictionary={"active": False, "custom": ["own"]}),
        ["password", "own"],
        [],
    ),
    (
        "small dictionary",
        modern(dictionary={"active": True, "default": "en_10k"}),
        ["wheelbarrow"],
        [("dragon", DICTIONARY)],
    ),
    (
        "large dictionary",
        modern(dictionary={"active": True, "default": "en_100k"}),
        ["blaues pferd"],
        [("wheelbarrow", DICTIONARY)],
    ),
    (
        "modern profile",
        modern(
            profile_data={
                "active": True,
                "blocked_fields": ["user_metadata.pet", "phone_number", "nowhere.else"],
            }
        ),
        ["alice", "rabbit"],
        [("dinah!", PERSONAL), ("491701234567", PERSONAL)],
    ),
    (
        "modern profile of the usual fields",
        modern(profile_data={"active": True}),
        ["dinah"],
        [("alice", PERSONAL)],
    ),
    ("modern profile off", modern(profile_data={"active": False, "blocked_fields": ["name"]}), ["alice"], []),
    ("modern history", modern(history={"active": True, "size": 3}), [USED + "x"], [(USED, HISTORY)]),
    ("modern history off", modern(history={"active": False, "size": 3}), [USED], []),
    (
        "the modern options replace the older ones",
        older("excellent", **LISTED, **PRIVATE, **OLD, **least(20)) | modern(),
        ["aaa", "password", "alice", USED],
        [("", "nonEmpty")],
    ),
    (
        "everything at once, modern",
        modern(
            complexity={
                "min_length": 6,
                "character_types": ALL_FOUR,
                "identical_characters": "block",
                "sequential_characters": "block",
                "max_length_exceeded": "error",
            },
            dictionary={"active": True, "custom": ["Gur-ke8"]},
            profile_data={"active": True},
            history={"active": True},
        ),
        ["Kein-Wort8"],
        [
            ("aA1!", "lengthAtLeast"),
            ("abc-1aaA", "sequentialChars"),
            ("Abd-1aaa", "identicalChars"),
            ("gUR-KE8", DICTIONARY),
            ("Ali-Alice8", PERSONAL),
            (USED, HISTORY),
            ("Kein-Wort8" * 8, "maxLength"),
        ],
    ),
    (
        "nist, the password alone",
        older("excellent", **NIST),
        ["fifteen letters", "öffnefünfzehnmal", "aaaaaaaaaaaaaaaz"],
        [("fourteen chars", "lengthAtLeast"), ("rabbit rabbit 123", PERSONAL)],
    ),
    (
        "nist with a longer minimum",
        older("low", **least(20), **NIST),
        ["a" * 20],
        [("a" * 19, "lengthAtLeast")],
    ),
    ("nist takes what is long", complexity(max_length_exceeded="error") | NIST, ["🔑" * 64], []),
    ("nist knows common passwords", older("none", **NIST), [], [("1qaz2wsx3edc4rfv", DICTIONARY)]),
    (
        "nist keeps own words",
        older(password_dictionary={"enable": True, "dictionary": ["belaybelaybelay"]}, **NIST),
        [],
        [("BelayBelayBelay", DICTIONARY)],
    ),
    ("nist keeps history", older(**OLD, **least(1)) | NIST, [], []),
    ("any assurance", older("none", assurance="any"), ["a"], []),
]

every_row = pytest.mark.parametrize(
    ("options", "taken", "refused"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)


def unmet(failure: Failure) -> set[str]:
    """The codes of the rules that were not met, and of their items."""
    assert isinstance(failure.description, dict)
    rules: list[Any] = failure.description["rules"]  # type: ignore[assignment]
    items = [item for rule in rules for item in rule.get("items", ())]
    return {str(rule["code"]) for rule in (*rules, *items) if rule["verified"] is False}


@every_row
def test_takes_and_refuses(
    options: dict[str, object], taken: list[str], refused: list[tuple[str, str]]
) -> None:
    for password in taken:
        assert failure_of(options, password) is None, password
    for password, expected in refused:
        failure = failure_of(options, password)
        assert failure is not None, password
        if expected.startswith("Password"):
            assert failure.name == expected, password
        else:
            assert failure.name == STRENGTH, password
            assert expected in unmet(failure), password


def test_nist_asks_for_less_where_a_second_factor_always_follows() -> None:
    assert failure_of(NIST, "eight ch", is_password_only=False) is None
    failure = failure_of(NIST, "seven c", is_password_only=False)
    assert failure is not None and unmet(failure) == {"lengthAtLeast"}
    assert failure_of(NIST, "eight ch") is not None


# --- what a refusal says -------------------------------------------------------------------------------------------


def test_a_weak_password_is_told_every_rule_in_auth0s_shape() -> None:
    failure = failure_of(older("excellent"), "aaabc")
    assert failure is not None
    assert str(failure) == "PasswordStrengthError: Password is too weak"
    assert failure.code == "invalid_password"
    items = [
        {"message": "lower case letters (a-z)", "code": "lowerCase", "verified": True},
        {"message": "upper case letters (A-Z)", "code": "upperCase", "verified": False},
        {"message": "numbers (i.e. 0-9)", "code": "numbers", "verified": False},
        {"message": "special characters (e.g. !@#$%^&*)", "code": "specialCharacters", "verified": False},
    ]
    assert json.loads(json.dumps(failure.description)) == {
        "rules": [
            {
                "message": "At least %d characters in length",
                "format": [10],
                "code": "lengthAtLeast",
                "verified": False,
            },
            {
                "message": "Contain at least %d of the following %d types of characters:",
                "format": [3, 4],
                "code": "containsAtLeast",
                "verified": False,
                "items": items,
            },
            {
                "message": 'No more than %d identical characters in a row (e.g., "%s" not allowed)',
                "format": [2, "aaa"],
                "code": "identicalChars",
                "verified": False,
            },
        ],
        "verified": False,
    }
    assert failure.policy == (
        "* At least 10 characters in length\n"
        "* Contain at least 3 of the following 4 types of characters:\n"
        " * lower case letters (a-z)\n"
        " * upper case letters (A-Z)\n"
        " * numbers (i.e. 0-9)\n"
        " * special characters (e.g. !@#$%^&*)\n"
        '* No more than 2 identical characters in a row (e.g., "aaa" not allowed)'
    )


def test_a_rule_that_was_met_says_so() -> None:
    failure = failure_of(older("fair"), "longenough")
    assert failure is not None and unmet(failure) == {"shouldContain", "upperCase", "numbers"}


@pytest.mark.parametrize(
    ("options", "password", "line", "code"),
    [
        (
            older(**LISTED),
            "password",
            "PasswordDictionaryError: Password is too common",
            "password_dictionary_error",
        ),
        (
            older(**PRIVATE),
            "alice",
            "PasswordNoUserInfoError: Password contains user information",
            "password_no_user_info_error",
        ),
        (older(**OLD), USED, "PasswordHistoryError: Password has previously been used", "invalid_password"),
    ],
)
def test_other_refusals_have_auth0s_words(
    options: dict[str, object], password: str, line: str, code: str
) -> None:
    failure = failure_of(options, password)
    assert failure is not None
    assert (str(failure), failure.code, failure.policy) == (line, code, None)
    assert isinstance(failure.description, str)
    assert password not in failure.description


def test_history_is_asked_last_and_only_where_it_is_kept() -> None:
    asked: list[str] = []

    def is_used_before(password: str) -> bool:
        asked.append(password)
        return False

    rules = rules_of(older("low", **LISTED, **PRIVATE, **OLD), is_password_only=True)
    for password in ("abc", "password", "alice in"):
        assert check(rules, password, facts=["Alice"], is_used_before=is_used_before) is not None
    without = rules_of(older("low"), is_password_only=True)
    assert check(without, "fine enough", facts=[], is_used_before=is_used_before) is None
    assert asked == []
    assert check(rules, "fine enough", facts=["Alice"], is_used_before=is_used_before) is None
    assert asked == ["fine enough"]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, 0),
        (older(password_history={"enable": True}), 5),
        (older(password_history={"enable": True, "size": 24}), 24),
        (older(password_history={"enable": True, "size": 25}), MAX_HISTORY),
        (older(password_history={"enable": True, "size": -1}), 0),
        (older(password_history={"enable": "yes", "size": 3}), 0),
        (modern(history={"active": True}), 5),
        (modern(history={"active": True, "size": 0}), 1),
        (modern(history={"active": True, "size": 99}), MAX_HISTORY),
        (older(**OLD) | NIST, 3),
    ],
)
def test_the_rules_say_how_many_hashes_to_keep(options: dict[str, object], kept: int) -> None:
    assert rules_of(options, is_password_only=True).history_size == kept


def test_facts_are_texts_of_the_fields_that_the_rules_name() -> None:
    facts = facts_of(rules_of(PRIVATE, is_password_only=True), ALICE)
    assert facts == [
        "Alice Lidell",
        "wonder_land",
        "Al",
        "white.rabbit@hole.example.com",
        "Zoe\u0308",
        "Älíce",
    ]
    assert facts_of(rules_of({}, is_password_only=True), ALICE) == []
    assert facts_of(rules_of(PRIVATE, is_password_only=True), {"user_metadata": "name"}) == []


# --- the dictionary ------------------------------------------------------------------------------------------------


def test_the_lists_are_as_long_as_their_names_say_and_lower_case() -> None:
    small, large = common_passwords("en_10k"), common_passwords("en_100k")
    assert 10_000 <= len(small) < len(large) and len(large) > 90_000
    assert small < large
    assert all(text == text.casefold() for text in large)
    assert {"123456", "password", "qwerty", "michael", "jennifer", "letmein", "summer"} <= small


# --- odd inputs ----------------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(
    [
        "passwordPolicy",
        "password_complexity_options",
        "password_history",
        "password_no_personal_info",
        "password_dictionary",
        "password_options",
        "assurance",
    ]
)
PARTS = st.sampled_from(
    [
        "complexity",
        "dictionary",
        "history",
        "profile_data",
        "enable",
        "active",
        "size",
        "custom",
        "blocked_fields",
    ]
    + ["min_length", "character_types", "default"]
)
odd_options = st.dictionaries(
    NAMES, json_values | st.dictionaries(PARTS, json_values | st.just(True)), max_size=4
)


@settings(max_examples=size(300, 10000), deadline=None)
@given(odd_options, st.text(st.characters(), max_size=300), st.booleans())
def test_any_options_and_any_password_get_an_answer(
    options: dict[str, object], password: str, is_password_only: bool
) -> None:
    rules = rules_of(options, is_password_only=is_password_only)
    assert 1 <= rules.strength.min_length <= 128
    assert 0 <= rules.history_size <= MAX_HISTORY
    failure = check(rules, password, facts=[password, "a b"], is_used_before=lambda tried: False)
    if failure is not None:
        json.dumps([failure.description, failure.policy])


def test_a_huge_password_costs_nothing() -> None:
    password = "ä" * 10**6
    tracemalloc.start()
    assert failure_of(complexity(max_length_exceeded="error"), password) is not None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**18


def test_the_usual_fields_are_auth0s() -> None:
    assert set(PROFILE_FIELDS) >= {"name", "username", "nickname", "email", "user_metadata.name"}
