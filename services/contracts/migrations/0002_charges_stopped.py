"""charges that staff look at"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_charges_stopped",
        "charges",
        ["practice_id", "charge_id"],
        unique=False,
        postgresql_where=sa.text("status IN ('failed', 'paused') OR (status = 'due' AND reason IS NOT NULL)"),
    )


def downgrade() -> None:
    op.drop_index("ix_charges_stopped", table_name="charges")
