"""Settings that an administrator wrote as a whole, read by those whose behaviour they change."""

from typing import Any

from sqlalchemy import Connection

from app.context import Context
from app.store.documents import Document, find_document


def find(ctx: Context, conn: Connection, name: str) -> Document | None:
    return ctx.look_up(conn, find_document, name)


def content_of(ctx: Context, conn: Connection, name: str) -> dict[str, Any]:
    """Its members; none where nobody wrote it."""
    found = find(ctx, conn, name)
    return found.content if found is not None and isinstance(found.content, dict) else {}


def secrets_of(ctx: Context, document: Document) -> dict[str, str]:
    """Raises TemporarilyUnavailable when the key ring does not open them."""
    return ctx.open_secrets("documents", document.name, document.sealed_secrets)
