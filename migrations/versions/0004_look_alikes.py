"""what each identifier looks like, so that nobody takes one that looks like somebody else's"""

import sqlalchemy as sa
from alembic import op

from app.identifiers import skeleton

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BATCH = 1000


def upgrade() -> None:
    with op.batch_alter_table("identifiers") as table:
        table.add_column(sa.Column("skeleton", sa.Text(), nullable=True))
    fill(op.get_bind())
    with op.batch_alter_table("identifiers") as table:
        table.alter_column("skeleton", existing_type=sa.Text(), nullable=False)
    op.create_index("ix_identifiers_skeleton", "identifiers", ["realm_id", "skeleton"])


def fill(conn: sa.Connection) -> None:
    """Those who look alike already stay as they are: refusing is for whoever comes next."""
    columns = sa.Column("key", sa.Text()), sa.Column("skeleton", sa.Text())
    rows = sa.Table("identifiers", sa.MetaData(), *columns)
    some = sa.select(rows.c.key).where(rows.c.key > sa.bindparam("after")).distinct()
    some = some.order_by(rows.c.key).limit(BATCH)
    change = sa.update(rows).where(rows.c.key == sa.bindparam("of"))
    change = change.values(skeleton=sa.bindparam("seen"))
    after = ""
    while keys := conn.execute(some, {"after": after}).scalars().all():
        conn.execute(change, [{"of": key, "seen": skeleton(key)} for key in keys])
        after = keys[-1]


def downgrade() -> None:
    op.drop_index("ix_identifiers_skeleton", "identifiers")
    with op.batch_alter_table("identifiers") as table:
        table.drop_column("skeleton")
