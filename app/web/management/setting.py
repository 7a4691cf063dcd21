"""A document of settings as operations: shown with defaults, replaced by PUT, merged by PATCH, secrets never shown."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from app import accounts
from app.documents import secrets_of
from app.store import documents
from app.store.tenant import lock_tenant
from app.web.management.operation import Call, Operation, operation


@dataclass(frozen=True)
class Setting:
    path: str
    body: type[BaseModel]
    scopes: tuple[str, str]
    """To read, and to write."""
    default: dict[str, Any] = field(default_factory=dict)
    methods: tuple[str, ...] = ("GET", "PUT")
    secrets: tuple[str, ...] = ()
    """Their names; `a.b` for one inside of an object."""
    document: str = ""
    """Its name where that is not the path: one document may have two addresses."""
    is_shown: bool = True

    @property
    def name(self) -> str:
        return self.document or self.path.removeprefix("/")


def content_of(call: Call, name: str) -> Any:
    """What an administrator wrote; None where nobody did."""
    with call.ctx.db.read() as conn:
        found = call.ctx.look_up(conn, documents.find_document, name)
    return None if found is None else found.content


def merged(old: Any, new: Any) -> Any:
    """Objects merge at every level, anything else is replaced."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return old | {name: merged(old.get(name), part) for name, part in new.items()}


def operations_of(setting: Setting) -> tuple[Operation, ...]:
    return tuple(_operation(setting, method) for method in setting.methods)


def _operation(setting: Setting, method: str) -> Operation:
    handle = _show(setting) if method == "GET" else _write(setting, merges=method == "PATCH")
    words = setting.path.strip("/").replace("/", " ")
    handle.__name__ = f"{method.lower()}_{words.replace(' ', '_').replace('-', '_')}"
    handle.__doc__ = f"{'Settings' if method == 'GET' else 'Change the settings'} of {words}"
    read, write = setting.scopes
    if method == "GET":
        return operation(method, setting.path, scopes=read)(handle)
    return operation(method, setting.path, scopes=write, body=setting.body)(handle)


def _show(setting: Setting) -> Callable[[Call], object]:
    return lambda call: setting.default | (content_of(call, setting.name) or {})


def _write(setting: Setting, *, merges: bool) -> Callable[[Call], object]:
    def write(call: Call) -> object:
        given = call.body.model_dump(mode="json", by_alias=True, exclude_unset=True)
        secrets = _taken(given, setting.secrets)
        content = given
        with call.ctx.db.write() as conn:
            lock_tenant(conn)
            if merges:
                known = documents.find_document(conn, setting.name)
                secrets = secrets_of(call.ctx, known) | secrets if secrets and known else secrets
                content = merged(setting.default | (known.content if known else {}), given)
            accounts.put_document(conn, call.ctx, setting.name, content, secrets or None)
        return setting.default | content if setting.is_shown else {}

    return write


def _taken(given: dict[str, Any], names: tuple[str, ...]) -> dict[str, str]:
    """Take the secrets out of what was given."""
    found: dict[str, str] = {}
    for name in names:
        *folders, last = name.split(".")
        holder: Any = given
        for folder in folders:
            holder = holder.get(folder) if isinstance(holder, dict) else None
        if isinstance(holder, dict) and holder.get(last) is not None:
            found[name] = str(holder.pop(last))
    return found
