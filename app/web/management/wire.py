"""How values look on the management wire."""

from datetime import UTC, datetime


def timestamp(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC with milliseconds and `Z`."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def present(members: object) -> object:
    """Without the members that have no value: they are left out, never null. What users wrote may hold nulls inside."""
    if not isinstance(members, dict):
        return members
    return {name: value for name, value in members.items() if value is not None}
