"""Disputes from the form to the mark that goes when invoicing names it (EP-16, EP-28)."""

import io
from dataclasses import replace
from datetime import date
from typing import Any

import pypdf
import pytest

from services.portal.disputes.pages import REASONS
from shared import ids
from shared.events.invoicing import DISPUTE_STATE, INVOICE_LINE_STATE, INVOICE_STATE, DisputeState
from shared.events.portal import DISPUTE_SUBMITTED, PAYMENT_CAPTURED, DisputeSubmitted
from shared.events.posting import PAYMENT_STATE, PaymentClaim, PaymentState
from tests.portal.conftest import LEE, Portal, authorised, enter_card, words
from tests.portal.made import invoice

FORM = "/employerportal/invoices/i1/claims/i1-1/dispute"


async def dispute(portal: Portal, **form: Any) -> Any:
    async with portal.browser() as browser:
        return await browser.post(FORM, data={"reason": "WA", "note": "", "once": ids.new()} | form)


def case(sent: DisputeSubmitted, version: int = 1, **changed: Any) -> DisputeState:
    """The case as invoicing publishes it, contained in line 2 and invoice 2."""
    state = DisputeState(
        practice_id="7",
        dispute_id=sent.dispute_id,
        version=version,
        claim_id=sent.claim_id,
        line_id=sent.line_id,
        line_version=2,
        invoice_id=sent.invoice_id,
        invoice_version=2,
        account_id="a1",
        contact_id="c1",
        status="open",
        reason=sent.reason,
        disputed_cents=sent.disputed_cents,
        submitted_at=sent.submitted_at,
        act_by=date(2026, 11, 27),
        outcome=None,
        closed_on=None,
    )
    return replace(state, **changed)


@pytest.mark.req("EP-16", "EP-28")
@pytest.mark.req("BX-06", part="only the disputed claim waits")
async def test_a_dispute_goes_to_invoicing_and_shows_in_review_at_once_while_the_rest_can_be_paid(portal: Portal):
    await portal.show(invoice())
    async with portal.browser() as browser:
        form = words(await browser.get(FORM))
        assert "Claim i1-c1, invoice 100437" in form and "Up to 500 characters" in form
        assert all(reason in form for reason in REASONS.values())
        sent = await browser.post(FORM, data={"reason": "WA", "note": " Our rate is 80.00 ", "once": ids.new()})
        assert sent.headers["location"] == "/employerportal/invoices/i1"
        page = words(await browser.get("/employerportal/invoices/i1"))
    assert "Dispute sent." in page and "In-Review" in page and "In review −100.00" in page and "Add $65.00 to cart" in page
    [said] = await portal.said(DISPUTE_SUBMITTED)
    assert (said.claim_id, said.line_version, said.invoice_number, said.reason) == ("i1-c1", 1, "100437", "WA")
    assert (said.note, said.disputed_cents, said.contact_id) == ("Our rate is 80.00", 10000, "c1")


@pytest.mark.req("EP-15")
async def test_a_receipt_names_the_claims_that_were_withheld(portal: Portal):
    await portal.show(invoice())
    async with portal.browser() as browser:
        await browser.post(FORM, data={"reason": "WA", "note": "", "once": ids.new()})
        await browser.post("/employerportal/cart/add", data={"invoice": ["i1"]})
        started = await browser.post("/employerportal/cart/pay", data={"once": ids.new()})
        back = await enter_card(started.headers["location"])
        await browser.get(back)
        submitted = await browser.post(back + "/confirm")
        on_its_way = await browser.get(submitted.headers["location"])
        receipt = await browser.get(on_its_way.headers["location"])
        paper = await browser.get(on_its_way.headers["location"].split("?")[0] + "/receipt.pdf")
    [said] = await portal.said(PAYMENT_CAPTURED)
    assert (said.invoices[0].withheld_cents, said.invoices[0].withheld_claims) == (10000, ["i1-c1"])
    assert "Withheld, in review 100.00 · claim i1-c1" in words(receipt) and "or In-Review where a claim is withheld" in words(receipt)
    assert "100.00 · claim i1-c1" in " ".join(pypdf.PdfReader(io.BytesIO(paper.content)).pages[0].extract_text().split())


@pytest.mark.req("EP-16")
async def test_a_form_with_mistakes_comes_back_with_words(portal: Portal):
    await portal.show(invoice())
    empty = await dispute(portal, reason="")
    assert empty.status_code == 422 and "Choose a dispute reason" in empty.text
    long = await dispute(portal, note="x" * 501)
    assert long.status_code == 422 and "Enter 500 characters or fewer. There are 501" in long.text
    assert (await dispute(portal, reason="ZZ")).status_code == 422
    assert await portal.said(DISPUTE_SUBMITTED) == []


@pytest.mark.req("EP-16")
async def test_the_same_form_sent_twice_is_one_dispute_and_a_second_one_is_refused(portal: Portal):
    await portal.show(invoice())
    once = ids.new()
    assert [(await dispute(portal, once=once)).status_code for _ in range(2)] == [303, 303]
    refused = await dispute(portal)
    assert refused.status_code == 409 and "This claim is in review already" in refused.text
    assert len(await portal.said(DISPUTE_SUBMITTED)) == 1


@pytest.mark.req("EP-16")
async def test_a_claim_inside_a_payment_cannot_be_disputed_until_it_is_posted(portal: Portal):
    shown = invoice()
    await portal.show(shown)
    attempt_id = await authorised(portal, "i1", here=LEE)
    async with portal.browser(LEE) as lee:
        await portal.faults(next=["lost"])
        await lee.post(f"/employerportal/pay/{attempt_id}/confirm")
        live = await dispute(portal)
        assert live.status_code == 409 and "This claim is being paid" in live.text
        portal.clock.move(seconds=3)
        await lee.get(f"/employerportal/pay/{attempt_id}")
    captured = await dispute(portal)
    assert captured.status_code == 409 and "once the payment is posted" in captured.text
    applied = [PaymentClaim(claim_id=f"i1-c{n}", applied_cents=100, balances_version=2) for n in (1, 2)]
    posted = PaymentState(
        practice_id="7",
        payment_id=attempt_id,
        version=1,
        source="portal",
        parts_posted=1,
        parts=1,
        amount_cents=16500,
        applied_cents=200,
        credited_cents=0,
        waiting_cents=0,
        refunded_cents=0,
        batch_id="b",
        posted_on=date(2026, 11, 20),
        claims=applied,
    )
    await portal.give(PAYMENT_STATE, posted)
    assert (await dispute(portal)).status_code == 303


@pytest.mark.req("EP-16", "EP-12")
@pytest.mark.parametrize("order", ["dli", "dil", "ldi", "lid", "idl", "ild"])
async def test_the_mark_goes_only_when_the_case_and_the_versions_it_names_are_here(portal: Portal, order: str):
    shown = invoice()
    await portal.show(shown)
    await dispute(portal)
    [sent] = await portal.said(DISPUTE_SUBMITTED)
    held = replace(shown.lines[0], version=2, status="in_review", dispute_id=sent.dispute_id)
    header = shown.again(status="in_review", held_claims=1, held_cents=10000, payable_cents=6500).header
    for step, what in enumerate(order, 1):
        match what:
            case "d":
                await portal.give(DISPUTE_STATE, case(sent))
            case "l":
                await portal.give(INVOICE_LINE_STATE, held)
            case "i":
                await portal.give(INVOICE_STATE, header)
        assert await portal.value("SELECT count(*) FROM dispute_marks") == (0 if step == 3 else 1)
        async with portal.browser() as browser:
            page = words(await browser.get("/employerportal/invoices/i1"))
            assert "In-Review" in page
            assert "Add $165.00" not in page and "Add $100.00" not in page
    assert "Add $65.00 to cart" in page and "Answer by Fri, Nov 27" in page


@pytest.mark.req("EP-16")
async def test_after_the_answer_the_claim_can_be_disputed_again(portal: Portal):
    shown = invoice()
    await portal.show(shown)
    await dispute(portal)
    [sent] = await portal.said(DISPUTE_SUBMITTED)
    await portal.give(DISPUTE_STATE, case(sent, 2, status="closed", outcome="answered", closed_on=date(2026, 11, 21)))
    await portal.show(shown.again(), replace(shown, header=replace(shown.header, version=3), lines=(replace(shown.lines[0], version=3),)))
    assert (await dispute(portal)).status_code == 303
    assert len(await portal.said(DISPUTE_SUBMITTED)) == 2


@pytest.mark.req("EP-16")
async def test_nothing_is_disputed_on_a_closed_invoice_or_for_another_account(portal: Portal):
    closed = invoice(status="closed", balance_cents=0, payable_cents=0)
    other = invoice("i9", "100999", account_id="a2")
    await portal.show(closed, other)
    assert (await dispute(portal)).status_code == 409
    async with portal.browser() as browser:
        for path in ("/employerportal/invoices/i9", "/employerportal/invoices/i9/claims/i9-1", "/employerportal/invoices/i9/claims/i9-1/dispute"):
            assert (await browser.get(path)).status_code == 404
        assert (await browser.post("/employerportal/invoices/i9/claims/i9-1/dispute", data={"reason": "WA"})).status_code == 404
        assert (await browser.post("/employerportal/cart/add", data={"only": "i9"})).status_code == 303
        assert "Your cart is empty" in (await browser.get("/employerportal/cart")).text
