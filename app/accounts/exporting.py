"""People as a file: NDJSON or CSV, chosen members under chosen names. What is not listed here never leaves.

Read page by page in order of ids, with no connection held between pages: as long as it takes, in constant memory.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.accounts import standing
from app.errors import NotPossible
from app.store import realms, users
from app.store.database import Database
from app.store.users import User

PAGE = 500
FORMATS = ("json", "csv")
MAX_FIELDS = 30
ROOTS = (
    "user_id email email_verified username phone_number phone_verified name given_name family_name nickname picture "
    "blocked created_at updated_at last_login last_ip logins_count last_password_reset identities user_metadata "
    "app_metadata"
).split()
MFA = "mfa"
"""Only where it is asked for: it costs two more looks a page."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")

_NAME = re.compile(r"[^.\[\]]+(?:\[[0-9]{1,3}\])?(?:\.[^.\[\]]+(?:\[[0-9]{1,3}\])?)*")
_STEP = re.compile(r"[^.\[\]]+")


@dataclass(frozen=True)
class Column:
    """A member by its path, e.g. `user_metadata.plan` or `identities[0].connection`, and what it is called."""

    path: tuple[str, ...]
    label: str


@dataclass(frozen=True)
class Page:
    content: bytes
    people: int


def columns_of(fields: Sequence[Mapping[str, str]] | None) -> list[Column]:
    """What to export; without a choice everything. Raises NotPossible."""
    if not fields:
        return [Column((root,), root) for root in ROOTS]
    found = []
    for chosen in fields:
        name = chosen["name"]
        path = tuple(_STEP.findall(name))
        is_known = path[0] in ROOTS or (path[0] == MFA and (len(path) == 1 or path[1] in standing.MEMBERS))
        if not _NAME.fullmatch(name) or not is_known:
            raise NotPossible(f"Payload validation error: 'Unknown field {name}' on property fields.")
        found.append(Column(path, chosen.get("export_as") or name))
    if len({column.label for column in found}) != len(found):
        raise NotPossible("Payload validation error: 'Two fields of one name' on property fields.")
    return found


def export(
    db: Database, realm_id: str | None, columns: Sequence[Column], *, format: str, limit: int | None = None
) -> Iterator[Page]:
    """The file, page by page; of all realms without one."""
    if format == "csv":
        yield Page(",".join(_quoted(_unarmed(column.label)) for column in columns).encode() + b"\r\n", 0)
    wants_mfa = any(column.path[0] == MFA for column in columns)
    write = _csv_line if format == "csv" else _json_line
    after, left = "", limit
    while left is None or left > 0:
        size = PAGE if left is None else min(PAGE, left)
        with db.read() as conn:
            people = users.list_users(conn, realm_id, size, after)
            names = {realm.id: realm.name for realm in realms.list_realms(conn)}
            mfa = standing.mfa_of(conn, people, datetime.now(UTC)) if wants_mfa else {}
        if not people:
            return
        rows = (_members(user, names.get(user.realm_id, "")) | {MFA: mfa.get(user.id)} for user in people)
        lines = "".join(write([_at(row, column.path) for column in columns], columns) for row in rows)
        yield Page(lines.encode("utf-8", "replace"), len(people))
        after = people[-1].id
        left = None if left is None else left - len(people)


def _members(user: User, realm_name: str) -> dict[str, Any]:
    same = {name: getattr(user, name) for name in ROOTS if hasattr(user, name)}
    provider, _, own_id = user.id.partition("|")
    identity = {"connection": realm_name, "user_id": own_id, "provider": provider, "isSocial": False}
    return same | {"user_id": user.id, "blocked": user.is_blocked, "identities": [identity]}


def _at(value: Any, path: Sequence[str]) -> Any:
    for step in path:
        if isinstance(value, list | tuple):
            value = value[int(step)] if step.isdecimal() and int(step) < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def _json_line(values: Sequence[Any], columns: Sequence[Column]) -> str:
    """What somebody does not have is not there."""
    members = {c.label: value for c, value in zip(columns, values, strict=True) if value not in (None, {})}
    return json.dumps(members, default=_timestamp, ensure_ascii=False, separators=(",", ":")) + "\n"


def _csv_line(values: Sequence[Any], columns: Sequence[Column]) -> str:
    return ",".join(map(_cell, values)) + "\r\n"


def _cell(value: Any) -> str:
    """Numbers and our own times as they are; any other text behind an apostrophe, so that no program computes it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, datetime):
        return _timestamp(value)
    return _quoted("'" + (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _unarmed(label: str) -> str:
    return "'" + label if label.startswith(FORMULA) else label


def _timestamp(moment: object) -> str:
    if not isinstance(moment, datetime):
        raise TypeError(type(moment).__name__)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
