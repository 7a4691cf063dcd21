"""challenges of second factors, messages to people, and buckets that limit them"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "challenges",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("handle_digest", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("authenticator_id", sa.Text(), nullable=True),
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.Column("secret_digest", sa.Text(), nullable=True),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("settled_at", TIME, nullable=True),
        sa.Column("polled_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_challenges_user_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["authenticator_id"],
            ["authenticators.id"],
            name=op.f("fk_challenges_authenticator_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_challenges")),
        sa.UniqueConstraint("handle_digest", name=op.f("uq_challenges_handle_digest")),
    )
    op.create_index(op.f("ix_challenges_user_id"), "challenges", ["user_id"])
    op.create_index(op.f("ix_challenges_expires_at"), "challenges", ["expires_at"])
    op.create_index("ix_challenges_authenticator", "challenges", ["authenticator_id", "created_at"])
    op.create_table(
        "messages",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("challenge_id", sa.Text(), nullable=True),
        sa.Column("realm", sa.Text(), nullable=True),
        sa.Column("sealed_content", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("due_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("claimed_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_messages_user_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["challenge_id"], ["challenges.id"], name=op.f("fk_messages_challenge_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
    )
    op.create_index(op.f("ix_messages_user_id"), "messages", ["user_id"])
    op.create_index(op.f("ix_messages_challenge_id"), "messages", ["challenge_id"])
    op.create_index(op.f("ix_messages_expires_at"), "messages", ["expires_at"])
    waiting = sa.text("state = 'waiting'")
    op.create_index(
        "ix_messages_waiting",
        "messages",
        ["channel", "due_at"],
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
    op.create_table(
        "buckets",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("level", sa.Float(), nullable=False),
        sa.Column("updated_seconds", sa.Float(), nullable=False),
        sa.Column("empty_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_buckets")),
    )
    op.create_index(op.f("ix_buckets_empty_at"), "buckets", ["empty_at"])


def downgrade() -> None:
    op.drop_table("buckets")
    op.drop_table("messages")
    op.drop_table("challenges")
