"""what the management API shows and keeps"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("users") as table:
        table.add_column(sa.Column("last_login", sa.DateTime(timezone=True)))
        table.add_column(sa.Column("last_ip", sa.Text()))
        table.add_column(sa.Column("logins_count", sa.Integer(), nullable=False, server_default="0"))
        table.add_column(sa.Column("last_password_reset", sa.DateTime(timezone=True)))
    with op.batch_alter_table("users") as table:
        table.alter_column("logins_count", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("users") as table:
        for name in ("last_password_reset", "logins_count", "last_ip", "last_login"):
            table.drop_column(name)
