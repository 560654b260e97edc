"""Claims, accounts and balances as the tests of invoicing make them."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from services.invoicing.domain.account import Account
from services.invoicing.domain.invoice import Invoice
from shared.events.ingress import Charge, ClaimBilled, ClaimHoldRequested, ClaimPatient, ClaimRedropRequested, ClaimVoided, Payer
from shared.events.invoicing import Mask
from shared.events.posting import BalanceLine, ClaimBalances
from shared.events.types import Address

NOON = datetime(2026, 11, 4, 17, tzinfo=UTC)  # Wednesday, noon in New York
HOME = Address(line1="1 Main Street", city="Boston", state="MA", zip="02108")
PRACTICE: dict[str, Any] = {
    "practice_id": "p1",
    "zone": "America/New_York",
    "holidays": ["2026-11-11", "2026-11-26"],
    "legal_name": "Saltmarsh, P.C.",
    "display_name": "Saltmarsh",
    "colour": "#0B5F6B",
    "logo": None,
    "logo_alt": "",
    "postal_address": {"line1": "200 Harborview Road", "city": "Boston", "state": "MA", "zip": "02110"},
    "remit_to_name": "Saltmarsh, P.C.",
    "remit_to_address": {"line1": "PO Box 4410", "city": "Boston", "state": "MA", "zip": "02205"},
    "phone": "555-010-0142",
    "hours": "Monday to Friday",
    "npis": [],
    "tax_ids": [],
    "bank_accounts": [],
    "portal_bank_account_id": "2",
    "merchant_locations": [],
    "contracts_on": True,
    "digest_at": "now",
    "staff_addresses": {},
    "first_invoice_number": 123,
}


def claim(claim_id: str = "c1", version: int = 1, cents: int | tuple[int, ...] = 18500, payer: str | None = "e1", **more: Any) -> ClaimBilled:
    """A claim of one charge per amount, asked of a corporate payer, or of the patient where `payer` is None."""
    amounts = (cents,) if isinstance(cents, int) else cents
    body = ClaimBilled(
        practice_id="p1",
        claim_id=claim_id,
        version=version,
        service_date=date(2026, 11, 2),
        billed_on=date(2026, 11, 3),
        department_id="12",
        provider_group_id=None,
        appointment_id=None,
        rendering_provider=None,
        patient=ClaimPatient(patient_id="9901", given_name="Ana", family_name="Diaz", birth_date=date(1988, 4, 12), employee_id="E-7"),
        payers=[Payer(order=1, kind="corporate", payer_id=payer) if payer else Payer(order=1, kind="patient", payer_id="9901")],
        billed_to=1,
        charges=[
            Charge(
                charge_id=f"{claim_id}-{n}",
                procedure_code="99203",
                modifiers=[],
                description="Office visit",
                units=1,  # type: ignore[arg-type]
                amount_cents=amount,
                diagnosis_codes=["Z02.1"],
            )
            for n, amount in enumerate(amounts, 1)
        ],
    )
    return replace(body, **more)


def employer(account_id: str = "a1", payers: tuple[str, ...] = ("e1",), **more: Any) -> Account:
    """An account billed daily."""
    fields: dict[str, Any] = {
        "practice_id": "p1",
        "account_id": account_id,
        "version": 0,
        "name": "Kuvalis",
        "address": HOME,
        "phone": "555-255-6149",
        "net_days": 30,
        "reissue_restarts_terms": False,
        "payer_ids": payers,
        "po_number": None,
        "frequency": "daily",
        "weekday": None,
        "month_day": None,
        "next_run_on": None,
        "effective_on": None,
        "expires_on": None,
        "show_adjustments": True,
        "overdue_again_days": 60,
        "cover_sheet": False,
        "mask": Mask(),
    }
    return Account(**fields | more)


def balances(
    body: ClaimBilled, version: int, *, paid: int = 0, adjusted: int = 0, revision: int = 0, voided: bool = False, write_offs: tuple[str, ...] = ()
) -> ClaimBalances:
    """claim.balances.state of a claim with these cents paid and adjusted on its first charge."""
    payer = body.payer
    lines = [
        BalanceLine(
            charge_id=charge.charge_id,
            kind=payer.kind,
            payer_id=payer.payer_id,
            charged_cents=0 if voided else charge.amount_cents,
            paid_cents=paid if n == 0 else 0,
            adjusted_cents=adjusted if n == 0 else 0,
            transferred_in_cents=0,
            transferred_out_cents=0,
            balance_cents=0 if voided else charge.amount_cents - (paid + adjusted if n == 0 else 0),
        )
        for n, charge in enumerate(body.charges)
    ]
    return ClaimBalances(
        practice_id=body.practice_id,
        claim_id=body.claim_id,
        version=version,
        claim_version=body.version,
        claim_revision=revision,
        voided=voided,
        patient_id="9901",
        appointment_id=None,
        service_date=body.service_date,
        department_id="12",
        provider_group_id=None,
        adjudicated=False,
        adjudication_no=0,
        patient_balance_cents=0,
        lines=lines,
        write_offs=list(write_offs),
        entries_total=0,
        entries=[],
    )


def void(version: int, claim_id: str = "c1") -> ClaimVoided:
    return ClaimVoided(practice_id="p1", claim_id=claim_id, version=version, voided_on=NOON.date())


def hold_request(version: int) -> ClaimHoldRequested:
    return ClaimHoldRequested(practice_id="p1", claim_id="c1", version=version, kick_code="K9", reason="Wrong form", requested_at=NOON)


def release(version: int, dispute_id: str | None = None) -> ClaimRedropRequested:
    return ClaimRedropRequested(practice_id="p1", claim_id="c1", version=version, dispute_id=dispute_id, requested_at=NOON)


def open_invoice(status: str = "due") -> Invoice:
    return Invoice("p1", "i1", "000123", "a1", status, NOON.date(), NOON.date(), NOON.date(), None, None, 0, 100, 60, None, None, None, ())
