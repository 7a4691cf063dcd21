"""directories outside: the secrets that realms prove themselves with, and when it was asked about a person"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("realms", sa.Column("sealed_secrets", sa.Text(), nullable=True))
    op.add_column("users", sa.Column("directory_checked_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("users", "directory_checked_at")
    op.drop_column("realms", "sealed_secrets")
