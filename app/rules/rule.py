"""What a rule sees, and what it may answer: plain values, checked here because a rule may answer anything."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from app.policy_terms import FACTOR_NAMES

MultifactorWish = Literal["", "demand", "waive"]

MOST_CLAIM_CHARACTERS = 16_000  # of all claims of a token: what headers of most servers take
MOST_METADATA_CHARACTERS = 16 * 1024  # as the management API
DEEPEST = 50

_NAMESPACED = re.compile(r"https?://[^\s/]+(/\S*)?")
_RESERVED_HOSTS = re.compile(r"https?://([^/]+\.)?(auth0\.com|webtask\.io|webtask\.run)(:[0-9]+)?(/|$)")
_DEMANDS = ("any", "guardian", "google-authenticator")  # the last two are old names of the first


@dataclass(frozen=True)
class Seen:
    """The two objects that a rule is called with, as JSON; and what actions see besides."""

    user: dict[str, Any]
    context: dict[str, Any]
    factors: tuple[str, ...] = ()
    """Confirmed second factors, by the names of Actions."""
    granted: tuple[str, ...] = ()
    """The login's scope."""


@dataclass(frozen=True)
class Write:
    """A change of the person's metadata: members replace, null removes."""

    kind: Literal["user_metadata", "app_metadata"]
    patch: dict[str, Any]


@dataclass(frozen=True)
class Effects:
    """What the rules want of a login that they let pass."""

    id_token_claims: dict[str, Any] = field(default_factory=dict)
    access_token_claims: dict[str, Any] = field(default_factory=dict)
    scope: tuple[str, ...] | None = None
    """Replaces what was asked for; None leaves it."""
    multifactor: MultifactorWish = ""
    factors: tuple[str, ...] = ()
    """Of which one is demanded, by the policy's names; none: any."""
    may_enroll: bool = True
    writes: tuple[Write, ...] = ()
    ignored_claims: tuple[str, ...] = ()
    """Without a namespace, or in one that is not theirs."""
    wants_redirect: bool = False


@dataclass(frozen=True)
class Answered:
    """What a hook called back with."""

    members: dict[str, Any]


@dataclass(frozen=True)
class Exchanged:
    """What a hook made of a client's token."""

    scope: tuple[str, ...] | None
    """None leaves it."""
    claims: dict[str, Any]
    ignored_claims: tuple[str, ...]


@dataclass(frozen=True)
class Denied:
    """A rule said no, or threw; the text is its own."""

    rule: str
    is_unauthorized: bool
    message: str
    why: Literal["denied", "threw"] = "denied"


@dataclass(frozen=True)
class Failed:
    """A rule could not be run to an end, or answered what nobody can take."""

    rule: str
    why: str
    """`timed_out`, `out_of_memory`, `never_called_back`, `not_compiled`, `bad_answer`, `answer_too_large`, `killed`."""
    message: str = ""


def effects_of(answer: Mapping[str, Any], user_id: str) -> Effects | Failed:
    """The effects of what the last rule left in `user` and `context`."""
    context = answer.get("context")
    if not isinstance(context, dict) or not isinstance(answer.get("user"), dict):
        return Failed("", "bad_answer", "user and context are objects")
    if not is_plain(context):
        return Failed("", "bad_answer", "context has texts that nobody can store")
    multifactor = _multifactor(context.get("multifactor"))
    if multifactor is None:
        return Failed("", "bad_answer", "context.multifactor.provider is not one that can be asked for")
    factors = _factors(context.get("multifactor"))
    if isinstance(factors, Failed):
        return factors
    access_token = context.get("accessToken")
    access_token = access_token if isinstance(access_token, dict) else {}
    scope = _scope(access_token)
    if isinstance(scope, Failed):
        return scope
    id_claims, ignored = _claims(context.get("idToken"))
    access_claims, more = _claims({name: part for name, part in access_token.items() if name != "scope"})
    if max(len(str(id_claims)), len(str(access_claims))) > MOST_CLAIM_CHARACTERS:
        return Failed("", "answer_too_large", "the claims are too many")
    writes = _writes(answer.get("writes"), user_id)
    if isinstance(writes, Failed):
        return writes
    return Effects(
        id_token_claims=id_claims,
        access_token_claims=access_claims,
        scope=scope,
        multifactor=multifactor,
        factors=factors,
        may_enroll=not (factors and context["multifactor"].get("onlyEnrolled")),
        writes=writes,
        ignored_claims=(*ignored, *more),
        wants_redirect=bool(context.get("redirect")),
    )


def answer_of(done: Mapping[str, Any]) -> Answered | Failed:
    """A hook answers with an object; nothing is an empty one."""
    answer = done["context"].get("answer")
    answer = {} if answer is None else answer
    if not isinstance(answer, dict) or not is_plain(answer):
        return Failed("", "bad_answer", "a hook answers with an object of plain values")
    if done.get("writes"):
        return Failed("", "bad_answer", "a hook changes nobody's metadata")
    return Answered(answer)


def exchanged(answered: Answered) -> Exchanged | Failed:
    """The scope and the claims of a token that a hook wants."""
    scope = _scope(answered.members)
    if isinstance(scope, Failed):
        return scope
    claims, ignored = _claims({name: part for name, part in answered.members.items() if name != "scope"})
    if len(str(claims)) > MOST_CLAIM_CHARACTERS:
        return Failed("", "answer_too_large", "the claims are too many")
    return Exchanged(scope, claims, ignored)


def _scope(access_token: Mapping[str, Any]) -> tuple[str, ...] | Failed | None:
    """None where nothing is said of it."""
    scope = access_token.get("scope")
    if scope is None:
        return None
    if isinstance(scope, str):
        scope = scope.split()
    if not isinstance(scope, list) or not all(isinstance(word, str) for word in scope):
        return Failed("", "bad_answer", "the scope of a token is a list of texts")
    if len(str(scope)) > MOST_CLAIM_CHARACTERS:
        return Failed("", "answer_too_large", "the scope is too long")
    return tuple(dict.fromkeys(scope))


def _multifactor(wanted: object) -> MultifactorWish | None:
    """None for what this server cannot do: less than what was asked for would be too little."""
    if wanted is None or wanted is False:
        return ""
    provider = wanted.get("provider") if isinstance(wanted, dict) else None
    if provider in _DEMANDS:
        return "demand"
    return "waive" if provider == "none" else None


def _factors(wanted: object) -> tuple[str, ...] | Failed:
    """Those that a demand is limited to: by Actions, which leave their names beside the provider."""
    found = wanted.get("factors") if isinstance(wanted, dict) else None
    if found is None:
        return ()
    if not isinstance(found, list) or not found or not all(name in FACTOR_NAMES for name in found):
        return Failed("", "bad_answer", "no factor satisfies all that was demanded")
    return tuple(dict.fromkeys(found))


def _claims(found: object) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Namespaced ones, and the names of those that are left out: no rule says who somebody is, or what was proven."""
    members = found if isinstance(found, dict) else {}
    taken = {
        name: value
        for name, value in members.items()
        if _NAMESPACED.fullmatch(name) and not _RESERVED_HOSTS.match(name)
    }
    return taken, tuple(name[:100] for name in members if name not in taken)[:20]


def _writes(found: object, user_id: str) -> tuple[Write, ...] | Failed:
    taken = []
    for part in found if isinstance(found, list) else ():
        if part["user_id"] != user_id:
            return Failed("", "bad_answer", "a rule changes the metadata of the person who logs in only")
        if not isinstance(part["patch"], dict) or not is_plain(part["patch"]):
            return Failed("", "bad_answer", "metadata are an object of plain values")
        taken.append(Write(part["kind"], part["patch"]))
    return tuple(taken)


def merged(before: Mapping[str, object], patch: Mapping[str, object]) -> dict[str, object]:
    """Metadata after a change: the first level is merged, null removes."""
    return {name: value for name, value in {**before, **patch}.items() if value is not None}


def is_plain(value: object, depth: int = 0) -> bool:
    """Whether a database can keep it and a token carry it: no NUL, no half characters, no abyss."""
    if depth > DEEPEST:
        return False
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
    if isinstance(value, dict):
        return all(is_plain(name, depth) and is_plain(part, depth + 1) for name, part in value.items())
    if isinstance(value, list):
        return all(is_plain(part, depth + 1) for part in value)
    return value is None or isinstance(value, bool | int | float)
