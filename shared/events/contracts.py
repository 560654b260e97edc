"""What contracts says: payment contracts, their notices and charges."""

from dataclasses import dataclass
from datetime import date
from typing import Literal

from shared.events import Topic
from shared.events.types import Card, Instant

ContractKind = Literal["oneyear", "singleappointment"]
ContractStatus = Literal["awaiting_signature", "active", "cancelled", "used_up", "expired"]
ContractCopy = Literal["agreement", "receipt"]
NOTICE_DAYS = 5  # from the notice that was sent to its charge (CF-05)
ChargeStatus = Literal["scheduled", "noticed", "due", "submitted", "unknown", "charged", "failed", "withdrawn", "paused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractCharge:
    """One charge of a contract as it stands; a notice goes out only while its `notice_no` is still scheduled."""

    charge_id: str
    notice_no: int
    status: ChargeStatus
    noticed_cents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractState:
    """A payment contract (CF-01); `sealed` holds `{"to", "name"}` for notifier; charges: those not yet ended, and the newest that ended."""

    practice_id: str
    contract_id: str
    version: int
    kind: ContractKind
    status: ContractStatus
    patient_id: str
    sealed: str
    signed_on: date | None
    expires_on: date
    limit_cents: int
    used_cents: int
    left_cents: int
    card: Card
    charges: list[ContractCharge]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticedClaim:
    """A claim inside a notice: the adjudication it answers and the amount named."""

    claim_id: str
    adjudication_no: int
    noticed_cents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeScheduled:
    """A charge is planned: the patient gets a notice (CF-05)."""

    practice_id: str
    contract_id: str
    contract_version: int
    charge_id: str
    notice_no: int
    noticed_cents: int
    scheduled_on: date
    claims: list[NoticedClaim]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeDue:
    """Five practice-local days after its notice was sent, a charge is due; the topic only wakes, the row decides."""

    practice_id: str
    contract_id: str
    contract_version: int
    charge_id: str
    notice_no: int
    notice_sent_on: date
    due_on: date
    noticed_cents: int
    claims: list[NoticedClaim]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargedClaim:
    """A claim that a charge paid."""

    claim_id: str
    claim_version: int
    claim_revision: int
    amount_cents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractCharged:
    """Money was taken from the card on file; `payment_id` is the attempt's id, by which posting names it."""

    practice_id: str
    contract_id: str
    contract_version: int
    charge_id: str
    notice_no: int
    payment_id: str
    patient_id: str
    amount_cents: int
    captured_at: Instant
    local_date: date
    record_number: str
    authorization_number: str
    processor: str
    processor_ref: str
    card: Card
    user_name: str
    transaction_type: str
    claims: list[ChargedClaim]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeFailed:
    """A charge was declined: softly, to be tried again, or for good (CF-08)."""

    practice_id: str
    contract_id: str
    contract_version: int
    charge_id: str
    notice_no: int
    payment_id: str
    amount_cents: int
    failed_at: Instant
    kind: Literal["soft", "hard"]
    retry_on: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyRequested:
    """The practice mails a customer's copy of an agreement or a receipt (CF-02, CF-04); `sealed` holds `{"to", "name"}` for notifier.

    `terms` are paragraphs, as they were shown for signing; card, limit, dates and status stand in `contract.state`.
    """

    practice_id: str
    contract_id: str
    contract_version: int
    request_id: str
    copy: ContractCopy
    epayment_id: int
    terms: list[str]
    sealed: str
    requested_at: Instant


CONTRACT_STATE = Topic("contract.state", ContractState, "contract_id", "contracts", versioned=True, restricted=True)
CHARGE_SCHEDULED = Topic("contract.charge_scheduled", ChargeScheduled, "contract_id", "contracts")
CHARGE_DUE = Topic("contract.charge_due", ChargeDue, "contract_id", "contracts")
CONTRACT_CHARGED = Topic("contract.charged", ContractCharged, "contract_id", "contracts")
CHARGE_FAILED = Topic("contract.charge_failed", ChargeFailed, "contract_id", "contracts")
COPY_REQUESTED = Topic("contract.copy_requested", CopyRequested, "contract_id", "contracts")
