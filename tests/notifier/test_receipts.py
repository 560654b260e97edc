"""The receipt mail says what was paid and what waits beside it (EP-15, NT-01 to NT-03)."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from shared.events.invoicing import ACCOUNT_STATE, PRACTICE_STATE
from shared.events.portal import CONTACT_STATE, PAYMENT_CAPTURED, PaidClaim, PaidInvoice, PaymentCaptured
from shared.events.types import Card
from tests.notifier.conftest import Notifier, account, contact, practice

PAID = PaidClaim(line_id="l1", claim_id="48214", claim_version=1, claim_revision=0, payer_id="77001", amount_cents=18500)
INVOICE = PaidInvoice(invoice_id="i1", number="100437", state_version=3, amount_cents=18500, claims=[PAID])
CAPTURE = PaymentCaptured(
    practice_id="7", payment_id="p1", part=1, parts=1, account_id="a1", contact_id="c1", amount_cents=18500, local_date=date(2026, 11, 20),
    captured_at=datetime(2026, 11, 20, 15, tzinfo=UTC), record_number="P-020001", authorization_number="A81Q2", processor="sandbox",
    processor_ref="ch_1", card=Card(brand="VI", last4="4242"), user_name="PortalDesktop", transaction_type="Webportal CC Payment",
    invoices=[INVOICE],
)  # fmt: skip


async def receipt(notifier: Notifier, capture: PaymentCaptured) -> str:
    """The words of the one mail that a capture brings."""
    person = contact()
    await notifier.give(PRACTICE_STATE, practice())
    await notifier.give(ACCOUNT_STATE, account())
    await notifier.give(CONTACT_STATE, person)
    await notifier.give(PAYMENT_CAPTURED, replace(capture, contact_id=person.contact_id))
    assert await notifier.send() == 1
    [mail] = await notifier.mails(person.email)
    return str(mail["text"])


@pytest.mark.req("EP-15", "NT-01", "NT-03")
@pytest.mark.parametrize(("claims", "words"), [
    ([], None),
    (["48213"], "Withheld, in review: 120.00 · claim 48213"),
    (["48213", "48215"], "Withheld, in review: 120.00 · claims 48213, 48215"),
    ([str(n) for n in range(6)], "Withheld, in review: 120.00 · 6 claims"),
])  # fmt: skip
async def test_a_receipt_says_what_was_paid_and_which_claims_were_withheld(notifier: Notifier, claims: list[str], words: str | None) -> None:
    asked = replace(INVOICE, withheld_claims=claims, withheld_cents=12000 if claims else 0)
    text = await receipt(notifier, replace(CAPTURE, invoices=[asked]))
    assert "Total paid: $185.00" in text and "Invoice 100437: 185.00" in text and "48214" not in text
    assert words in text if words else "Withheld" not in text


@pytest.mark.req("EP-15")
async def test_the_receipt_of_a_payment_in_parts_names_its_total_and_leads_to_the_rest(notifier: Notifier) -> None:
    text = await receipt(notifier, replace(CAPTURE, amount_cents=999900, parts=2))
    assert "Total paid: $9,999.00" in text and "100437" not in text and "See the receipt in the portal" in text
