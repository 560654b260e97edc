"""Copies that two replicas keep at the same moment: the portal's marks go all the same (EP-12, EP-14, EP-16)."""

from dataclasses import replace

import pytest

from services.portal.checkout import pay
from shared.events.invoicing import DISPUTE_STATE, INVOICE_LINE_STATE, INVOICE_STATE
from shared.events.portal import DISPUTE_SUBMITTED
from tests.portal.conftest import Portal, authorised
from tests.portal.made import invoice
from tests.portal.test_disputes import case, dispute


@pytest.mark.req("EP-12", "EP-14")
async def test_a_payment_mark_goes_though_line_and_invoice_were_kept_at_the_same_moment(portal: Portal):
    shown = invoice()
    await portal.show(shown, invoice("i2", "100438"))
    attempt_id = await authorised(portal, "i1")
    await pay.confirm(portal.till, "7", attempt_id)
    await pay.confirm(portal.till, "7", await authorised(portal, "i2"))
    pending = shown.naming(attempt_id)
    async with portal.worker.begin() as one, portal.worker.begin() as other:
        await portal.take(one, INVOICE_LINE_STATE, *pending.lines)
        await portal.take(other, INVOICE_STATE, pending.header)
    assert await portal.value("SELECT count(*) FROM payment_marks") == 4, "neither replica saw the other's copy"
    assert await portal.run("marks") == 2
    assert await portal.value("SELECT DISTINCT invoice_id FROM payment_marks") == "i2", "nobody has named that payment yet"
    assert await portal.run("marks") == 0


@pytest.mark.req("EP-12", "EP-16")
async def test_a_dispute_mark_goes_though_case_and_copies_were_kept_at_the_same_moment(portal: Portal):
    shown = invoice()
    await portal.show(shown)
    await dispute(portal)
    [sent] = await portal.said(DISPUTE_SUBMITTED)
    async with portal.worker.begin() as one, portal.worker.begin() as two, portal.worker.begin() as three:
        await portal.take(one, DISPUTE_STATE, case(sent))
        await portal.take(two, INVOICE_LINE_STATE, replace(shown.lines[0], version=2, status="in_review", dispute_id=sent.dispute_id))
        await portal.take(three, INVOICE_STATE, shown.again(status="in_review", held_claims=1, held_cents=10000, payable_cents=6500).header)
    assert await portal.value("SELECT count(*) FROM dispute_marks") == 1, "no replica saw the others' copies"
    assert await portal.run("marks") == 1
    assert await portal.value("SELECT count(*) FROM dispute_marks") == 0
