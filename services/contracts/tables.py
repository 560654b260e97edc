"""The contracts' tables: copies of what others say, contracts, charges and their attempts, documents."""

from enum import StrEnum

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Date, DateTime, Index, Integer, LargeBinary, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from services.contracts.domain.charge import BEFORE_THE_CALL, UNDER_WAY, ChargeStatus
from services.contracts.domain.contract import MAX_CENTS, Kind, Status
from shared.db import new_metadata

metadata = new_metadata()


def _one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(value.value) for value in values)})", name=f"{column}_known")


def _copy(name: str, key: str, *columns: Column[object] | Index) -> Table:
    keys = [Column("practice_id", Text, primary_key=True)] + ([Column(key, Text, primary_key=True)] if key != "practice_id" else [])
    return Table(name, metadata, *keys, Column("version", BigInteger, nullable=False), *columns)


practices = _copy("practices", "practice_id", Column("body", JSONB, nullable=False))
departments = _copy("departments", "department_id", Column("body", JSONB, nullable=False))
patients = _copy("patients", "patient_id", Column("body", JSONB, nullable=False))
appointments = _copy("appointments", "appointment_id", Column("patient_id", Text, nullable=False), Column("department_id", Text, nullable=False))
balances = _copy(
    "balances",
    "claim_id",
    Column("patient_id", Text, nullable=False),
    Column("service_date", Date, nullable=False),
    Column("provider_group_id", Text),
    Column("claim_version", BigInteger, nullable=False),
    Column("claim_revision", Integer, nullable=False),
    Column("voided", Boolean, nullable=False),
    Column("adjudicated", Boolean, nullable=False),
    Column("adjudication_no", Integer, nullable=False),
    Column("patient_balance_cents", BigInteger, nullable=False),
    Index(None, "practice_id", "patient_id"),
)
payment_states = _copy(
    "payment_states",
    "payment_id",
    Column("credited_cents", BigInteger, nullable=False),
    Column("claims", JSONB, nullable=False),
    # Money that staff look at: a reversal after the charge made it the patient's credit.
    Index("ix_payment_states_credited", "practice_id", "payment_id", postgresql_where="credited_cents > 0"),
)

contracts = Table(
    "contracts",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("contract_id", BigInteger, primary_key=True),
    Column("epayment_id", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("patient_id", Text, nullable=False),
    Column("patient_name", Text, nullable=False),
    Column("department_id", Text, nullable=False),
    Column("provider_group_id", Text),
    Column("merchant_location_id", Text, nullable=False),
    Column("appointment_id", Text),
    Column("email", Text, nullable=False),
    Column("sealed", Text, nullable=False),
    Column("card_token", Text, nullable=False),
    Column("card_brand", Text, nullable=False),
    Column("card_last4", Text, nullable=False),
    Column("card_expires", Text, nullable=False),
    Column("limit_cents", BigInteger, CheckConstraint(f"limit_cents > 0 AND limit_cents <= {MAX_CENTS}", name="limit_in_bounds"), nullable=False),
    Column("contract_date", Date, nullable=False),
    Column("expires_on", Date, nullable=False),
    Column("signed_on", Date),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("created_by", Text, nullable=False),
    Column("excluded_claims", ARRAY(Text), nullable=False),
    Column("ended_reason", Text),
    _one_of("kind", Kind),
    _one_of("status", Status),
    CheckConstraint("status <> 'active' OR signed_on IS NOT NULL", name="active_only_when_signed"),
    Index(None, "practice_id", "epayment_id", unique=True),
    # One live one-year contract per patient and provider group (CF-03).
    Index(
        "uq_contracts_one_live_year",
        "practice_id",
        "patient_id",
        "provider_group_id",
        unique=True,
        postgresql_where="kind = 'oneyear' AND status IN ('awaiting_signature', 'active')",
        postgresql_nulls_not_distinct=True,
    ),
)


def _listed(statuses: frozenset[ChargeStatus]) -> str:
    return "(" + ", ".join(repr(status.value) for status in sorted(statuses)) + ")"


charges = Table(
    "charges",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("charge_id", Text, primary_key=True),
    Column("contract_id", BigInteger, nullable=False),
    Column("claim_id", Text, nullable=False),
    Column("adjudication_no", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("notice_no", Integer, nullable=False),
    Column("noticed_cents", BigInteger, nullable=False),
    Column("notice_sent_on", Date),
    Column("due_on", Date),
    Column("tries", Integer, nullable=False),
    Column("declines", Integer, nullable=False, server_default="0"),  # those of the tries that the card's bank answered with a no
    Column("attempt_id", Text),
    Column("submitted_cents", BigInteger, nullable=False),
    Column("ask_at", DateTime(timezone=True)),
    Column("asked", Integer, nullable=False),
    Column("record_number", Text),
    Column("reason", Text),
    Column("trace", Text),
    Column("made_at", DateTime(timezone=True), nullable=False),
    _one_of("status", ChargeStatus),
    CheckConstraint("submitted_cents <= noticed_cents", name="never_above_the_notice"),
    Index(None, "practice_id", "contract_id"),
    # One charge of a claim at a time.
    Index(
        "uq_charges_open",
        "practice_id",
        "claim_id",
        unique=True,
        postgresql_where=f"status IN {_listed(BEFORE_THE_CALL | UNDER_WAY)}",
    ),
    Index("ix_charges_under_way", "ask_at", postgresql_where=f"status IN {_listed(UNDER_WAY)}"),
    # What staff look at: ended without money, paused, or declined and waiting for the next try.
    Index(
        "ix_charges_stopped",
        "practice_id",
        "charge_id",
        postgresql_where="status IN ('failed', 'paused') OR (status = 'due' AND reason IS NOT NULL)",
    ),
)

documents = Table(
    "documents",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("epayment_id", BigInteger, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("sha256", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("bytes", LargeBinary, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("by", Text, nullable=False),
    CheckConstraint("octet_length(bytes) <= 10485760", name="at_most_10_mb"),
)

numbers = Table(
    "numbers",
    metadata,
    Column("practice_id", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("last", BigInteger, nullable=False),
)
