"""Metadata as a PATCH changes them: null deletes a member, and what is left keeps to the limits of a whole."""

from collections.abc import Mapping
from typing import Any

from app.errors import NotPossible
from app.web.management.schema import MAX_LABELS, Labels, is_small


def merged(old: Mapping[str, Any], new: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    """At the first level; nothing at all deletes everything. Raises NotPossible."""
    if not new:
        return {}
    try:
        return is_small(_without_nulls(old, new))
    except ValueError as error:
        raise NotPossible(f"Payload validation error: '{error}' on property {name}.") from None


def merged_labels(
    old: Mapping[str, str], new: Labels, name: str, *, at_most: int = MAX_LABELS
) -> dict[str, str]:
    """Raises NotPossible."""
    both = _without_nulls(old, new)
    if len(both) > at_most:
        text = f"Too many properties defined ({len(both)}), maximum {at_most}"
        raise NotPossible(f"Payload validation error: '{text}' on property {name}.")
    return both


def _without_nulls(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    both = {**old, **new}
    return {name: value for name, value in both.items() if value is not None}
