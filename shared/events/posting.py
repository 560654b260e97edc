"""What posting says: claim balances, adjudication, how card payments stand, credits."""

from dataclasses import dataclass
from datetime import date
from typing import Literal

from shared.events import Topic
from shared.events.types import PayerKind

EntryKind = Literal["charge", "payment", "adjustment", "transfer", "void"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceLine:
    """One charge in one payer's column; `balance = charged - paid - adjusted + transferred_in - transferred_out`, never below 0."""

    charge_id: str
    kind: PayerKind
    payer_id: str
    charged_cents: int
    paid_cents: int
    adjusted_cents: int
    transferred_in_cents: int
    transferred_out_cents: int
    balance_cents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What made an entry: `claim`, `payment`, `check`, `write_off`, `payer_change`, `correction`, `credit`; `id` is that record's."""

    kind: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One posted movement on a charge and what caused it.

    A payment or adjustment of a positive amount lowers the balance; charge, transfer and void carry the signed change itself.
    """

    entry_id: str
    on: date
    kind: EntryKind
    charge_id: str
    payer_id: str
    amount_cents: int
    group: str | None
    code: str | None
    cause: Cause
    voids: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimBalances:
    """The one truth about a claim's money. `write_offs` names every write-off taken in, also when nothing of it was open."""

    practice_id: str
    claim_id: str
    version: int
    claim_version: int
    claim_revision: int
    voided: bool
    patient_id: str
    appointment_id: str | None
    service_date: date
    department_id: str
    provider_group_id: str | None
    adjudicated: bool
    adjudication_no: int
    patient_balance_cents: int
    lines: list[BalanceLine]
    write_offs: list[str]
    entries_total: int
    entries: list[Entry]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimAdjudicated:
    """Every payer before the patient has answered; the rest is the patient's."""

    practice_id: str
    claim_id: str
    adjudication_no: int
    balances_version: int
    claim_version: int
    claim_revision: int
    patient_id: str
    appointment_id: str | None
    service_date: date
    department_id: str
    provider_group_id: str | None
    patient_balance_cents: int
    adjudicated_on: date
    remittance_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PayerAdvanced:
    """A payer's part is done: the open balance moved to the next payer (RP-26)."""

    practice_id: str
    claim_id: str
    balances_version: int
    from_kind: PayerKind
    from_payer_id: str
    to_kind: PayerKind
    to_payer_id: str
    amount_cents: int
    advanced_on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentClaim:
    """What of a payment is applied to a claim, and the balances version that contains its newest change."""

    claim_id: str
    applied_cents: int
    balances_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentState:
    """How a card payment stands. `waiting_cents` is captured money whose claim content has not arrived yet."""

    practice_id: str
    payment_id: str
    version: int
    source: Literal["portal", "contract"]
    parts_posted: int
    parts: int
    amount_cents: int
    applied_cents: int
    credited_cents: int
    waiting_cents: int
    refunded_cents: int
    batch_id: str
    posted_on: date
    claims: list[PaymentClaim]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditState:
    """Money beyond what was owed, held for a payer or patient; `holder` is `kind:payer_id`."""

    practice_id: str
    holder: str
    version: int
    kind: PayerKind
    payer_id: str
    credit_cents: int


CLAIM_BALANCES = Topic("claim.balances.state", ClaimBalances, "claim_id", "posting", versioned=True, restricted=True)
CLAIM_ADJUDICATED = Topic("claim.adjudicated", ClaimAdjudicated, "claim_id", "posting")
PAYER_ADVANCED = Topic("claim.payer_advanced", PayerAdvanced, "claim_id", "posting")
PAYMENT_STATE = Topic("payment.state", PaymentState, "payment_id", "posting", versioned=True, restricted=True)
CREDIT_STATE = Topic("credit.state", CreditState, "holder", "posting", versioned=True, restricted=True)
