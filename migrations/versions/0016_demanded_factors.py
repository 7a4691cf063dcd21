"""the factors that rules limited an MFA transaction to"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("transactions") as table:
        table.add_column(sa.Column("demanded", sa.Text(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("transactions") as table:
        table.drop_column("demanded")
