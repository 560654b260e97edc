"""One claim on one invoice, as the employer may see it: money, procedures, movements, under the account's mask (BX-05)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from services.invoicing.domain import money
from services.invoicing.domain.claim import Claim
from services.invoicing.domain.invoice import Line, line_status
from shared.events.invoicing import InvoiceLineState, LineCharge, LineEntry, LinePatient, LinePayment, Mask
from shared.events.posting import ClaimBalances, Entry

LOWERS = ("payment", "adjustment")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Everything that decides how a line looks: the claim, what posting says, what waits, and the invoice it is on."""

    line_id: str
    invoice_id: str
    payer_id: str
    withdrawn: bool
    held: bool
    dispute_id: str | None
    claim: Claim
    balances: ClaimBalances | None
    payments: tuple[LinePayment, ...]
    due_on: date
    mask: Mask


def line_state(case: Case, version: int, today: date) -> InvoiceLineState:
    """The published line. A withdrawn line keeps its procedures to be recognised, and asks for nothing."""
    claim = case.claim
    charges = money.by_charge(claim, case.payer_id, None if case.withdrawn else case.balances)
    sum_ = money.NOTHING if case.withdrawn else money.total(charges.values())
    return InvoiceLineState(
        practice_id=claim.practice_id,
        line_id=case.line_id,
        invoice_id=case.invoice_id,
        claim_id=claim.claim_id,
        version=version,
        claim_version=claim.version,
        claim_revision=claim.revision,
        balances_version=case.balances.version if case.balances else 0,
        payer_id=case.payer_id,
        status=line_status(Line(sum_, case.held, case.withdrawn), case.due_on, today),
        service_date=claim.service_date,
        patient=masked_patient(claim, case.mask),
        charged_cents=sum_.charged,
        paid_cents=sum_.paid,
        adjusted_cents=sum_.adjusted,
        transferred_in_cents=sum_.transferred_in,
        transferred_out_cents=sum_.transferred_out,
        balance_cents=sum_.balance,
        charges=masked_charges(claim, case, charges),
        dispute_id=case.dispute_id,
        payments=list(case.payments),
        entries=entries(case.balances.entries, case.payer_id) if case.balances else [],
    )


def masked_patient(claim: Claim, mask: Mask) -> LinePatient:
    """Name only, and what the practice turned on for this account."""
    person = claim.patient
    return LinePatient(
        given_name=person.given_name,
        family_name=person.family_name,
        birth_date=person.birth_date if mask.birth_date else None,
        employee_id=person.employee_id if mask.employee_id else None,
    )


def masked_charges(claim: Claim, case: Case, amounts: dict[str, money.Money]) -> list[LineCharge]:
    """The procedures, none where the account hides them; diagnoses only where turned on."""
    if case.mask.hide_procedures:
        return []
    known = {charge.charge_id: charge for charge in claim.charges}
    shown = []
    for charge_id, part in amounts.items():
        charge = known.get(charge_id)
        if charge is None and part == money.NOTHING:
            continue
        shown.append(
            LineCharge(
                charge_id=charge_id,
                procedure_code=charge.procedure_code if charge else "",
                modifiers=charge.modifiers if charge else [],
                description=charge.description if charge else "Charge no longer billed",
                units=charge.units if charge else Decimal(1),
                charged_cents=part.charged,
                balance_cents=0 if case.withdrawn else part.balance,
                diagnosis_codes=charge.diagnosis_codes if charge and case.mask.diagnosis else [],
            )
        )
    return shown


def entries(posted: Sequence[Entry], payer_id: str) -> list[LineEntry]:
    """The movements in this employer's column, oldest first, each with its effect on the balance (BX-07)."""
    ordered = sorted(posted, key=lambda entry: (entry.on, entry.entry_id))
    return [
        LineEntry(
            entry_id=entry.entry_id,
            on=entry.on,
            kind=entry.kind,
            change_cents=-entry.amount_cents if entry.kind in LOWERS else entry.amount_cents,
            group=entry.group,
            code=entry.code,
            charge_id=entry.charge_id,
            cause=entry.cause.kind,
        )
        for entry in ordered
        if entry.payer_id == payer_id
    ]


def renumbered(state: InvoiceLineState, known: InvoiceLineState | None) -> InvoiceLineState | None:
    """The next version of a line, or None where nothing but the number would change."""
    if known is not None and replace(state, version=known.version) == known:
        return None
    return replace(state, version=known.version + 1 if known else 1)
