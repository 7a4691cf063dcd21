"""What all tables share: the metadata, points in time, rows as values, and how a race is told."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import BaseModel
from sqlalchemy import (
    JSON,
    BigInteger,
    Connection,
    DateTime,
    Dialect,
    Integer,
    MetaData,
    Select,
    func,
    select,
)
from sqlalchemy.types import TypeDecorator

# Alembic needs every constraint to have a name that it can find again.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

T = TypeVar("T")

BigId = BigInteger().with_variant(Integer, "sqlite")


# The mark of tables that administrators write and logins only read (app.store.configuration).
CONFIGURATION = {"is_configuration": True}


class UTCDateTime(TypeDecorator[datetime]):
    """Aware UTC in Python on both databases; SQLite has no time zones of its own."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a point in time without a zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Kept(TypeDecorator[Any]):
    """A value with members of its own, as one JSON document; `read` makes it of the document again."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def __init__(self, read: Callable[[object], BaseModel]) -> None:
        super().__init__()
        self.read = read

    def process_bind_param(self, value: BaseModel | None, dialect: Dialect) -> Any:
        return None if value is None else value.model_dump(mode="json")

    def process_result_value(self, value: Any, dialect: Dialect) -> BaseModel | None:
        return None if value is None else self.read(value)


def won(result: Any) -> bool:
    """Whether a conditional UPDATE or DELETE changed exactly the one row: this caller won, nobody else did."""
    return int(result.rowcount) == 1


def value_of(kind: type[T], row: Any, prefix: str = "") -> T:
    """A row as a frozen dataclass whose fields are named like the columns; JSON arrays become tuples."""
    mapping = row._mapping
    return kind(**{name: _frozen(mapping[prefix + name]) for name in kind.__dataclass_fields__})  # type: ignore[attr-defined]


def row_of(value: Any) -> dict[str, Any]:
    """The columns of a value."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def _frozen(value: Any) -> Any:
    return tuple(_frozen(part) for part in value) if type(value) is list else value


def count(conn: Connection, found: Select[Any], *, up_to: int) -> int:
    """How many rows, or `up_to` where there are more: nobody waits for millions to be counted."""
    return int(conn.execute(select(func.count()).select_from(found.limit(up_to).subquery())).scalar_one())
