"""What invoicing publishes, as the portal's tests show it: a practice, an account, invoices with their lines."""

from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from shared.events.invoicing import (
    AccountState,
    InvoiceLineState,
    InvoicePayment,
    InvoiceState,
    Issue,
    LineCharge,
    LinePatient,
    LinePayment,
    Mask,
    PracticeState,
)
from shared.events.practices import Brand
from shared.events.types import Address

PLACE = Address(line1="214 Tidewater Road", line2="Suite 3", city="Wexcombe", state="MA", zip="02199")


@dataclass(frozen=True)
class Shown:
    """An invoice and its lines, as invoicing publishes them."""

    header: InvoiceState
    lines: tuple[InvoiceLineState, ...]

    def again(self, **header: Any) -> "Shown":
        """The next version of the header."""
        return replace(self, header=replace(self.header, version=self.header.version + 1, **header))

    def naming(self, payment_id: str, state: str = "pending") -> "Shown":
        """The next versions, naming a payment of all of it."""
        paid = self.header.payable_cents
        named = InvoicePayment(
            payment_id=payment_id,
            asked_cents=paid,
            applied_cents=paid if state == "posted" else 0,
            credited_cents=0,
            refunded_cents=0,
            state=state,  # type: ignore[arg-type]
            on=date(2026, 11, 20),
        )
        money = {"status": "pending", "pending_cents": paid, "payable_cents": 0}
        if state == "posted":
            money = {"status": "closed", "pending_cents": 0, "paid_cents": paid, "balance_cents": 0, "payable_cents": 0}
        lines = [self._line(line, payment_id, state) for line in self.lines]
        header = replace(self.header, version=self.header.version + 1, payments=[named], **money)  # type: ignore[arg-type]
        return Shown(header, tuple(lines))

    @staticmethod
    def _line(line: InvoiceLineState, payment_id: str, state: str) -> InvoiceLineState:
        paid = {"status": "closed", "paid_cents": line.charged_cents, "balance_cents": 0} if state == "posted" else {}
        named = [LinePayment(payment_id=payment_id, state=state)]  # type: ignore[arg-type]
        return replace(line, version=line.version + 1, payments=named, **paid)  # type: ignore[arg-type]


BILLED = date(2026, 11, 2)


def invoice(invoice_id: str = "i1", number: str = "100437", cents: tuple[int, ...] = (10000, 6500), on: date = BILLED, **header: Any) -> Shown:
    """An invoice, by default due, whose claims are charged these amounts."""
    lines = tuple(line(f"{invoice_id}-{n}", invoice_id, f"{invoice_id}-c{n}", each, on) for n, each in enumerate(cents, 1))
    total = sum(cents)
    values: dict[str, Any] = {
        "practice_id": "7",
        "invoice_id": invoice_id,
        "version": 1,
        "number": number,
        "account_id": "a1",
        "status": "due",
        "first_billed_on": on,
        "last_billed_on": on,
        "due_on": date(2026, 12, 2),
        "overdue_on": None,
        "closing_no": 0,
        "issues": [Issue(no=1, kind="new", on=on, total_cents=total)],
        "claims": len(cents),
        "held_claims": 0,
        "original_cents": total,
        "charged_cents": total,
        "paid_cents": 0,
        "adjusted_cents": 0,
        "transferred_in_cents": 0,
        "transferred_out_cents": 0,
        "balance_cents": total,
        "held_cents": 0,
        "pending_cents": 0,
        "payable_cents": total,
        "payments": [],
    }
    return Shown(InvoiceState(**(values | header)), lines)


def line(line_id: str, invoice_id: str, claim_id: str, cents: int, on: date) -> InvoiceLineState:
    charge = LineCharge(
        charge_id=f"{claim_id}-1",
        procedure_code="99455",
        modifiers=[],
        description="Work-related evaluation",
        units=1,  # type: ignore[arg-type]
        charged_cents=cents,
        balance_cents=cents,
    )
    return InvoiceLineState(
        practice_id="7",
        line_id=line_id,
        invoice_id=invoice_id,
        claim_id=claim_id,
        version=1,
        claim_version=1,
        claim_revision=0,
        balances_version=1,
        payer_id="E",
        status="due",
        service_date=on,
        patient=LinePatient(given_name="Birgit", family_name="Schmeler"),
        charged_cents=cents,
        paid_cents=0,
        adjusted_cents=0,
        transferred_in_cents=0,
        transferred_out_cents=0,
        balance_cents=cents,
        charges=[charge],
        dispute_id=None,
        payments=[],
        entries=[],
    )


def practice() -> PracticeState:
    return PracticeState(
        practice_id="7",
        version=1,
        zone="America/New_York",
        holidays=[],
        legal_name="Saltmarsh Occupational Health LLC",
        display_name="Saltmarsh Occupational Health",
        brand=Brand(accent="#0B5E6B", accent_on="#FFFFFF", accent_edge="#0B5E6B", accent_soft="#EBF2F3", logo_id=None, logo_alt=""),
        postal_address=PLACE,
        remit_to_name="Saltmarsh Occupational Health",
        remit_to_address=PLACE,
        phone="(555) 010-0142",
        hours="Mon–Fri 8:00–5:00 Eastern",
        portal_address="http://portal.test/employerportal/login",
        npis=[],
        tax_ids=[],
        bank_accounts=[],
        portal_bank_account_id="b1",
        merchant_locations=[],
        contracts_on=True,
        digest_at="08:00",
        staff_addresses={},
    )


def account(account_id: str = "a1", name: str = "Kuvalis Warehousing & Logistics, Inc.") -> AccountState:
    return AccountState(
        practice_id="7",
        account_id=account_id,
        version=1,
        name=name,
        address=PLACE,
        phone="(555) 010-0190",
        net_days=30,
        payer_ids=["E"],
        po_number="KWL-2026-118",
        frequency="weekly",
        weekday=0,
        month_day=None,
        next_run_on=None,
        effective_on=None,
        expires_on=None,
        show_adjustments=True,
        mask=Mask(),
    )
