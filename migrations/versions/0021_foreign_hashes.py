"""people who wait for their first login with another system's hash, by realm"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

IS_FOREIGN = sa.text("password_hash LIKE 'foreign:%'")


def upgrade() -> None:
    op.create_index(
        "ix_users_foreign",
        "users",
        ["realm_id", "id"],
        sqlite_where=IS_FOREIGN,
        postgresql_where=IS_FOREIGN,
    )


def downgrade() -> None:
    op.drop_index("ix_users_foreign", "users")
