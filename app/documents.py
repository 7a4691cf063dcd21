"""Settings that an administrator wrote as a whole, read by those whose behaviour they change."""

import json
from typing import Any

from sqlalchemy import Connection

from app.context import Context
from app.crypto import SealBroken, owner_of
from app.errors import TemporarilyUnavailable
from app.store.documents import Document, find_document


def find(ctx: Context, conn: Connection, name: str) -> Document | None:
    return ctx.look_up(conn, find_document, name)


def content_of(ctx: Context, conn: Connection, name: str) -> dict[str, Any]:
    """Its members; none where nobody wrote it."""
    found = find(ctx, conn, name)
    return found.content if found is not None and isinstance(found.content, dict) else {}


def secrets_of(ctx: Context, document: Document) -> dict[str, str]:
    """Raises TemporarilyUnavailable when the key ring does not open them."""
    if document.sealed_secrets is None:
        return {}
    try:
        opened = ctx.server.keyring.open(document.sealed_secrets, owner_of("documents", document.name))
    except (SealBroken, OSError):
        raise TemporarilyUnavailable(reason="secret_unreadable") from None
    found: dict[str, str] = json.loads(opened)
    return found
