"""Alembic's entry. The connection comes from `app.store.schema`, or from BELAY_DATABASE_URL when run by hand."""

from alembic import context
from sqlalchemy import Connection

import app.store  # noqa: F401 - makes the metadata whole
from app.store.base import metadata


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


run(context.config.attributes["connection"])
