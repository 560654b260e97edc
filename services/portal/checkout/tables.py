"""Carts, attempts to pay, payments, and the marks that keep a claim from being paid twice."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Date, DateTime, Index, Integer, Table, Text, UniqueConstraint, func
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from services.portal.checkout.states import Attempt
from services.portal.metadata import metadata

carts = Table(
    "carts",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("person_id", Text, primary_key=True),
    Column("account_id", Text, primary_key=True),
    Column("invoice_id", Text, primary_key=True),
    Column("seen_cents", BigInteger, nullable=False),
    Column("added_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# Times named `_at` without more are of the system clock, but for those of business: captured_at and submitted_business_at.
attempts = Table(
    "attempts",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("attempt_id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("contact_id", Text, nullable=False),
    Column("person_id", Text, nullable=False),
    Column("payer_name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("words", Text),
    Column("amount_cents", BigInteger, CheckConstraint("amount_cents > 0", name="above_0"), nullable=False),
    Column("card_brand", Text),
    Column("card_last4", Text),
    Column("authorization_number", Text),
    Column("processor_ref", Text),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("submitted_at", DateTime(timezone=True)),
    Column("submitted_business_at", DateTime(timezone=True)),
    Column("next_ask_at", DateTime(timezone=True)),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("trace", Text),
    CheckConstraint(f"state IN ({', '.join(repr(state.value) for state in Attempt)})", name="state_known"),
    CheckConstraint("state NOT IN ('submitted', 'unknown', 'releasing') OR next_ask_at IS NOT NULL", name="asked_again"),
    Index("ix_attempts_due", "next_ask_at", postgresql_where="next_ask_at IS NOT NULL"),
    Index(None, "practice_id", "account_id", "state"),
)

attempt_invoices = Table(
    "attempt_invoices",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("attempt_id", Text, primary_key=True),
    Column("invoice_id", Text, primary_key=True),
    Column("number", Text, nullable=False),
    Column("due_on", Date, nullable=False),
    Column("state_version", BigInteger, nullable=False),
    Column("amount_cents", BigInteger, nullable=False),
    Column("withheld_cents", BigInteger, nullable=False),
    Column("withheld_claims", ARRAY(Text), nullable=False, server_default="{}"),
)

attempt_claims = Table(
    "attempt_claims",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("attempt_id", Text, primary_key=True),
    Column("claim_id", Text, primary_key=True),
    Column("invoice_id", Text, nullable=False),
    Column("line_id", Text, nullable=False),
    Column("claim_version", BigInteger, nullable=False),
    Column("claim_revision", Integer, nullable=False),
    Column("payer_id", Text, nullable=False),
    Column("amount_cents", BigInteger, CheckConstraint("amount_cents > 0", name="above_0"), nullable=False),
    Index(None, "practice_id", "claim_id"),
)

# One live attempt per invoice and per claim: the second of two people is told so before any charge (EP-14).
live_invoices = Table(
    "live_invoices",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("invoice_id", Text, primary_key=True),
    Column("attempt_id", Text, nullable=False),
    Index(None, "practice_id", "attempt_id"),
)
live_claims = Table(
    "live_claims",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("claim_id", Text, primary_key=True),
    Column("attempt_id", Text, nullable=False),
    Index(None, "practice_id", "attempt_id"),
)

payments = Table(
    "payments",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("payment_id", Text, primary_key=True),
    Column("record_no", BigInteger, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("payer_name", Text, nullable=False),
    Column("amount_cents", BigInteger, nullable=False),
    Column("captured_at", DateTime(timezone=True), nullable=False),
    Column("local_date", Date, nullable=False),
    Column("card_brand", Text, nullable=False),
    Column("card_last4", Text, nullable=False),
    Column("authorization_number", Text, nullable=False),
    Column("practice", JSONB, nullable=False),
    Column("account_name", Text, nullable=False),
    UniqueConstraint("practice_id", "record_no"),
    Index(None, "practice_id", "account_id", "record_no"),
)

record_numbers = Table(
    "record_numbers",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("last", BigInteger, nullable=False),
)

# A captured payment that the invoice and the line do not both name yet. It belongs to the claim, on whatever line that is.
payment_marks = Table(
    "payment_marks",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("payment_id", Text, primary_key=True),
    Column("claim_id", Text, primary_key=True),
    Column("line_id", Text, nullable=False),
    Column("invoice_id", Text, nullable=False),
    Index(None, "practice_id", "claim_id"),
    Index(None, "practice_id", "invoice_id"),
)
