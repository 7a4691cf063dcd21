"""the whole policy of a realm in the place of its mode alone, and what policies count of a person"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def _realms(kept: sa.Column[object]) -> sa.Table:
    return sa.Table(
        "realms", sa.MetaData(), sa.Column("id", sa.Text()), sa.Column("mfa_mode", sa.Text()), kept
    )


def upgrade() -> None:
    with op.batch_alter_table("users") as table:
        table.add_column(sa.Column("mfa_counts", sa.JSON(), nullable=True))
    with op.batch_alter_table("realms") as table:
        table.add_column(sa.Column("mfa_policy", sa.JSON(), nullable=True))
    realms, conn = _realms(sa.Column("mfa_policy", sa.JSON(none_as_null=True))), op.get_bind()
    written = sa.select(realms.c.id, realms.c.mfa_mode).where(realms.c.mfa_mode.is_not(None))
    for realm_id, mode in conn.execute(written).all():
        policy = {"terms": {"mode": mode}, "version": 1, "updated_by": "migration"}
        conn.execute(sa.update(realms).where(realms.c.id == realm_id).values(mfa_policy=policy))
    with op.batch_alter_table("realms") as table:
        table.drop_column("mfa_mode")


def downgrade() -> None:
    with op.batch_alter_table("realms") as table:
        table.add_column(sa.Column("mfa_mode", sa.Text(), nullable=True))
    realms, conn = _realms(sa.Column("mfa_policy", sa.JSON(none_as_null=True))), op.get_bind()
    written = sa.select(realms.c.id, realms.c.mfa_policy).where(realms.c.mfa_policy.is_not(None))
    for realm_id, policy in conn.execute(written).all():
        mode = policy["terms"].get("mode", "inherit")
        mode = "always" if mode == "adaptive" else mode  # which the older program does not know
        conn.execute(sa.update(realms).where(realms.c.id == realm_id).values(mfa_mode=mode))
    with op.batch_alter_table("realms") as table:
        table.drop_column("mfa_policy")
    with op.batch_alter_table("users") as table:
        table.drop_column("mfa_counts")
