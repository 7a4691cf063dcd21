"""A policy in one line of at most 255 characters, for tools that know nothing of policies but carry a connection's
metadata: `mode=always;factors=otp,webauthn-roaming;grace=days:14`.

The line says only what it has words for; what stands in none of them, exemptions for instance, it leaves alone.
"""

from typing import Any

from app.policy_terms import FACTOR_NAMES, Terms, moment_text

LABEL = "mfa_policy"
LONGEST = 255

_SWITCH = {"true": True, "false": False}


def line_of(terms: Terms) -> str:
    """What differs from the default, the mode always."""
    default, parts = Terms(), {"mode": str(terms.mode)}
    for word, path in _PATHS.items():
        value, usual = _member(terms, path), _member(default, path)
        if value != usual:
            parts[word] = _written(value)
    if set(terms.factors.allowed) != set(FACTOR_NAMES):
        parts["factors"] = ",".join(terms.factors.allowed)
    grace = terms.enrollment.grace
    if grace.type != "none":
        value = {
            "until": moment_text(grace.until) if grace.until else "",
            "days": grace.days,
            "skips": grace.skips,
        }
        parts["grace"] = f"{grace.type}:{value[grace.type]}"
    return ";".join(f"{word}={value}" for word, value in parts.items())


_PATHS = {
    "enforcement": "enforcement",
    "min": "factors.min_enrolled",
    "phishing_resistant": "factors.phishing_resistant_only",
    "recovery_code": "factors.recovery_code",
    "enroll": "enrollment.self_service",
    "proof": "enrollment.proof",
    "starts": "enrollment.grace.starts",
    "on_expired": "enrollment.on_expired",
    "max_mfa_age": "refresh.max_mfa_age_seconds",
    "risk": "adaptive.require_at_or_below",
    "assurance": "assurance",
}
_NUMBERS = ("factors.min_enrolled", "refresh.max_mfa_age_seconds")


def document_of(line: str, known: dict[str, Any]) -> dict[str, Any]:
    """The terms, as a document to be validated, that the line makes of those `known`. Raises ValueError."""
    parts: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in line.split(";"))):
        word, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value or word in parts:
            raise ValueError(f"'{part[:60]}' is not word=value, or comes twice")
        parts[word] = value
    strange = set(parts) - {"mode", "factors", "grace", *_PATHS}
    if strange:
        raise ValueError(f"'{min(strange)[:60]}' is no word of a policy")
    default = Terms().model_dump(mode="json")
    changed = _copy(known)
    changed["mode"] = parts.get("mode", default["mode"])
    for word, path in _PATHS.items():
        _put(changed, path, _read(path, parts[word]) if word in parts else _at(default, path))
    factors = parts.get("factors")
    changed["factors"]["allowed"] = factors.split(",") if factors else default["factors"]["allowed"]
    grace = {"starts": changed["enrollment"]["grace"]["starts"]}
    if "grace" in parts:
        kind, _, amount = parts["grace"].partition(":")
        grace["type"] = kind
        if amount:
            grace[kind] = int(amount) if kind in ("days", "skips") else amount
    changed["enrollment"]["grace"] = changed["enrollment"]["grace"] | {"type": "none"} | grace
    return changed


def _read(path: str, text: str) -> object:
    if path in _NUMBERS:
        return int(text)
    return _SWITCH.get(text, text)


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _copy(document: dict[str, Any]) -> dict[str, Any]:
    return {n: _copy(part) if isinstance(part, dict) else part for n, part in document.items()}


def _member(terms: Terms, path: str) -> object:
    found: object = terms
    for name in path.split("."):
        found = getattr(found, name)
    return found


def _at(document: dict[str, Any], path: str) -> object:
    found: Any = document
    for name in path.split("."):
        found = found[name]
    return found


def _put(document: dict[str, Any], path: str, value: object) -> None:
    *folders, last = path.split(".")
    for name in folders:
        document = document[name]
    document[last] = value
