"""Posting's own tables. Money is never edited: entries and ledger legs can only be added; columns are their fold."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    Index,
    Integer,
    Table,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from services.posting.domain.batch import BatchState, DepositType, Route
from services.posting.domain.claim import Account, Kind
from shared.db import new_metadata

metadata = new_metadata()
APPEND_ONLY = ("entries", "legs")


def _one_of(column: str, values: "type[Kind] | type[Account] | type[BatchState] | type[Route] | type[DepositType]") -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(value.value) for value in values)})", name=f"{column}_known")


claims = Table(
    "claims",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("claim_id", Text, primary_key=True),
    Column("content", JSONB(none_as_null=True)),
    Column("void_version", BigInteger, nullable=False),
    Column("current_kind", Text),
    Column("current_payer_id", Text),
    Column("answered", JSONB, nullable=False),
    Column("adjudicated", Boolean, nullable=False),
    Column("adjudication_no", Integer, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("write_offs", ARRAY(Text), nullable=False),
    Column("entries_total", Integer, nullable=False),
    Column("patient_id", Text, index=True),
    Column("trace", Text),
)

columns = Table(
    "columns",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("claim_id", Text, primary_key=True),
    Column("charge_id", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("payer_id", Text, primary_key=True),
    Column("charged_cents", BigInteger, nullable=False),
    Column("paid_cents", BigInteger, nullable=False),
    Column("adjusted_cents", BigInteger, nullable=False),
    Column("transferred_in_cents", BigInteger, nullable=False),
    Column("transferred_out_cents", BigInteger, nullable=False),
    Column(
        "balance_cents",
        BigInteger,
        Computed("charged_cents - paid_cents - adjusted_cents + transferred_in_cents - transferred_out_cents", persisted=True),
    ),
    CheckConstraint("charged_cents - paid_cents - adjusted_cents + transferred_in_cents - transferred_out_cents >= 0", name="balance_not_below_0"),
    Index(None, "practice_id", "kind", "payer_id"),
)

entries = Table(
    "entries",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("entry_id", Text, primary_key=True),
    Column("claim_id", Text, nullable=False),
    Column("no", Integer, nullable=False),
    Column("charge_id", Text, nullable=False),
    Column("payer_kind", Text, nullable=False),
    Column("payer_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("amount_cents", BigInteger, nullable=False),
    Column("change_cents", BigInteger, nullable=False),
    Column("group_code", Text),
    Column("reason_code", Text),
    Column("cause_kind", Text, nullable=False),
    Column("cause_id", Text, nullable=False),
    Column("payment_id", Text),
    Column("batch_id", Text),
    Column("on", Date, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    _one_of("kind", Kind),
    Index(None, "practice_id", "claim_id", "no", unique=True),
    Index(None, "practice_id", "batch_id"),
)

# A ledger transaction is all legs of one id; a trigger refuses a statement whose transactions do not sum to zero.
legs = Table(
    "legs",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("transaction_id", Text, primary_key=True),
    Column("no", Integer, primary_key=True),
    Column("account", Text, nullable=False),
    Column("amount_cents", BigInteger, nullable=False),
    Column("claim_id", Text),
    Column("entry_id", Text),
    Column("payment_id", Text),
    Column("batch_id", Text),
    Column("on", Date, nullable=False),
    _one_of("account", Account),
    Index(None, "practice_id", "claim_id"),
)
# All legs of a transaction are written by one statement, so the check runs once per statement instead of once per row.
TRIGGERS = (
    """
CREATE OR REPLACE FUNCTION legs_sum_to_zero() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE wrong text;
BEGIN
  SELECT l.transaction_id INTO wrong FROM legs l WHERE (l.practice_id, l.transaction_id) IN (SELECT DISTINCT practice_id, transaction_id FROM added)
   GROUP BY l.practice_id, l.transaction_id HAVING sum(l.amount_cents) <> 0 LIMIT 1;
  IF wrong IS NOT NULL THEN RAISE EXCEPTION 'ledger transaction % does not sum to zero', wrong USING ERRCODE = '23514'; END IF;
  RETURN NULL;
END $$
""",
    "CREATE OR REPLACE TRIGGER legs_sum_to_zero AFTER INSERT ON legs REFERENCING NEW TABLE AS added "
    "FOR EACH STATEMENT EXECUTE FUNCTION legs_sum_to_zero()",
)

applied = Table(
    "applied",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("claim_id", Text, primary_key=True),
    Column("payment_id", Text, primary_key=True),
    Column("charge_id", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("payer_id", Text, primary_key=True),
    Column("cents", BigInteger, CheckConstraint("cents >= 0", name="not_below_0"), nullable=False),
    Column("no", Integer, nullable=False),
)

payments = Table(
    "payments",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("payment_id", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("payer_kind", Text, nullable=False),
    Column("payer_id", Text, nullable=False),
    Column("amount_cents", BigInteger, nullable=False),
    Column("parts", Integer, nullable=False),
    Column("parts_posted", ARRAY(Integer), nullable=False),
    Column("credited_cents", BigInteger, CheckConstraint("credited_cents >= 0", name="credit_not_below_0"), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("batch_id", Text, nullable=False),
    Column("posted_on", Date, nullable=False),
    Column("record_number", Text),
    Column("authorization_number", Text),
    Column("user_name", Text, nullable=False),
    Column("transaction_type", Text, nullable=False),
    Column("card_brand", Text),
    Column("card_last4", Text),
    CheckConstraint("source IN ('portal', 'contract', 'check')", name="source_known"),
    Index(None, "practice_id", "payer_kind", "payer_id"),
)

shares = Table(
    "shares",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("payment_id", Text, primary_key=True),
    Column("claim_id", Text, primary_key=True),
    Column("applied_cents", BigInteger, nullable=False),
    Column("waiting_cents", BigInteger, CheckConstraint("waiting_cents >= 0", name="waiting_not_below_0"), nullable=False),
    Column("seen_version", BigInteger, nullable=False),
    Column("seen_revision", Integer, nullable=False),
    Column("balances_version", BigInteger, nullable=False),
    Column("payer_id", Text),
    Column("given_cents", BigInteger),
    Index(None, "practice_id", "claim_id"),
    # The few that are credit of another than their payment's own payer.
    Index("ix_shares_credit_of_others", "practice_id", postgresql_where="payer_id IS NOT NULL AND given_cents > applied_cents + waiting_cents"),
)

credits = Table(
    "credits",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("holder", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("credit_cents", BigInteger, nullable=False),
)

deposits = Table(
    "deposits",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("deposit_id", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("deposit_date", Date, nullable=False),
    Column("bank_account_id", Text),
    Column("amount_cents", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("by_site", Boolean, nullable=False),
    Column("notes", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    _one_of("state", BatchState),
    _one_of("type", DepositType),
    CheckConstraint("amount_cents = 0 OR bank_account_id IS NOT NULL", name="unknown_account_only_at_0"),
    Index(None, "practice_id", "number", unique=True),
)

payment_batches = Table(
    "payment_batches",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("batch_id", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("deposit_id", Text, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("target_cents", BigInteger, nullable=False),
    Column("posted_cents", BigInteger, nullable=False),
    Column("route", Text, nullable=False),
    Column("paper", Boolean, nullable=False),
    Column("check_number", Text),
    Column("notes", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("opened_by", Text, nullable=False),
    Column("source", Text),
    Column("local_day", Date),
    Column("closed_at", DateTime(timezone=True)),
    _one_of("state", BatchState),
    _one_of("route", Route),
    CheckConstraint("state = 'open' OR posted_cents = target_cents", name="closed_only_at_0"),
    Index(None, "practice_id", "number", unique=True),
    Index(None, "practice_id", "deposit_id"),
    # One open e-payment batch per practice, source and local day of capture (RP-20).
    Index("uq_payment_batches_open_day", "practice_id", "source", "local_day", unique=True, postgresql_where="state = 'open' AND route = 'epayment'"),
)

# What a payment brought into a batch. One whose parts come before and after a day's close is in two.
batch_payments = Table(
    "batch_payments",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("batch_id", Text, primary_key=True),
    Column("payment_id", Text, primary_key=True),
    Column("cents", BigInteger, nullable=False),
)

numbers = Table(
    "numbers",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("last", BigInteger, nullable=False),
)

practices = Table(
    "practices",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("zone", Text, nullable=False),
    Column("portal_bank_account_id", Text, nullable=False),
    Column("bank_accounts", JSONB, nullable=False),
)

patients = Table(
    "patients",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("patient_id", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("given_name", Text, nullable=False),
    Column("family_name", Text, nullable=False),
    Column("birth_date", Date, nullable=False),
)
