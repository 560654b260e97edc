"""traces of lines"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("lines", sa.Column("trace", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("lines", "trace")
