"""hooks: programs at the exchange of a client's credentials and at the sending of messages to phones"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "hooks",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("script", sa.Text(), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.Column("sealed_secrets", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hooks")),
        sa.UniqueConstraint("name", name=op.f("uq_hooks_name")),
    )
    op.create_index(
        "uq_hooks_enabled",
        "hooks",
        ["trigger"],
        unique=True,
        sqlite_where=sa.text("is_enabled"),
        postgresql_where=sa.text("is_enabled"),
    )


def downgrade() -> None:
    op.drop_table("hooks")
