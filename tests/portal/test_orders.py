"""What others say of a payment arrives in any order and again and again: at no point can a claim be paid a second time (EP-12, EP-14)."""

import random
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from services.portal.checkout import pay
from services.portal.invoices import standing
from shared.events.invoicing import INVOICE_LINE_STATE, INVOICE_STATE, InvoicePayment, LinePayment
from tests.portal.conftest import Portal, authorised
from tests.portal.made import invoice, line

ORDERS = 60


async def open_cents(portal: Portal, invoice_id: str) -> int:
    async with portal.app.begin("7") as tx:
        found = await standing.read(tx, "7", [invoice_id])
    return found[invoice_id][1].cents if found else 0


async def deliver(portal: Portal, chance: random.Random, messages: list[tuple[Any, Any]], invoices: tuple[str, ...], never_above: int) -> None:
    """In an order of its own, some of it twice; after each message, what could be paid is looked at."""
    order = messages + chance.sample(messages, len(messages) // 2)
    chance.shuffle(order)
    for topic, body in order:
        await portal.give(topic, body)
        for invoice_id in invoices:
            assert await open_cents(portal, invoice_id) <= never_above, order


@pytest.mark.req("EP-12", "EP-14")
async def test_a_paid_invoice_is_at_no_point_payable_again(portal: Portal):
    chance = random.Random(20261120)
    for n in range(ORDERS):
        shown = invoice(f"{n}i", f"{n}", (10000, 6500))
        await portal.show(shown)
        attempt_id = await authorised(portal, f"{n}i")
        await pay.confirm(portal.till, "7", attempt_id)
        unaware = shown.again()  # told before invoicing heard of the payment
        pending = unaware.naming(attempt_id)
        posted = pending.again(
            status="closed", balance_cents=0, paid_cents=16500, pending_cents=0, payments=[replace(pending.header.payments[0], state="posted")]
        )
        closed = [
            replace(each, version=3, status="closed", balance_cents=0, payments=[LinePayment(payment_id=attempt_id, state="posted")])
            for each in pending.lines
        ]
        headers = [(INVOICE_STATE, each.header) for each in (unaware, pending, posted)]
        lines = [(INVOICE_LINE_STATE, each) for each in (*pending.lines, *closed)]
        await deliver(portal, chance, headers + lines, (f"{n}i",), 0)
        assert await portal.value(f"SELECT count(*) FROM payment_marks WHERE invoice_id = '{n}i'") == 0
        assert await portal.value(f"SELECT status FROM invoices WHERE invoice_id = '{n}i'") == "closed"


@pytest.mark.req("EP-14")
async def test_a_paid_claim_that_moves_to_another_invoice_is_not_asked_for_again_before_the_payment_is_known_there(portal: Portal):
    chance = random.Random(20261121)
    for n in range(ORDERS):
        claim_id, one, two = f"{n}c", f"{n}x", f"{n}y"
        first = invoice(one, f"{n}1", (10000,))
        first = replace(first, lines=(replace(first.lines[0], claim_id=claim_id),))
        await portal.show(first)
        attempt_id = await authorised(portal, one)
        await pay.confirm(portal.till, "7", attempt_id)
        named = [LinePayment(payment_id=attempt_id, state="pending")]
        paid = InvoicePayment(
            payment_id=attempt_id, asked_cents=10000, applied_cents=0, credited_cents=0, refunded_cents=0, state="pending", on=date(2026, 11, 20)
        )
        withdrawn = replace(first.lines[0], version=2, status="withdrawn", balance_cents=0, payments=named)
        left = first.again(status="closed", balance_cents=0, payable_cents=0, claims=0, payments=[paid])
        second = invoice(two, f"{n}2", (10000,))
        unaware = replace(second, lines=(line(f"{n}new", two, claim_id, 10000, date(2026, 11, 2)),))
        aware = second.again(status="pending", pending_cents=10000, payable_cents=0, payments=[paid])
        aware_line = replace(unaware.lines[0], version=2, payments=named)
        messages = [
            (INVOICE_LINE_STATE, withdrawn),
            (INVOICE_STATE, left.header),
            (INVOICE_STATE, second.header),
            (INVOICE_LINE_STATE, unaware.lines[0]),
            (INVOICE_STATE, aware.header),
            (INVOICE_LINE_STATE, aware_line),
        ]
        await deliver(portal, chance, messages, (one, two), 0)
        posted = replace(paid, state="posted", applied_cents=4000, credited_cents=6000)
        rest = replace(aware_line, version=3, balance_cents=6000, payments=[LinePayment(payment_id=attempt_id, state="posted")])
        header = aware.again(status="due", pending_cents=0, balance_cents=6000, payable_cents=6000, payments=[posted]).header
        await deliver(portal, chance, [(INVOICE_STATE, header), (INVOICE_LINE_STATE, rest)], (two,), 6000)
        assert await open_cents(portal, two) == 6000, "what is really left can be paid"
