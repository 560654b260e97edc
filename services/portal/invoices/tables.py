"""What the portal shows: copies of practices, accounts, invoices, lines, credits and postings, each kept by its owner's version."""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Date, Index, Integer, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from services.portal.metadata import metadata

practices = Table(
    "practices",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("zone", Text, nullable=False),
    Column("body", JSONB, nullable=False),
)

accounts = Table(
    "accounts",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("account_id", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("payer_ids", ARRAY(Text), nullable=False),
    Column("body", JSONB, nullable=False),
)

invoices = Table(
    "invoices",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("invoice_id", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("number", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("first_billed_on", Date, nullable=False),
    Column("due_on", Date, nullable=False),
    Column("original_cents", BigInteger, nullable=False),
    Column("paid_cents", BigInteger, nullable=False),
    Column("balance_cents", BigInteger, nullable=False),
    Column("held_cents", BigInteger, nullable=False),
    Column("payable_cents", BigInteger, nullable=False),
    Column("payment_ids", ARRAY(Text), nullable=False),
    Column("body", JSONB, nullable=False),
    CheckConstraint("status IN ('due', 'overdue', 'in_review', 'pending', 'closed')", name="status_known"),
    Index(None, "practice_id", "account_id", "first_billed_on", "invoice_id"),
    Index(None, "practice_id", "account_id", "number"),
    Index("ix_invoices_open", "practice_id", "account_id", postgresql_where="balance_cents > 0"),
)

lines = Table(
    "lines",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("line_id", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("invoice_id", Text, nullable=False),
    Column("claim_id", Text, nullable=False),
    Column("claim_version", BigInteger, nullable=False),
    Column("claim_revision", Integer, nullable=False),
    Column("payer_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("charged_cents", BigInteger, nullable=False),
    Column("balance_cents", BigInteger, nullable=False),
    Column("payment_ids", ARRAY(Text), nullable=False),
    Column("payment_pending", Boolean, nullable=False),
    Column("trace", Text),
    Column("body", JSONB, nullable=False),
    CheckConstraint("status IN ('due', 'overdue', 'in_review', 'closed', 'withdrawn')", name="status_known"),
    Index(None, "practice_id", "invoice_id", "claim_id", "line_id"),
    Index(None, "practice_id", "claim_id"),
)

credits = Table(
    "credits",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("holder", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("payer_id", Text, nullable=False),
    Column("credit_cents", BigInteger, nullable=False),
    Index(None, "practice_id", "payer_id"),
)

# How posting has an employer's card payment: claims that are posted may be disputed again.
postings = Table(
    "postings",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("payment_id", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("claim_ids", ARRAY(Text), nullable=False),
    Column("credited_cents", BigInteger, nullable=False),
)
