"""The schema's version: where the database stands, and how it is moved."""

from pathlib import Path
from typing import Literal

from sqlalchemy import Connection, column, inspect, select, table
from sqlalchemy.exc import DBAPIError

from app.store.database import Database, lock_installation

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


_VERSION = table("alembic_version", column("version_num"))


def head() -> str:
    """The version that this code wants: a revision is named like the beginning of its file."""
    return max(file.name[:4] for file in MIGRATIONS.glob("versions/[0-9]*.py"))


_HEAD = head()


def current(conn: Connection) -> str | None:
    """The version that the database has; None for an empty one."""
    if not inspect(conn).has_table(_VERSION.name):
        return None
    return conn.execute(select(_VERSION.c.version_num)).scalar_one_or_none()


def is_current(conn: Connection) -> bool:
    try:
        return current(conn) == _HEAD
    except DBAPIError:
        return False


def upgrade(db: Database, revision: str = "head") -> None:
    _run(db, "upgrade", revision)


def downgrade(db: Database, revision: str) -> None:
    _run(db, "downgrade", revision)


def _run(db: Database, move: Literal["upgrade", "downgrade"], revision: str) -> None:
    """All steps in one transaction: a migration that fails leaves the schema as it was, on both databases."""
    # Every command asks for the version, few move it, and what moves it takes its time to load.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with db.write(is_migration=True) as conn:
        lock_installation(conn)
        config.attributes["connection"] = conn
        getattr(command, move)(config, revision)
