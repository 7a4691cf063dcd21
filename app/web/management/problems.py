"""What is wrong with a payload or a query, in the words that Auth0's tools print to their users.

Only the first problem is told. What was sent is never repeated: it may be a password.
"""

from typing import Any

from pydantic import ValidationError

KINDS = {
    "string": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "list": "array",
    "tuple": "array",
    "dict": "object",
    "model": "object",
    "model_attributes": "object",
}


def body_problem(error: ValidationError) -> str:
    return _problem("Payload", error)


def query_problem(error: ValidationError) -> str:
    return _problem("Query", error)


def _problem(what: str, error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"] if not str(part).startswith(("function-", "tagged-")))
    reason = _reason(first, where)
    if first["type"] in ("missing", "extra_forbidden") or not where:
        return f"{what} validation error: '{reason}'."
    return f"{what} validation error: '{reason}' on property {where}."


def _reason(first: Any, where: str) -> str:
    kind, limits = first["type"], first.get("ctx", {})
    if kind == "missing":
        return f"Missing required property: {where}"
    if kind == "extra_forbidden":
        return f"Additional properties not allowed: {where}"
    if kind in ("literal_error", "enum"):
        return f"No enum match, expected {limits.get('expected', 'another value')}"
    if kind == "string_pattern_mismatch":
        return f"String does not match pattern: {limits['pattern']}"
    if kind == "string_too_short":
        return f"String is too short, minimum {limits['min_length']}"
    if kind == "string_too_long":
        return f"String is too long, maximum {limits['max_length']}"
    if kind in ("too_long", "too_short"):
        bound = "maximum" if kind == "too_long" else "minimum"
        return f"Array has too {'many' if kind == 'too_long' else 'few'} items, {bound} {limits[bound[:3] + '_length']}"
    if kind.startswith(("greater_than", "less_than")):
        bound = "minimum" if kind.startswith("greater") else "maximum"
        return f"Value is out of range, {bound} {next(iter(limits.values()))}"
    if kind == "value_error":
        return str(first["msg"]).removeprefix("Value error, ")
    for ending in ("_type", "_parsing"):
        if kind.endswith(ending) and kind.removesuffix(ending) in KINDS:
            return f"Expected type {KINDS[kind.removesuffix(ending)]}"
    return str(first["msg"])
