"""What portal says: contacts, codes and links, disputes, and the employers' card payments."""

from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from shared.events import Topic
from shared.events.types import Card, DisputeReason, Instant

ContactStatus = Literal["not_invited", "invited", "registered", "revoked"]
ContactRole = Literal["owner", "payer", "viewer"]
Channel = Literal["email", "sms", "voice"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactState:
    """A person at an employer and their access to one account (EP-02)."""

    practice_id: str
    contact_id: str
    version: int
    account_id: str
    name: str
    title: str | None
    email: str
    phone: str | None
    role: ContactRole
    status: ContactStatus
    invite_no: int
    invite_open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactInvited:
    """An invitation to register, or word that an account was added; `sealed` holds `{"to", "link"}` for notifier."""

    practice_id: str
    contact_id: str
    account_id: str
    invite_no: int
    kind: Literal["invitation", "access_granted"]
    invited_at: Instant
    sealed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SigninCodeRequested:
    """A code for a person, while registering, signing in or resetting; `sealed` holds `{"to", "code"}`; `expires_at` is system time."""

    practice_id: str
    person_id: str
    code_id: str
    purpose: Literal["registration", "reset", "patient_signup"]
    channel: Channel
    expires_at: Instant
    sealed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordResetRequested:
    """A reset link for a person; `sealed` holds `{"to", "link"}`; `expires_at` is system time."""

    practice_id: str
    person_id: str
    reset_id: str
    expires_at: Instant
    sealed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeSubmitted:
    """An employer disputes one claim on one invoice (EP-16)."""

    practice_id: str
    dispute_id: str
    claim_id: str
    line_id: str
    line_version: int
    invoice_id: str
    invoice_number: str
    account_id: str
    contact_id: str
    reason: DisputeReason
    note: str | None
    disputed_cents: int
    submitted_at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidClaim:
    """One claim inside a payment, as the payer saw it."""

    line_id: str
    claim_id: str
    claim_version: int
    claim_revision: int
    payer_id: str
    amount_cents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidInvoice:
    """One invoice inside a payment, as the payer saw it; `withheld` are its open claims that the payment left out because they are in review."""

    invoice_id: str
    number: str
    state_version: int
    amount_cents: int
    claims: list[PaidClaim]
    withheld_cents: int = 0
    withheld_claims: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCaptured:
    """Money was taken from a card. Complete in itself; above 5,000 claims in parts, unique by (payment_id, part)."""

    practice_id: str
    payment_id: str
    part: int
    parts: int
    account_id: str
    contact_id: str
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
    invoices: list[PaidInvoice]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentFailed:
    """A card payment came to nothing; nothing was charged."""

    practice_id: str
    payment_id: str
    account_id: str
    contact_id: str
    amount_cents: int
    failed_at: Instant
    reason: Literal["declined", "released"]
    user_name: str
    transaction_type: str
    invoice_ids: list[str]


CONTACT_STATE = Topic("contact.state", ContactState, "contact_id", "portal", versioned=True, restricted=True)
CONTACT_INVITED = Topic("contact.invited", ContactInvited, "contact_id", "portal")
SIGNIN_CODE_REQUESTED = Topic("signin.code_requested", SigninCodeRequested, "person_id", "portal")
PASSWORD_RESET_REQUESTED = Topic("password.reset_requested", PasswordResetRequested, "person_id", "portal")
DISPUTE_SUBMITTED = Topic("dispute.submitted", DisputeSubmitted, "claim_id", "portal", restricted=True)
PAYMENT_CAPTURED = Topic("invoice.payment_captured", PaymentCaptured, "payment_id", "portal")
PAYMENT_FAILED = Topic("invoice.payment_failed", PaymentFailed, "payment_id", "portal")
