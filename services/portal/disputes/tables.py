"""Disputes that employers sent, the marks they leave until invoicing names them, and copies of the cases."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Date, DateTime, Index, Table, Text

from services.portal.metadata import metadata

REASONS = ("EM", "DN", "WA", "CH", "AP", "XX")

disputes = Table(
    "disputes",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("dispute_id", Text, primary_key=True),
    Column("claim_id", Text, nullable=False),
    Column("line_id", Text, nullable=False),
    Column("invoice_id", Text, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("contact_id", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("note", Text),
    Column("disputed_cents", BigInteger, nullable=False),
    Column("submitted_at", DateTime(timezone=True), nullable=False),
    CheckConstraint(f"reason IN {REASONS}", name="reason_known"),
    CheckConstraint("length(note) <= 500", name="note_short"),
)

# One per claim: a second dispute of a claim waits until the first is named by its owner and over (EP-16).
dispute_marks = Table(
    "dispute_marks",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("claim_id", Text, primary_key=True),
    Column("dispute_id", Text, nullable=False),
    Column("line_id", Text, nullable=False),
    Column("invoice_id", Text, nullable=False),
    Index(None, "practice_id", "dispute_id"),
)

cases = Table(
    "cases",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("dispute_id", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("claim_id", Text, nullable=False),
    Column("line_id", Text, nullable=False),
    Column("line_version", BigInteger, nullable=False),
    Column("invoice_id", Text, nullable=False),
    Column("invoice_version", BigInteger, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("disputed_cents", BigInteger, nullable=False),
    Column("act_by", Date, nullable=False),
    Index(None, "practice_id", "claim_id"),
    Index("ix_cases_open", "practice_id", "account_id", postgresql_where="status = 'open'"),
)
