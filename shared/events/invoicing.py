"""What invoicing says: practices, accounts, what is asked (invoices and their lines), holds and disputes."""

from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Literal

from msgspec import Meta

from shared.events import Topic
from shared.events.ingress import ClaimBilled
from shared.events.practices import BankAccount, Brand, MerchantLocation
from shared.events.types import Address, DisputeReason, HoldSource, Instant, InvoiceStatus, LineStatus, PracticeId, Units, whole

Frequency = Literal["daily", "weekly", "monthly"]
IssueKind = Literal["new", "reissued", "overdue_again"]
PaymentStanding = Literal["pending", "posted", "refunded"]
RedropOutcome = Literal["corrected", "written_off", "answered", "released"]
DisputeOutcome = Literal["corrected", "written_off", "answered", "released", "not_applicable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PracticeState:
    """The practice as everybody shows it (PF-10). `digest_at` is a local `HH:MM`, or `now` for a demo."""

    practice_id: PracticeId
    version: int
    zone: str
    holidays: list[date]
    legal_name: str
    display_name: str
    brand: Brand
    postal_address: Address
    remit_to_name: str
    remit_to_address: Address
    phone: str
    hours: str
    portal_address: str
    npis: list[str]
    tax_ids: list[str]
    bank_accounts: list[BankAccount]
    portal_bank_account_id: str
    merchant_locations: list[MerchantLocation]
    contracts_on: bool
    digest_at: Annotated[str, Meta(pattern=whole(r"^(now|[0-2]\d:[0-5]\d)$"))]
    staff_addresses: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """What an account may see of a patient beyond name, date, procedures and amounts (BX-05)."""

    birth_date: bool = False
    diagnosis: bool = False
    employee_id: bool = False
    hide_procedures: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    """A corporate account: the employer that pays for claims of these payer ids (EP-01)."""

    practice_id: str
    account_id: str
    version: int
    name: str
    address: Address
    phone: str
    net_days: int
    payer_ids: list[str]
    po_number: str | None
    frequency: Frequency
    weekday: int | None
    month_day: int | None
    next_run_on: date | None
    effective_on: date | None
    expires_on: date | None
    show_adjustments: bool
    mask: Mask


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimCorrected(ClaimBilled):
    """The whole claim after a correction by staff; content is ordered by `(version, revision)`."""

    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimHeld:
    """A claim went on HOLD; `hold_no` counts the holds of this claim."""

    practice_id: str
    claim_id: str
    hold_id: str
    hold_no: int
    source: HoldSource
    dispute_id: str | None
    kick_code: str
    reason: str
    note: str | None
    invoice_id: str | None
    invoice_number: str | None
    claim_version: int
    claim_revision: int
    held_at: Instant
    act_by: date


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOff:
    """An amount that staff gave up on one charge; posting posts what of it is open."""

    write_off_id: str
    charge_id: str
    amount_cents: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRedropped:
    """All holds open at that moment closed; names the content that the re-issue waits for."""

    practice_id: str
    claim_id: str
    hold_no: int
    holds_closed: list[str]
    outcome: RedropOutcome
    claim_version: int
    claim_revision: int
    write_offs: list[WriteOff]
    redropped_at: Instant
    reissue_on: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One sending of an invoice: frozen, with its PDF."""

    no: int
    kind: IssueKind
    on: date
    total_cents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoicePayment:
    """A card payment that named this invoice, and how far posting has it."""

    payment_id: str
    asked_cents: int
    applied_cents: int
    credited_cents: int
    refunded_cents: int
    state: PaymentStanding
    on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceState:
    """An invoice's header: totals, payable, status, sendings, payments. No personal data."""

    practice_id: str
    invoice_id: str
    version: int
    number: str
    account_id: str
    status: InvoiceStatus
    first_billed_on: date
    last_billed_on: date
    due_on: date
    overdue_on: date | None
    closing_no: int
    issues: list[Issue]
    claims: int
    held_claims: int
    original_cents: int
    charged_cents: int
    paid_cents: int
    adjusted_cents: int
    transferred_in_cents: int
    transferred_out_cents: int
    balance_cents: int
    held_cents: int
    pending_cents: int
    payable_cents: int
    payments: list[InvoicePayment]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinePatient:
    """What the account may see of the patient (BX-05): null where the practice did not turn a field on."""

    given_name: str
    family_name: str
    birth_date: date | None = None
    employee_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LineCharge:
    """One procedure of a claim, as the account may see it."""

    charge_id: str
    procedure_code: str
    modifiers: list[str]
    description: str
    units: Units
    charged_cents: int
    balance_cents: int
    diagnosis_codes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinePayment:
    """A card payment that named this claim."""

    payment_id: str
    state: PaymentStanding


@dataclass(frozen=True, slots=True, kw_only=True)
class LineEntry:
    """One movement behind a line's balance (BX-07); `change_cents` is signed: below 0 lowers it. `cause` is posting's word for who made it."""

    entry_id: str
    on: date
    kind: str
    change_cents: int
    group: str | None
    code: str | None
    charge_id: str | None = None
    cause: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceLineState:
    """One claim on one invoice, masked for the account (BX-05)."""

    practice_id: str
    line_id: str
    invoice_id: str
    claim_id: str
    version: int
    claim_version: int
    claim_revision: int
    balances_version: int
    payer_id: str
    status: LineStatus
    service_date: date
    patient: LinePatient
    charged_cents: int
    paid_cents: int
    adjusted_cents: int
    transferred_in_cents: int
    transferred_out_cents: int
    balance_cents: int
    charges: list[LineCharge]
    dispute_id: str | None
    payments: list[LinePayment]
    entries: list[LineEntry]


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeState:
    """A dispute's case. Names the versions of line and invoice that contain it, so that the portal may drop its own mark."""

    practice_id: str
    dispute_id: str
    version: int
    claim_id: str
    line_id: str
    line_version: int
    invoice_id: str
    invoice_version: int
    account_id: str
    contact_id: str
    status: Literal["open", "answered", "withdrawn", "closed"]
    reason: DisputeReason
    disputed_cents: int
    submitted_at: Instant
    act_by: date
    outcome: DisputeOutcome | None
    closed_on: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceFact:
    """An invoice was issued, re-issued, became overdue (again) or closed; `state_version` is the invoice.state that contains it."""

    practice_id: str
    invoice_id: str
    state_version: int
    account_id: str
    number: str
    kind: Literal["new", "reissued", "overdue", "overdue_again", "closed"]
    issue_no: int
    closing_no: int
    on: date
    due_on: date
    total_cents: int
    balance_cents: int


PRACTICE_STATE = Topic("practice.state", PracticeState, "practice_id", "invoicing", versioned=True, restricted=True, partitions=1)
ACCOUNT_STATE = Topic("account.state", AccountState, "account_id", "invoicing", versioned=True, restricted=True)
CLAIM_CORRECTED = Topic("claim.corrected.state", ClaimCorrected, "claim_id", "invoicing", versioned=True, restricted=True)
CLAIM_HELD = Topic("claim.held", ClaimHeld, "claim_id", "invoicing", restricted=True)
CLAIM_REDROPPED = Topic("claim.redropped", ClaimRedropped, "claim_id", "invoicing")
INVOICE_STATE = Topic("invoice.state", InvoiceState, "invoice_id", "invoicing", versioned=True, restricted=True)
INVOICE_LINE_STATE = Topic("invoice.line.state", InvoiceLineState, "line_id", "invoicing", versioned=True, restricted=True)
DISPUTE_STATE = Topic("dispute.state", DisputeState, "dispute_id", "invoicing", versioned=True, restricted=True)
INVOICE_ISSUED = Topic("invoice.issued", InvoiceFact, "invoice_id", "invoicing")
INVOICE_REISSUED = Topic("invoice.reissued", InvoiceFact, "invoice_id", "invoicing")
INVOICE_OVERDUE = Topic("invoice.overdue", InvoiceFact, "invoice_id", "invoicing")
INVOICE_CLOSED = Topic("invoice.closed", InvoiceFact, "invoice_id", "invoicing")
