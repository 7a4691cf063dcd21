"""what the management API shows and keeps"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BEGINNING = "2026-11-23 00:00:00"  # when grants began to tell their age

# Realms that are there never offered signup.
CLOSED = '{"disable_signup": true}'
PURGED = (
    ("ix_refresh_families_successors", "refresh_families", "rotated_at", "sealed_successor IS NOT NULL"),
    ("ix_authenticators_pending", "authenticators", "created_at", "confirmed_at IS NULL"),
)


def upgrade() -> None:
    op.create_table(
        "password_history",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_password_history_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_password_history")),
    )
    op.create_index(op.f("ix_password_history_user_id"), "password_history", ["user_id"])
    op.create_table(
        "tickets",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("token_digest", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("consumed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_tickets_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tickets")),
        sa.UniqueConstraint("token_digest", name=op.f("uq_tickets_token_digest")),
    )
    op.create_index(op.f("ix_tickets_user_id"), "tickets", ["user_id"])
    op.create_index(op.f("ix_tickets_expires_at"), "tickets", ["expires_at"])
    op.create_index(op.f("ix_identifiers_key"), "identifiers", ["key"])
    op.create_index("ix_refresh_families_idle_expires_at", "refresh_families", ["idle_expires_at"])
    for name, table, column, where in PURGED:
        op.create_index(name, table, [column], sqlite_where=sa.text(where), postgresql_where=sa.text(where))
    with op.batch_alter_table("users") as table:
        table.add_column(sa.Column("last_login", sa.DateTime(timezone=True)))
        table.add_column(sa.Column("last_ip", sa.Text()))
        table.add_column(sa.Column("logins_count", sa.Integer(), nullable=False, server_default="0"))
        table.add_column(sa.Column("last_password_reset", sa.DateTime(timezone=True)))
    op.create_table(
        "documents",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("sealed_secrets", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_documents")),
    )
    op.create_table(
        "roles",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_roles")),
        sa.UniqueConstraint("name", name=op.f("uq_roles_name")),
    )
    op.create_table(
        "role_permissions",
        sa.Column("role_id", sa.Text(), nullable=False),
        sa.Column("api_id", sa.Text(), nullable=False),
        sa.Column("permission", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["api_id"], ["apis.id"], name=op.f("fk_role_permissions_api_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["role_id"], ["roles.id"], name=op.f("fk_role_permissions_role_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("role_id", "api_id", "permission", name=op.f("pk_role_permissions")),
    )
    op.create_table(
        "user_permissions",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("api_id", sa.Text(), nullable=False),
        sa.Column("permission", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["api_id"], ["apis.id"], name=op.f("fk_user_permissions_api_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_user_permissions_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "api_id", "permission", name=op.f("pk_user_permissions")),
    )
    op.create_table(
        "user_roles",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("role_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["role_id"], ["roles.id"], name=op.f("fk_user_roles_role_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_user_roles_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "role_id", name=op.f("pk_user_roles")),
    )
    with op.batch_alter_table("user_roles", schema=None) as batch_op:
        batch_op.create_index("ix_user_roles_role", ["role_id", "user_id"], unique=False)

    with op.batch_alter_table("apis", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("enforces_policies", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        batch_op.add_column(sa.Column("descriptions", sa.JSON(), nullable=False, server_default="{}"))
        batch_op.add_column(sa.Column("settings", sa.JSON(), nullable=False, server_default="{}"))

    with op.batch_alter_table("client_grants", schema=None) as batch_op:
        batch_op.add_column(sa.Column("settings", sa.JSON(), nullable=False, server_default="{}"))
        batch_op.add_column(
            sa.Column(
                "created_at",
                sa.DateTime(timezone=True),
                nullable=False,
                server_default=BEGINNING,
            )
        )
        batch_op.create_unique_constraint(batch_op.f("uq_client_grants_client_id"), ["client_id", "api_id"])

    with op.batch_alter_table("clients", schema=None) as batch_op:
        batch_op.add_column(sa.Column("is_global", sa.Boolean(), nullable=False, server_default=sa.false()))
        batch_op.add_column(sa.Column("settings", sa.JSON(), nullable=False, server_default="{}"))

    with op.batch_alter_table("realms", schema=None) as batch_op:
        batch_op.add_column(sa.Column("options", sa.JSON(), nullable=False, server_default=CLOSED))
        batch_op.add_column(sa.Column("labels", sa.JSON(), nullable=False, server_default="{}"))
        batch_op.add_column(sa.Column("shown", sa.JSON(), nullable=False, server_default="{}"))

    with op.batch_alter_table("refresh_families", schema=None) as batch_op:
        batch_op.add_column(sa.Column("initial_ip", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("initial_user_agent", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("last_ip", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("last_user_agent", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("is_rotating", sa.Boolean(), nullable=False, server_default=sa.true()))
        batch_op.add_column(sa.Column("labels", sa.JSON(), nullable=True))

    # Defaults were for the rows that are there; new rows bring their values.
    for name, column in (
        ("users", "logins_count"),
        ("apis", "enforces_policies"),
        ("apis", "descriptions"),
        ("apis", "settings"),
        ("client_grants", "settings"),
        ("client_grants", "created_at"),
        ("clients", "is_global"),
        ("clients", "settings"),
        ("realms", "options"),
        ("realms", "labels"),
        ("realms", "shown"),
        ("refresh_families", "is_rotating"),
    ):
        with op.batch_alter_table(name) as table:
            table.alter_column(column, server_default=None)


def downgrade() -> None:
    op.drop_table("tickets")
    op.drop_table("password_history")
    op.drop_index(op.f("ix_identifiers_key"), "identifiers")
    op.drop_index("ix_refresh_families_idle_expires_at", "refresh_families")
    for name, table, _, _ in PURGED:
        op.drop_index(name, table)

    with op.batch_alter_table("refresh_families", schema=None) as batch_op:
        batch_op.drop_column("labels")
        batch_op.drop_column("is_rotating")
        batch_op.drop_column("last_user_agent")
        batch_op.drop_column("last_ip")
        batch_op.drop_column("initial_user_agent")
        batch_op.drop_column("initial_ip")

    with op.batch_alter_table("realms", schema=None) as batch_op:
        batch_op.drop_column("shown")
        batch_op.drop_column("labels")
        batch_op.drop_column("options")

    with op.batch_alter_table("clients", schema=None) as batch_op:
        batch_op.drop_column("settings")
        batch_op.drop_column("is_global")

    with op.batch_alter_table("client_grants", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("uq_client_grants_client_id"), type_="unique")
        batch_op.drop_column("created_at")
        batch_op.drop_column("settings")

    with op.batch_alter_table("apis", schema=None) as batch_op:
        batch_op.drop_column("settings")
        batch_op.drop_column("descriptions")
        batch_op.drop_column("enforces_policies")

    with op.batch_alter_table("user_roles", schema=None) as batch_op:
        batch_op.drop_index("ix_user_roles_role")

    op.drop_table("user_roles")
    op.drop_table("user_permissions")
    op.drop_table("role_permissions")
    op.drop_table("roles")
    op.drop_table("documents")
    with op.batch_alter_table("users") as table:
        for name in ("last_password_reset", "logins_count", "last_ip", "last_login"):
            table.drop_column(name)
