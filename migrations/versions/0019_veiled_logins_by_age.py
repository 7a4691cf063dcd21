"""logins that are not told apart, by their age: the oldest beyond a number are removed each minute"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

IS_VEILED = sa.text("veil IS NOT NULL")


def upgrade() -> None:
    op.create_index(
        "ix_transactions_veiled",
        "transactions",
        ["created_at"],
        sqlite_where=IS_VEILED,
        postgresql_where=IS_VEILED,
    )


def downgrade() -> None:
    op.drop_index("ix_transactions_veiled", "transactions")
