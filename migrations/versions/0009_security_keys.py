"""the name of a security key, which nobody else's may have"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("authenticators", sa.Column("credential_id", sa.Text(), nullable=True))
    op.create_index(op.f("ix_authenticators_credential_id"), "authenticators", ["credential_id"], unique=True)


def downgrade() -> None:
    op.drop_index(op.f("ix_authenticators_credential_id"), "authenticators")
    op.drop_column("authenticators", "credential_id")
