"""whether clients get tokens of an API for themselves and for people, and grants for the latter"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

apis = sa.Table(
    "apis",
    sa.MetaData(),
    sa.Column("id", sa.Text()),
    sa.Column("settings", sa.JSON()),
    sa.Column("client_policy", sa.Text()),
    sa.Column("user_policy", sa.Text()),
)
CLIENT_POLICIES = ("require_client_grant", "deny_all")
USER_POLICIES = ("allow_all", "require_client_grant", "deny_all")
KEPT = "subject_type_authorization"  # what until now was shown and had no effect


def upgrade() -> None:
    with op.batch_alter_table("apis") as table:
        table.add_column(
            sa.Column("client_policy", sa.Text(), nullable=False, server_default=CLIENT_POLICIES[0])
        )
        table.add_column(sa.Column("user_policy", sa.Text(), nullable=False, server_default=USER_POLICIES[0]))
    with op.batch_alter_table("apis") as table:
        table.alter_column("client_policy", server_default=None)
        table.alter_column("user_policy", server_default=None)
    _take_over()
    with op.batch_alter_table("client_grants") as table:
        table.add_column(sa.Column("subject_type", sa.Text(), nullable=False, server_default="client"))
    with op.batch_alter_table("client_grants") as table:
        table.alter_column("subject_type", server_default=None)
        table.drop_constraint(op.f("uq_client_grants_client_id"), type_="unique")
        table.create_unique_constraint(
            op.f("uq_client_grants_client_id"), ["client_id", "api_id", "subject_type"]
        )


def _take_over() -> None:
    conn = op.get_bind()
    for row in conn.execute(sa.select(apis.c.id, apis.c.settings)).all():
        settings = dict(row.settings)
        written = settings.pop(KEPT, None)
        if written is None:
            continue
        changed = {"settings": settings}
        client, user = (_policy(written, kind) for kind in ("client", "user"))
        changed |= {"client_policy": client} if client in CLIENT_POLICIES else {}
        changed |= {"user_policy": user} if user in USER_POLICIES else {}
        conn.execute(sa.update(apis).where(apis.c.id == row.id).values(**changed))


def _policy(written: object, kind: str) -> object:
    part = written.get(kind) if isinstance(written, dict) else None
    return part.get("policy") if isinstance(part, dict) else None


def downgrade() -> None:
    op.execute("DELETE FROM client_grants WHERE subject_type <> 'client'")
    with op.batch_alter_table("client_grants") as table:
        table.drop_constraint(op.f("uq_client_grants_client_id"), type_="unique")
        table.create_unique_constraint(op.f("uq_client_grants_client_id"), ["client_id", "api_id"])
        table.drop_column("subject_type")
    conn = op.get_bind()
    for row in conn.execute(sa.select(apis)).all():
        written = {"client": {"policy": row.client_policy}, "user": {"policy": row.user_policy}}
        conn.execute(
            sa.update(apis).where(apis.c.id == row.id).values(settings={**row.settings, KEPT: written})
        )
    with op.batch_alter_table("apis") as table:
        table.drop_column("user_policy")
        table.drop_column("client_policy")
