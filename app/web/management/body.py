"""Reads what a management request carries: JSON of any kind or a form, and the query."""

import json
import re
from math import isfinite
from typing import Any, get_args, get_origin
from urllib.parse import parse_qsl

from flask import request
from pydantic import BaseModel
from werkzeug.datastructures import MultiDict

from app.errors import NotPossible, PayloadTooLarge
from app.web.body import MAX_MANAGEMENT_BYTES, refuse_constant

MAX_DEPTH = 20
MISSING = object()

_UNCLEAN = re.compile("[\0\ud800-\udfff]")


def read_body() -> tuple[Any, bool]:
    """The body and whether it is a form, whose values are all text. `MISSING` for an empty one."""
    raw = request.stream.read(MAX_MANAGEMENT_BYTES + 1)
    if len(raw) > MAX_MANAGEMENT_BYTES:
        text = f"Payload content length greater than maximum allowed: {MAX_MANAGEMENT_BYTES}"
        raise PayloadTooLarge(text, reason="payload_too_large")
    if not raw.strip():
        return MISSING, False
    is_form = request.mimetype == "application/x-www-form-urlencoded"
    try:
        text = raw.decode("utf-8")
        if is_form:
            found: Any = dict(parse_qsl(text, keep_blank_values=True, max_num_fields=200, errors="strict"))
        else:
            found = json.loads(
                text, object_pairs_hook=_unique, parse_constant=refuse_constant, parse_float=_finite
            )
    except (ValueError, RecursionError):
        raise NotPossible("Payload validation error: 'The body is not valid JSON'.") from None
    check_text(found)
    return (MISSING if found is None else found), is_form


def read_query(model: type[BaseModel], args: MultiDict[str, str]) -> dict[str, object]:
    """The members that the model knows; others are ignored, because tools send what they please."""
    found: dict[str, object] = {}
    for name, known in model.model_fields.items():
        name = known.alias or name
        if name not in args:
            continue
        kinds: list[Any] = [get_origin(kind) for kind in (known.annotation, *get_args(known.annotation))]
        many = list in kinds
        values = [word for value in args.getlist(name) for word in value.split(",")]
        found[name] = values if many else args[name]
        check_text(found[name])
    return found


def _finite(text: str) -> float:
    """1e999 is a number to JSON and none to those who would read it from us."""
    number = float(text)
    if not isfinite(number):
        raise ValueError(text)
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member twice")
    return members


def check_text(value: object, depth: int = 0) -> None:
    """Text that every database and log can hold, nested no deeper than anybody needs. Raises NotPossible."""
    if depth > MAX_DEPTH:
        raise NotPossible("Payload validation error: 'Nested too deeply'.")
    if isinstance(value, str) and _UNCLEAN.search(value):
        raise NotPossible("Payload validation error: 'A NUL or an unpaired surrogate'.")
    if isinstance(value, dict):
        for name, part in value.items():
            check_text(name, depth + 1)
            check_text(part, depth + 1)
    elif isinstance(value, list | tuple):
        for part in value:
            check_text(part, depth + 1)
