"""What every change of an administrator leaves in the audit log: who, what, before and after, secrets masked."""

from dataclasses import fields
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Connection

from app import audit
from app.context import Context

MASK = "********"
LONGEST = 2000  # characters of one text: the log is no second copy of a page


def record(
    conn: Connection,
    ctx: Context,
    what: str,
    subject: str,
    *,
    before: Any = None,
    after: Any = None,
    type: str = "sapi",
    details: dict[str, object] | None = None,
) -> None:
    """Write the event of a change, e.g. `client_updated` of a client id. Values are rows, dicts or lists.

    `type` is Auth0's code of a change that has one of its own, and `details` what goes with it.
    """
    old, new = _shown(before), _shown(after)
    if isinstance(old, dict) and isinstance(new, dict):
        same = {name for name in old.keys() & new.keys() if old[name] == new[name]}
        old = {name: value for name, value in old.items() if name not in same}
        new = {name: value for name, value in new.items() if name not in same}
    change: dict[str, object] = {"subject": subject}
    change |= {name: value for name, value in (("before", old), ("after", new)) if value is not None}
    audit.record(conn, ctx, type, what, (details or {}) | {"change": change})


def differences(before: Any, after: Any) -> dict[str, Any]:
    """The members in which two values of one kind differ, as they are afterwards."""
    names = before.__dataclass_fields__
    return {name: getattr(after, name) for name in names if getattr(after, name) != getattr(before, name)}


def _shown(value: Any) -> Any:
    """As JSON; what a value does not show of itself (`repr=False`) is a secret here too."""
    if hasattr(value, "__dataclass_fields__"):
        shown = {f.name: getattr(value, f.name) if f.repr else MASK for f in fields(value)}
        shown = {name: part for name, part in shown.items() if part not in (None, (), {})}
        return {name: _names_only(part) if name in _CLOSED else _shown(part) for name, part in shown.items()}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    if isinstance(value, dict):
        return {str(name): _masked(str(name), part) for name, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_shown(part) for part in value]
    if isinstance(value, str) and len(value) > LONGEST:
        return value[:LONGEST] + "..."
    if isinstance(value, datetime):
        return value.isoformat()
    return value


def _masked(name: str, part: Any) -> Any:
    if is_secret(name):
        return MASK
    return _names_only(part) if name in _CLOSED else _shown(part)


def _names_only(part: Any) -> Any:
    """Anything may be in there: its names are told, its values not."""
    return dict.fromkeys(map(str, part), MASK) if isinstance(part, dict) else _shown(part)


# What operators and tools put whatever they like into.
_CLOSED = ("configuration", "customScripts", "addons", "user_metadata", "app_metadata", "client_metadata")
_SECRET_WORDS = (
    "password passwd pwd passphrase secret token credential api_key apikey private authorization dsn connectionstring"
).split()
_PLAIN = (
    "token_lifetime",
    "token_endpoint_auth_method",
    "token_dialect",
    "refresh_token",
    "password_options",
)


def is_secret(name: str) -> bool:
    """Whether a member of that name is masked. Whole documents of settings carry many names; better one too many."""
    lower = name.lower()
    if lower.startswith(_PLAIN) or lower.endswith(("policy", "policies", "history", "dictionary", "_info")):
        return False
    return any(word in lower for word in _SECRET_WORDS) or lower in ("pass", "smtp_pass", "skey", "p12")
