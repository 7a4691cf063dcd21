"""Settings that an administrator writes as a whole: one JSON document a name, its secrets sealed beside it.

Names are those of the management API's paths, e.g. `guardian/factors` or `emails/provider`. A document that nobody
wrote does not exist; what it would say then is its reader's business.
"""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import JSON, Column, Connection, Table, Text, bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert as upsert

from app.store.base import CONFIGURATION, metadata, value_of, won

documents = Table(
    "documents",
    metadata,
    Column("name", Text, primary_key=True),
    Column("content", JSON, nullable=False),
    Column("sealed_secrets", Text),
    info=CONFIGURATION,
)


@dataclass(frozen=True)
class Document:
    name: str
    content: Any
    sealed_secrets: str | None = field(default=None, repr=False)


_BY_NAME = select(documents).where(documents.c.name == bindparam("name"))


def find_document(conn: Connection, name: str) -> Document | None:
    row = conn.execute(_BY_NAME, {"name": name}).first()
    return value_of(Document, row) if row else None


def put_document(conn: Connection, document: Document) -> None:
    values = {"content": document.content, "sealed_secrets": document.sealed_secrets}
    new = upsert(documents).values(name=document.name, **values)
    conn.execute(new.on_conflict_do_update(index_elements=["name"], set_=values))


def remove_document(conn: Connection, name: str) -> bool:
    return won(conn.execute(delete(documents).where(documents.c.name == name)))
