"""Invoicing's tables. Every one belongs to a practice; status words are checked against the shapes of the events."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from services.invoicing.claim_tables import charge, claim, claim_mark, claim_note, dispute, hold, write_off
from services.invoicing.columns import cents, key, metadata, one_of, words
from shared.events.invoicing import Frequency, IssueKind
from shared.events.types import InvoiceStatus, LineStatus

__all__ = ["charge", "claim", "claim_mark", "claim_note", "dispute", "hold", "metadata", "write_off"]
APPEND_ONLY = ("claim_note", "write_off", "payment_claim")
MEBIBYTE = 1024 * 1024

practice = Table(
    "practice",
    metadata,
    words("practice_id"),
    Column("version", BigInteger, nullable=False),
    Column("zone", Text, nullable=False),
    Column("state", JSONB, nullable=False),  # the body of practice.state
    Column("colour", Text, nullable=False),  # as the practice chose it; the brand is computed from it
    Column("next_number", BigInteger, nullable=False),
    Column("ran_on", Date),  # the last local date whose daily run is complete
    key(),
)
document = Table(
    "document",
    metadata,
    words("practice_id"),
    words("document_id"),
    words("name"),
    words("media_type"),
    Column("bytes", LargeBinary, nullable=False),
    words("sha256"),
    Column("made_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    key("document_id"),
    CheckConstraint(f"octet_length(bytes) BETWEEN 1 AND {10 * MEBIBYTE}", name="size"),
)
logo = Table(
    "logo",
    metadata,
    words("practice_id"),
    words("document_id"),
    words("alt"),
    key("document_id"),
    ForeignKeyConstraint(["practice_id", "document_id"], ["document.practice_id", "document.document_id"]),
)
account = Table(
    "account",
    metadata,
    words("practice_id"),
    words("account_id"),
    Column("version", BigInteger, nullable=False),
    words("name"),
    Column("address", JSONB, nullable=False),
    words("phone"),
    Column("net_days", Integer, nullable=False),
    Column("reissue_restarts_terms", Boolean, nullable=False, server_default=text("false")),
    Column("po_number", Text),
    words("frequency"),
    Column("weekday", Integer),
    Column("month_day", Integer),
    Column("next_run_on", Date),
    Column("effective_on", Date),
    Column("expires_on", Date),
    Column("show_adjustments", Boolean, nullable=False),
    Column("overdue_again_days", Integer, nullable=False),
    Column("cover_sheet", Boolean, nullable=False),
    Column("mask", JSONB, nullable=False),
    key("account_id"),
    one_of("frequency", Frequency),
    CheckConstraint("net_days BETWEEN 0 AND 365", name="net_days"),
    CheckConstraint("weekday BETWEEN 0 AND 6", name="weekday"),
    CheckConstraint("month_day BETWEEN 1 AND 28", name="month_day"),
    CheckConstraint("overdue_again_days BETWEEN 60 AND 200", name="overdue_again_days"),
    CheckConstraint("effective_on <= expires_on", name="dates"),
    Index(None, "practice_id", "name", "account_id"),
)
account_payer = Table(  # a payer id belongs to one account
    "account_payer",
    metadata,
    words("practice_id"),
    words("payer_id"),
    words("account_id"),
    key("payer_id"),
    ForeignKeyConstraint(["practice_id", "account_id"], ["account.practice_id", "account.account_id"]),
    Index(None, "practice_id", "account_id"),
)
invoice = Table(
    "invoice",
    metadata,
    words("practice_id"),
    words("invoice_id"),
    Column("number", BigInteger, nullable=False),
    words("account_id"),
    words("status"),
    Column("first_billed_on", Date, nullable=False),
    Column("last_billed_on", Date, nullable=False),
    Column("due_on", Date, nullable=False),
    Column("overdue_on", Date),  # when its recipients were told first, and last
    Column("overdue_told_on", Date),
    Column("closing_no", Integer, nullable=False),
    cents("original_cents"),
    cents("balance_cents"),
    Column("state", JSONB),  # the body of invoice.state, as last published
    Column("trace", Text),
    key("invoice_id"),
    UniqueConstraint("practice_id", "number"),
    ForeignKeyConstraint(["practice_id", "account_id"], ["account.practice_id", "account.account_id"]),
    one_of("status", InvoiceStatus),
    CheckConstraint("balance_cents >= 0", name="balance_cents"),
    CheckConstraint("original_cents > 0", name="original_cents"),
    Index(None, "practice_id", "account_id", "number"),
    Index("ix_invoice_open", "practice_id", "due_on", postgresql_where=text("status <> 'closed'")),
)
invoice_line = Table(
    "invoice_line",
    metadata,
    words("practice_id"),
    words("line_id"),
    words("invoice_id"),
    words("claim_id"),
    words("payer_id"),
    Column("moved", Boolean, nullable=False, server_default=text("false")),  # the claim was on another invoice before
    Column("withdrawn", Boolean, nullable=False),
    Column("held", Boolean, nullable=False),
    words("status"),
    Column("dispute_id", Text),
    cents("charged_cents"),
    cents("paid_cents"),
    cents("adjusted_cents"),
    cents("transferred_in_cents"),
    cents("transferred_out_cents"),
    cents("balance_cents"),
    Column("state", JSONB),  # the body of invoice.line.state, as last published
    key("line_id"),
    ForeignKeyConstraint(["practice_id", "invoice_id"], ["invoice.practice_id", "invoice.invoice_id"]),
    one_of("status", LineStatus),
    CheckConstraint(
        "balance_cents >= 0 AND balance_cents = charged_cents - paid_cents - adjusted_cents + transferred_in_cents - transferred_out_cents",
        name="balance_cents",
    ),
    CheckConstraint("withdrawn = (status = 'withdrawn')", name="withdrawn"),
    Index("uq_invoice_line_live", "practice_id", "claim_id", unique=True, postgresql_where=text("NOT withdrawn")),
    Index(None, "practice_id", "claim_id"),
    Index(None, "practice_id", "invoice_id", "claim_id"),
    Index("ix_invoice_line_moved", "practice_id", "invoice_id", postgresql_where=text("moved")),
)
issue = Table(
    "issue",
    metadata,
    words("practice_id"),
    words("invoice_id"),
    Column("no", Integer, nullable=False),
    words("kind"),
    Column("on", Date, nullable=False),
    cents("total_cents"),
    Column("frozen", JSONB, nullable=False),  # what the paper shows, exactly as it was sent
    Column("document_id", Text),
    key("invoice_id", "no"),
    ForeignKeyConstraint(["practice_id", "invoice_id"], ["invoice.practice_id", "invoice.invoice_id"]),
    one_of("kind", IssueKind),
    Index("ix_issue_unprinted", "practice_id", "invoice_id", "no", postgresql_where=text("document_id IS NULL")),
)
billing_run = Table(
    "billing_run",
    metadata,
    words("practice_id"),
    words("run_id"),
    Column("local_date", Date, nullable=False),
    words("kind"),
    words("who"),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("invoices", Integer, nullable=False),
    Column("claims", Integer, nullable=False),
    cents("total_cents"),
    key("run_id"),
    CheckConstraint("kind IN ('daily', 'now')", name="kind"),
    Index("uq_billing_run_daily", "practice_id", "local_date", unique=True, postgresql_where=text("kind = 'daily'")),
)
balance = Table(  # copy of claim.balances.state
    "balance",
    metadata,
    words("practice_id"),
    words("claim_id"),
    Column("version", BigInteger, nullable=False),
    Column("state", JSONB, nullable=False),
    key("claim_id"),
)
payment = Table(  # captured card payments, by part
    "payment",
    metadata,
    words("practice_id"),
    words("payment_id"),
    Column("part", Integer, nullable=False),
    Column("parts", Integer, nullable=False),
    Column("local_date", Date, nullable=False),
    words("account_id"),
    cents("amount_cents"),
    key("payment_id", "part"),
)
payment_claim = Table(
    "payment_claim",
    metadata,
    words("practice_id"),
    words("payment_id"),
    words("claim_id"),
    words("invoice_id"),
    cents("asked_cents"),
    key("payment_id", "claim_id"),
    Index(None, "practice_id", "claim_id"),
    Index(None, "practice_id", "invoice_id"),
)
payment_posting = Table(  # copy of payment.state
    "payment_posting",
    metadata,
    words("practice_id"),
    words("payment_id"),
    Column("version", BigInteger, nullable=False),
    Column("state", JSONB, nullable=False),
    key("payment_id"),
)
payment_posting_claim = Table(  # its claims as rows: by which balances version the payment is in
    "payment_posting_claim",
    metadata,
    words("practice_id"),
    words("payment_id"),
    words("claim_id"),
    cents("applied_cents"),
    Column("balances_version", BigInteger, nullable=False),
    key("payment_id", "claim_id"),
    Index(None, "practice_id", "claim_id"),
)
contact = Table(  # copy of contact.state: who disputed
    "contact",
    metadata,
    words("practice_id"),
    words("contact_id"),
    Column("version", BigInteger, nullable=False),
    words("name"),
    key("contact_id"),
)
