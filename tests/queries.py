"""Queries that nobody would write and some that somebody would, made from a seed."""

from random import Random

WORDS = [
    "alice",
    "Smith",
    "özil",
    "O'Neil",
    "50%",
    "under_score",
    "müller",
    "jane",
    "x'; DROP TABLE users; --",
]
TEXTS = [
    "email",
    "name",
    "given_name",
    "nickname",
    "username",
    "user_id",
    "phone_number",
    "identities.user_id",
]
ATTACKS = [
    "OR *:*",
    "(" * 10_000,
    "password_hash:a*",
    "realm:other",
    "realm_id:x",
    "' OR 1=1 --",
    "%",
    "_",
    "\0",
    "\ud800",
    "/(a+)+$/",
    "aaaa~",
    "a^1e9",
    "((((((((((a))))))))))",
    "NOT " * 400 + "a",
    "-" * 1_900 + "a",
    "a " * 900,
    "a*" * 900,
    "*aaa" * 400,
    "user_metadata" + ".a" * 900 + ":1",
    "logins_count:99999999999999999999",
    "logins_count:[-999999999999999999 TO 999999999999999999]",
    "last_login:[0001-01-01T00:00:00+14:00 TO 9999-12-31]",
    "created_at:٢٠٢٦",
    "logins_count:²",
    "\\",
    '"',
]


def random_leaf(rng: Random, words: list[str]) -> str:
    word = rng.choice(words)
    quoted = '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
    escaped = "".join("\\" + c if c in '+-&|!(){}[]^"~*?:\\/<> ' else c for c in word)
    kind = rng.randrange(14)
    field = rng.choice(TEXTS)
    if kind < 2:
        return rng.choice([escaped, quoted])
    if kind < 5:
        return f"{field}:{rng.choice([escaped, quoted])}"
    if kind == 5:
        cut = escaped[: rng.randrange(len(escaped) + 1)].rstrip("\\")
        return rng.choice([f"{cut}*", f"{field}:{cut}*", f"{field}:*{escaped}", f"{field}:*{escaped}*"])
    if kind == 6:
        return f"email:{escaped[:1].strip(chr(92)) or 'a'}*{rng.choice(['@example.com', '.de', '@*.com'])}"
    if kind == 7:
        name = rng.choice(
            [*TEXTS, "blocked", "last_login", "logins_count", "multifactor", "app_metadata.plan"]
        )
        return f"_exists_:{name}"
    if kind == 8:
        return (
            f"{rng.choice(['blocked', 'email_verified', 'phone_verified'])}:{rng.choice(['true', 'false'])}"
        )
    if kind == 9:
        low, high = sorted((rng.randrange(6), rng.randrange(6)))
        some = [f"[{low} TO {high}]", f"{{{low} TO *]", f"[* TO {high}}}", str(low)]
        return f"logins_count:{rng.choice(some)}"
    if kind == 10:
        since, until = sorted(f"2026-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}" for _ in range(2))
        some = [f"[{since} TO {until}]", f"{{{since} TO *}}", f"[* TO {until[:7]}}}", since, until[:7]]
        return f"{rng.choice(['last_login', 'created_at', 'mfa.enrolled_at'])}:{rng.choice(some)}"
    if kind == 11:
        place = rng.choice(
            ["app_metadata.plan", "user_metadata.a.b", "user_metadata.tags", "app_metadata.deep.a.b"]
        )
        return f"{place}:{rng.choice(['gold', '1', '1.5', 'true', quoted])}"
    if kind == 12:
        return f"identities.connection:{rng.choice(['staff', 'guests', 'sta*', quoted])}"
    return rng.choice(
        ["mfa.factors:otp", "mfa.factors:recovery-code", "multifactor:guardian", "organization_id:x"]
    )


def random_query(rng: Random, words: list[str], depth: int = 3) -> str:
    parts = []
    for _ in range(rng.choice([1, 1, 2, 2, 3])):
        if depth and rng.random() < 0.25:
            part = f"({random_query(rng, words, depth - 1)})"
        elif rng.random() < 0.1:
            part = (
                f"name:({' OR '.join(chr(34) + rng.choice(['jane', 'Smith']) + chr(34) for _ in range(3))})"
            )
        else:
            part = random_leaf(rng, words)
        parts.append(rng.choice(["", "", "", "NOT ", "-"]) + part)
    return "".join(rng.choice([" AND ", " OR ", " "]) + part if at else part for at, part in enumerate(parts))


def random_noise(rng: Random) -> str:
    """Something like a query, broken in several places."""
    text = list(rng.choice(ATTACKS)) if rng.random() < 0.05 else list(random_query(rng, WORDS))
    for _ in range(rng.randrange(6)):
        at = rng.randrange(len(text) + 1)
        text[at : at + rng.randrange(2)] = rng.choice(
            ['"', "(", ")", "[", "]", "{", "}", ":", "*", "\\", "-", " ", "AND", "OR", "TO", "%", "_", "\0", "\ud800",
             "é", "😀", "'", ";", "?", "~", "^", "/", chr(rng.randrange(0x20, 0x3000))]
        )  # fmt: skip
    return "".join(text)
