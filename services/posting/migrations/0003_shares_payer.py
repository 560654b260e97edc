"""whose money a payment's share is"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Null is the payment's own payer: the release before writes none.
    op.add_column("shares", sa.Column("payer_id", sa.Text(), nullable=True), if_not_exists=True)
    op.add_column("shares", sa.Column("given_cents", sa.BigInteger(), nullable=True), if_not_exists=True)
    with op.get_context().autocommit_block():
        op.drop_index("ix_shares_credit_of_others", "shares", if_exists=True, postgresql_concurrently=True)  # half built, where interrupted
        op.create_index(
            "ix_shares_credit_of_others",
            "shares",
            ["practice_id"],
            postgresql_where=sa.text("payer_id IS NOT NULL AND given_cents > applied_cents + waiting_cents"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    op.drop_index("ix_shares_credit_of_others", table_name="shares")
    op.drop_column("shares", "given_cents")
    op.drop_column("shares", "payer_id")
