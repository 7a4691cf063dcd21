"""The schema's version: where the database stands, and how it is moved."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from app.store.database import Database, lock_installation

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def head() -> str:
    """The version that this code wants."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


_HEAD = head()


def current(conn: Connection) -> str | None:
    """The version that the database has; None for an empty one."""
    return MigrationContext.configure(conn).get_current_revision()


def is_current(conn: Connection) -> bool:
    try:
        return current(conn) == _HEAD
    except DBAPIError:
        return False


def upgrade(db: Database, revision: str = "head") -> None:
    _run(db, command.upgrade, revision)


def downgrade(db: Database, revision: str) -> None:
    _run(db, command.downgrade, revision)


def _run(db: Database, move, revision: str) -> None:  # type: ignore[no-untyped-def]
    """All steps in one transaction: a migration that fails leaves the schema as it was, on both databases."""
    config = _config()
    with db.write(is_migration=True) as conn:
        lock_installation(conn)
        config.attributes["connection"] = conn
        move(config, revision)
