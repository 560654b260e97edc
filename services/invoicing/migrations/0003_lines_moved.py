"""a line says whether its claim was on another invoice before"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("invoice_line", sa.Column("moved", sa.Boolean(), server_default=sa.false(), nullable=False), if_not_exists=True)
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE invoice_line NO FORCE ROW LEVEL SECURITY")  # under it the owner sees no row, and changes none
        op.execute(
            "UPDATE invoice_line l SET moved = true WHERE EXISTS (SELECT 1 FROM invoice_line other"
            " WHERE other.practice_id = l.practice_id AND other.claim_id = l.claim_id AND other.line_id <> l.line_id)"
        )
        op.execute("ALTER TABLE invoice_line FORCE ROW LEVEL SECURITY")
        op.drop_index("ix_invoice_line_moved", "invoice_line", if_exists=True, postgresql_concurrently=True)  # half built, where interrupted
        op.create_index(
            "ix_invoice_line_moved",
            "invoice_line",
            ["practice_id", "invoice_id"],
            postgresql_where=sa.text("moved"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    op.drop_index("ix_invoice_line_moved", table_name="invoice_line")
    op.drop_column("invoice_line", "moved")
