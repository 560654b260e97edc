"""Ingress: what practice-management systems publish. These schemas are the product's public contract."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta

from shared.events import Topic
from shared.events.types import MOST_UNITS, Address, CardBrand, Cents, Code, Id, Instant, Name, PayerKind, PracticeId, Text, Units, Version

THOUSANDTH = Decimal("0.001")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Who rendered the service."""

    npi: Annotated[str, Meta(max_length=20)] | None = None
    name: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimPatient:
    """The person the claim is about, as the practice knew them when it was billed."""

    patient_id: Id
    given_name: Name
    family_name: Name
    birth_date: date
    employee_id: Id | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """Who may be asked, in order; for a patient the payer id is the patient id."""

    order: Annotated[int, Meta(ge=1, le=10)]
    kind: PayerKind
    payer_id: Id
    member_id: Id | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One procedure line. `amount_cents` is the line's total, whatever the units."""

    charge_id: Id
    procedure_code: Code
    code_system: Code = "HCPCS"
    modifiers: Annotated[list[Code], Meta(max_length=10)]
    description: Text
    units: Units
    amount_cents: Cents
    diagnosis_codes: Annotated[list[Code], Meta(max_length=50)]
    service_date: date | None = None

    def __post_init__(self) -> None:
        if not 0 < self.units < MOST_UNITS or self.units % THOUSANDTH:
            raise ValueError(f"units is a number above 0 and below {MOST_UNITS:,} with at most three decimals")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimBilled:
    """A claim was billed to its current payer: the whole claim at `version`, which rises with every change."""

    practice_id: PracticeId
    claim_id: Id
    version: Version
    service_date: date
    service_to: date | None = None
    billed_on: date
    department_id: Id
    provider_group_id: Id | None
    appointment_id: Id | None
    rendering_provider: Provider | None
    patient: ClaimPatient
    payers: Annotated[list[Payer], Meta(min_length=1, max_length=10)]
    billed_to: int
    charges: Annotated[list[Charge], Meta(min_length=1, max_length=500)]
    place_of_service: Code | None = None
    authorization_number: Id | None = None
    purchase_order_number: Id | None = None
    patient_control_number: Annotated[str, Meta(min_length=1, max_length=38)] | None = None

    def __post_init__(self) -> None:
        orders = {payer.order for payer in self.payers}
        if len(orders) < len(self.payers):
            raise ValueError("payers have one order each")
        if self.billed_to not in orders:
            raise ValueError("billed_to is the order of one of the payers")
        if len({charge.charge_id for charge in self.charges}) < len(self.charges):
            raise ValueError("charges have one charge_id each")

    @property
    def payer(self) -> Payer:
        """The payer asked now."""
        return next(payer for payer in self.payers if payer.order == self.billed_to)

    @property
    def total_cents(self) -> int:
        return sum(charge.amount_cents for charge in self.charges)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimVoided:
    """A claim is withdrawn, unless it was billed again at a higher version."""

    practice_id: PracticeId
    claim_id: Id
    version: Version
    voided_on: date
    reason: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimHoldRequested:
    """The other system put the claim on hold."""

    practice_id: PracticeId
    claim_id: Id
    version: Version
    kick_code: Code
    reason: Text | None = None
    note: Text | None = None
    requested_at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRedropRequested:
    """The other system released the claim; it releases a dispute's hold only where it names the dispute."""

    practice_id: PracticeId
    claim_id: Id
    version: Version
    dispute_id: Id | None = None
    note: Text | None = None
    requested_at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class AppointmentState:
    """A visit in the practice's schedule."""

    practice_id: PracticeId
    appointment_id: Id
    version: Version
    status: Literal["booked", "updated", "cancelled", "checked-in"]
    patient_id: Id
    department_id: Id
    date: date
    type: Text
    expected_copay_cents: Cents
    estimate_cents: Cents
    prepay_allowed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Identifier:
    """A number by which some authority knows a patient."""

    authority: Annotated[str, Meta(min_length=1, max_length=200)]
    value: Annotated[str, Meta(min_length=1, max_length=200)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarantor:
    """Who answers for a patient's bills."""

    given_name: Name
    family_name: Name
    relation: Text | None = None
    address: Address | None = None
    email: Text | None = None
    phone: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientState:
    """A patient of the practice."""

    practice_id: PracticeId
    patient_id: Id
    version: Version
    given_name: Name
    family_name: Name
    birth_date: date
    address: Address | None
    email: Annotated[str, Meta(max_length=254)] | None
    phone: Annotated[str, Meta(max_length=40)] | None
    guarantor: Guarantor | None
    identifiers: Annotated[list[Identifier], Meta(max_length=50)]


@dataclass(frozen=True, slots=True, kw_only=True)
class DepartmentState:
    """A site of the practice and the merchant location that takes its cards."""

    practice_id: PracticeId
    department_id: Id
    version: Version
    name: Name
    provider_group_id: Id | None
    merchant_location_id: Id | None
    accepted_cards: list[CardBrand]
    ecommerce_cards: list[CardBrand]
    auto_contract: bool
    zone: Annotated[str, Meta(max_length=64)] | None


CLAIM_BILLED = Topic("claim.billed", ClaimBilled, "claim_id", "ingress", versioned=True, restricted=True)
CLAIM_VOIDED = Topic("claim.voided", ClaimVoided, "claim_id", "ingress", versioned=True, restricted=True)
CLAIM_HOLD_REQUESTED = Topic("claim.hold_requested", ClaimHoldRequested, "claim_id", "ingress", restricted=True)
CLAIM_REDROP_REQUESTED = Topic("claim.redrop_requested", ClaimRedropRequested, "claim_id", "ingress", restricted=True)
APPOINTMENT_STATE = Topic("appointment.state", AppointmentState, "appointment_id", "ingress", versioned=True, restricted=True)
PATIENT_STATE = Topic("patient.state", PatientState, "patient_id", "ingress", versioned=True, restricted=True)
DEPARTMENT_STATE = Topic("department.state", DepartmentState, "department_id", "ingress", versioned=True, restricted=True)
