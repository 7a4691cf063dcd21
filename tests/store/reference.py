"""What a query says about a person, worked out in plain Python; written from the contract, not from the SQL."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from app.search import And, Exists, Node, Not, Or, Range, Term, Wildcard
from app.store.authenticators import Authenticator
from app.store.users import User

FOLDED = {"email", "email.domain", "name", "given_name", "family_name", "nickname"}
NAMES = ("name", "given_name", "family_name", "nickname")


@dataclass(frozen=True)
class Person:
    user: User
    realm: str
    factors: tuple[Authenticator, ...] = ()


def values_of(person: Person, field: str) -> list[object]:
    """What stands in the field: nothing, one value, or several."""
    user = person.user
    confirmed = [factor for factor in person.factors if factor.confirmed_at is not None]
    root, _, path = field.partition(".")
    if root in ("user_metadata", "app_metadata"):
        found: list[object] = [getattr(user, root)]
        for name in path.split("."):
            found = [each[name] for each in _unpacked(found) if isinstance(each, dict) and name in each]
        return [each for each in _unpacked(found) if each not in (None, {}, [])]
    special: dict[str, Callable[[], list[object]]] = {
        "user_id": lambda: [user.id],
        "email.domain": lambda: [user.email.rpartition("@")[2]] if user.email else [],
        "blocked": lambda: [user.is_blocked],
        "identities.connection": lambda: [person.realm],
        "identities.provider": lambda: ["auth0"],
        "identities.user_id": lambda: [user.id.removeprefix("auth0|")],
        "multifactor": lambda: ["guardian"] if confirmed else [],
        "mfa.factors": lambda: [{"totp": "otp"}.get(f.kind, f.kind.replace("_", "-")) for f in confirmed],
        "mfa.enrolled_at": lambda: [f.confirmed_at for f in confirmed],
        "organization_id": lambda: [],
    }
    if field in special:
        return special[field]()
    value = getattr(user, field)
    return [] if value is None else [value]


def _unpacked(values: list[object]) -> Iterator[object]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from value
        else:
            yield value


def is_found(person: Person, node: Node) -> bool:
    match node:
        case And(parts):
            return all(is_found(person, part) for part in parts)
        case Or(parts):
            return any(is_found(person, part) for part in parts)
        case Not(part):
            return not is_found(person, part)
        case Exists(field):
            values = values_of(person, field)
            return bool(values) and (field, values) not in (("logins_count", [0]), ("blocked", [False]))
        case Term(None, value):
            return any(_is_equal(person, field, value, False) for field in ("email", *NAMES))
        case Term(str(field), value, is_phrase):
            return _is_equal(person, field, value, is_phrase)
        case Wildcard(name, pieces):
            fields = ("email", *NAMES) if name is None else (name,)
            pattern = ".*".join(re.escape(piece) for piece in pieces)
            return any(
                re.fullmatch(pattern, str(value), re.DOTALL | (re.IGNORECASE if field in FOLDED else 0))
                for field in fields
                for value in values_of(person, field)
            )
        case Range(field, low, high, has_low, has_high):
            return any(
                (low is None or (_place(value, low) >= 0 if has_low else _place(value, low) > 0))
                and (high is None or (_place(value, high) <= 0 if has_high else _place(value, high) < 0))
                for value in values_of(person, field)
            )
    raise AssertionError(node)


def _is_equal(person: Person, field: str, value: str, is_phrase: bool) -> bool:
    return any(_is_same(field, found, value, is_phrase) for found in values_of(person, field))


def _is_same(field: str, found: object, value: str, is_phrase: bool) -> bool:
    match found:
        case bool():
            return value == str(found).lower()
        case int() | float():
            return re.fullmatch(r"-?[0-9.]+", value) is not None and float(value) == found
        case datetime():
            return _place(found, value) == 0
        case str() if field in NAMES and not is_phrase:
            return f" {value.lower()} " in f" {found.lower()} "
        case str():
            return found.lower() == value.lower() if field in FOLDED else found == value
    return False


def _place(found: object, bound: str) -> int:
    """Before, in, or behind what the bound says; a month is all of its moments."""
    if isinstance(found, int):
        return (found > int(bound)) - (found < int(bound))
    assert isinstance(found, datetime)
    written = found.astimezone(UTC).isoformat()[: len(bound)]
    return (written > bound) - (written < bound)
