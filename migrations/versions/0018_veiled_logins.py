"""logins that are not told apart: blind mode of a realm"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("transactions") as table:
        table.alter_column("user_id", existing_type=sa.Text(), nullable=True)
        table.add_column(sa.Column("veil", sa.Text(), nullable=True))
        table.create_index("ix_transactions_veil", ["veil"])


def downgrade() -> None:
    op.execute("DELETE FROM transactions WHERE user_id IS NULL")
    with op.batch_alter_table("transactions") as table:
        table.drop_index("ix_transactions_veil")
        table.drop_column("veil")
        table.alter_column("user_id", existing_type=sa.Text(), nullable=False)
