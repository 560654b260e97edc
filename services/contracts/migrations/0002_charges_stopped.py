"""charges that staff look at"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index("ix_charges_stopped", "charges", if_exists=True, postgresql_concurrently=True)  # half built, where this was interrupted
        op.create_index(
            "ix_charges_stopped",
            "charges",
            ["practice_id", "charge_id"],
            postgresql_where=sa.text("status IN ('failed', 'paused') OR (status = 'due' AND reason IS NOT NULL)"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    op.drop_index("ix_charges_stopped", table_name="charges")
