"""what a payment brought into a batch"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

READ = ("payments", "legs")


def upgrade() -> None:
    op.create_table(
        "batch_payments",
        sa.Column("practice_id", sa.Text(), nullable=False),
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("payment_id", sa.Text(), nullable=False),
        sa.Column("cents", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("practice_id", "batch_id", "payment_id", name=op.f("pk_batch_payments")),
        if_not_exists=True,
    )
    with op.get_context().autocommit_block():
        # The owner sees rows of all practices only where row-level security does not bind it too.
        for table in READ:
            op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        # The ledger kept what came into which batch. A payment of 0 has no legs.
        op.execute(
            "INSERT INTO batch_payments SELECT practice_id, batch_id, payment_id, sum(amount_cents) FROM legs"
            " WHERE account = 'cash' AND batch_id IS NOT NULL GROUP BY 1, 2, 3 ON CONFLICT DO NOTHING"
        )
        op.execute(
            "INSERT INTO batch_payments SELECT practice_id, batch_id, payment_id, 0 FROM payments p WHERE NOT EXISTS (SELECT 1 FROM legs l"
            " WHERE l.practice_id = p.practice_id AND l.payment_id = p.payment_id AND l.account = 'cash') ON CONFLICT DO NOTHING"
        )
        for table in READ:
            op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.drop_index("ix_payments_practice_id_batch_id", "payments", if_exists=True, postgresql_concurrently=True)


def downgrade() -> None:
    op.create_index("ix_payments_practice_id_batch_id", "payments", ["practice_id", "batch_id"], unique=False)
    op.drop_table("batch_payments")
