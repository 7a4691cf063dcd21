"""guesses at second factors count in the buckets that count everything else"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

PREFIX = "guess/person/"
SIZE, REFILL_SECONDS = 10, 360.0


def upgrade() -> None:
    conn = op.get_bind()
    rows = conn.execute(sa.text("SELECT user_id, level, updated_seconds FROM factor_guesses WHERE level > 0"))
    buckets = sa.Table(
        "buckets",
        sa.MetaData(),
        sa.Column("key", sa.Text()),
        sa.Column("level", sa.Float()),
        sa.Column("updated_seconds", sa.Float()),
        sa.Column("empty_at", sa.DateTime(timezone=True)),
    )
    found = [
        {
            "key": PREFIX + row.user_id,
            "level": row.level,
            "updated_seconds": row.updated_seconds,
            "empty_at": datetime.fromtimestamp(row.updated_seconds + SIZE * REFILL_SECONDS, UTC),
        }
        for row in rows
    ]
    if found:
        conn.execute(sa.insert(buckets), found)
    op.drop_table("factor_guesses")


def downgrade() -> None:
    op.create_table(
        "factor_guesses",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("level", sa.Float(), nullable=False),
        sa.Column("updated_seconds", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_factor_guesses_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_factor_guesses")),
    )
    conn = op.get_bind()
    conn.execute(
        sa.text(
            "INSERT INTO factor_guesses (user_id, level, updated_seconds) "
            "SELECT users.id, level, updated_seconds FROM buckets JOIN users ON buckets.key = :prefix || users.id"
        ),
        {"prefix": PREFIX},
    )
    conn.execute(sa.text("DELETE FROM buckets WHERE key LIKE :keys"), {"keys": PREFIX + "%"})
