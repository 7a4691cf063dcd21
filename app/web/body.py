"""One reader for every POST: a JSON object or a form, strict about what could be meant two ways."""

import json
import re
from typing import Any
from urllib.parse import parse_qsl

from flask import request

from app.errors import InvalidRequest

MAX_BYTES = 16 * 1024
MAX_MANAGEMENT_BYTES = 600 * 1024
MAX_MEMBERS = 50
MAX_DEPTH = 20

_UNCLEAN = re.compile("[\0\ud800-\udfff]")


def read_raw() -> bytes:
    """The body as it came. Raises InvalidRequest."""
    # A declared length is believed before the bytes are read; without one the reader itself stops.
    if (request.content_length or 0) > MAX_BYTES:
        raise _too_large()
    raw = request.stream.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise _too_large()
    return raw


def read_members(raw: bytes | None = None) -> dict[str, object]:
    """The members of the body. Raises InvalidRequest.

    A name that comes twice is refused (RFC 6749 3.2): two readers would pick different ones.
    """
    if raw is None:
        raw = read_raw()
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if charset not in ("utf-8", "utf8"):
        raise InvalidRequest("The body must be UTF-8.", reason="charset")
    if request.mimetype == "application/json":
        members = _json(raw)
    elif request.mimetype == "application/x-www-form-urlencoded":
        members = _form(raw)
    else:
        text = "Content-Type must be application/json or application/x-www-form-urlencoded."
        raise InvalidRequest(text, reason="media_type")
    for name, value in members.items():
        if not _is_clean(name) or not _is_clean(value):
            raise InvalidRequest("The body holds a NUL or an unpaired surrogate.", reason="unclean_text")
    return members


def _too_large() -> InvalidRequest:
    return InvalidRequest(
        f"The body may have at most {MAX_BYTES} bytes.", reason="body_too_large", status=413
    )


def _form(raw: bytes) -> dict[str, object]:
    try:
        pairs = parse_qsl(
            raw.decode("utf-8"), keep_blank_values=True, max_num_fields=MAX_MEMBERS, errors="strict"
        )
    except ValueError:
        raise InvalidRequest("The form cannot be read.", reason="bad_form") from None
    return _unique(pairs)


def _json(raw: bytes) -> dict[str, object]:
    try:
        members: Any = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=refuse_constant
        )
    except (ValueError, RecursionError):
        raise InvalidRequest("The body is not valid JSON.", reason="bad_json") from None
    if not isinstance(members, dict):
        raise InvalidRequest("The body must be a JSON object.", reason="not_an_object")
    return members


def refuse_constant(name: str) -> None:
    raise ValueError(name)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, object]:
    if len(pairs) > MAX_MEMBERS:
        raise InvalidRequest(f"The body may have at most {MAX_MEMBERS} members.", reason="too_many_members")
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidRequest(f"Parameter given twice: {twice[:40]}", reason="repeated_parameter")
    return members


def _is_clean(value: object, depth: int = 0) -> bool:
    """Text that every database and log can hold: no NUL, no half of a surrogate pair."""
    if depth > MAX_DEPTH:
        raise InvalidRequest("The body is nested too deeply.", reason="too_deep")
    if isinstance(value, str):
        return _UNCLEAN.search(value) is None
    if isinstance(value, list):
        return all(_is_clean(part, depth + 1) for part in value)
    if isinstance(value, dict):
        return all(_is_clean(name) and _is_clean(part, depth + 1) for name, part in value.items())
    return True
