"""how often a charge was declined; charges whose money became credit"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("charges", sa.Column("declines", sa.Integer(), server_default="0", nullable=False))
    with op.get_context().autocommit_block():
        op.drop_index("ix_payment_states_credited", "payment_states", if_exists=True, postgresql_concurrently=True)  # half built, where interrupted
        op.create_index(
            "ix_payment_states_credited",
            "payment_states",
            ["practice_id", "payment_id"],
            postgresql_where=sa.text("credited_cents > 0"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    op.drop_index("ix_payment_states_credited", table_name="payment_states")
    op.drop_column("charges", "declines")
