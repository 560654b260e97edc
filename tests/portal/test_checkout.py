"""The way from home to a receipt, through the pages as a browser without script takes it, with the real sandbox processor."""

from dataclasses import replace
from typing import Any

import pytest

from services.portal.papers import File, Papers
from shared import ids
from shared.events.invoicing import INVOICE_LINE_STATE, INVOICE_STATE, PRACTICE_STATE
from shared.events.portal import PAYMENT_CAPTURED, PAYMENT_FAILED
from tests.portal.conftest import DECLINED, LEE, Portal, authorised, enter_card, words
from tests.portal.made import invoice, practice
from tests.shared.test_pdf import png


@pytest.mark.req("EP-09", "EP-11", "EP-13", "EP-15", "EP-26")
async def test_a_cart_is_paid_from_home_to_the_receipt(portal: Portal):
    one, two = invoice(), invoice("i2", "100438", (5000,))
    await portal.show(one, two)
    async with portal.browser() as browser:
        home = await browser.get("/employerportal/")
        assert home.status_code == 200 and "100437" in home.text and "$215.00" in home.text
        opened = await browser.get("/employerportal/invoices/i1")
        assert opened.status_code == 200 and "Add $165.00 to cart" in words(opened)
        added = await browser.post("/employerportal/cart/add", data={"invoice": ["i1", "i2"]})
        assert added.status_code == 303
        cart = await browser.get("/employerportal/cart")
        assert "Total for 2 invoices $215.00" in words(cart)
        started = await browser.post("/employerportal/cart/pay", data={"once": ids.new()})
        back = await enter_card(started.headers["location"])
        confirm = await browser.get(back)
        assert "Visa ending 4242" in words(confirm) and "Pay $215.00" in confirm.text
        assert await portal.taken() == []
        submitted = await browser.post(back + "/confirm")
        on_its_way = await browser.get(submitted.headers["location"])
        receipt = await browser.get(on_its_way.headers["location"])
        assert "Payment received." in receipt.text and "P-000001" in receipt.text and "Schmeler" not in receipt.text
        paper = await browser.get(on_its_way.headers["location"].split("?")[0] + "/receipt.pdf")
        assert paper.content.startswith(b"%PDF") and "receipt-P-000001.pdf" in paper.headers["content-disposition"]
        home = await browser.get("/employerportal/")
        assert words(home).count("Pending") >= 2 and "Payment of 2 invoices is processing" in words(home)
        listed = await browser.get("/employerportal/payments")
        assert "P-000001" in listed.text and "100437, 100438" in listed.text
    [captured] = await portal.said(PAYMENT_CAPTURED)
    assert [(each.number, each.amount_cents, len(each.claims)) for each in captured.invoices] == [("100437", 16500, 2), ("100438", 5000, 1)]
    assert captured.record_number == "P-000001" and captured.amount_cents == 21500 and captured.card.last4 == "4242"
    assert [cents for _, cents in await portal.taken()] == [21500]


@pytest.mark.req("EP-15")
async def test_a_receipt_whose_logo_is_broken_is_printed_without_it(
    portal: Portal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*args: Any) -> File:
        return File(png()[:40], "image/png")

    monkeypatch.setattr(Papers, "logo", broken)
    plain = practice()
    await portal.give(PRACTICE_STATE, replace(plain, version=2, brand=replace(plain.brand, logo_id="l1", logo_alt="A marsh")))
    await portal.show(invoice())
    attempt_id = await authorised(portal, "i1")
    async with portal.browser() as browser:
        await browser.post(f"/employerportal/pay/{attempt_id}/confirm")
        paper = await browser.get(f"/employerportal/payments/{attempt_id}/receipt.pdf")
    assert paper.content.startswith(b"%PDF") and "a paper of receipt is printed without its logo" in caplog.text


@pytest.mark.req("EP-12", "EP-14")
async def test_a_paid_invoice_stays_pending_until_invoice_and_line_both_name_the_payment(portal: Portal):
    shown = invoice()
    await portal.show(shown)
    attempt_id = await authorised(portal, "i1")
    async with portal.browser() as browser:
        await browser.post(f"/employerportal/pay/{attempt_id}/confirm")
        newer = shown.again(last_billed_on=shown.header.last_billed_on)
        await portal.give(INVOICE_STATE, newer.header)  # newer, but names nothing
        assert await portal.value("SELECT count(*) FROM payment_marks") == 2
        assert "Pending" in words(await browser.get("/employerportal/invoices/i1"))
        named = newer.naming(attempt_id, "posted")
        await portal.give(INVOICE_STATE, named.header)
        assert await portal.value("SELECT count(*) FROM payment_marks") == 2
        await portal.give(INVOICE_LINE_STATE, *named.lines)
        assert await portal.value("SELECT count(*) FROM payment_marks") == 0
        assert "Closed" in words(await browser.get("/employerportal/invoices/i1"))


@pytest.mark.req("EP-13")
async def test_a_declined_card_changes_nothing_and_says_what_to_do(portal: Portal):
    await portal.show(invoice())
    async with portal.browser() as browser:
        await browser.post("/employerportal/cart/add", data={"only": "i1"})
        started = await browser.post("/employerportal/cart/pay", data={"once": ids.new()})
        back = await enter_card(started.headers["location"], DECLINED)
        said = words(await browser.get(back))
        assert "Nothing was charged. Try another card, or call the number on the back of this one." in said
        cart = await browser.get("/employerportal/cart")
        assert "$165.00" in cart.text
    [failed] = await portal.said(PAYMENT_FAILED)
    assert failed.reason == "declined" and await portal.taken() == []


@pytest.mark.req("EP-14")
async def test_the_second_of_two_people_is_told_who_pays_before_any_charge(portal: Portal):
    await portal.show(invoice())
    first, second = await authorised(portal, "i1"), await authorised(portal, "i1", here=LEE)
    await portal.faults(next=["lost"])
    async with portal.browser() as paula, portal.browser(LEE) as lee:
        await paula.post(f"/employerportal/pay/{first}/confirm")
        refused = await lee.post(f"/employerportal/pay/{second}/confirm")
        assert refused.headers["location"] == "/employerportal/cart"
        said = words(await lee.get("/employerportal/cart"))
    assert "Invoice 100437 left your cart." in said and "Paula Schaefer is paying it; you will not be charged for it." in said
    assert [key for key, _ in await portal.taken()] == [first]
    assert (await portal.gateway.ask(second)).state == "released"


@pytest.mark.req("EP-14")
async def test_pressing_pay_twice_charges_once(portal: Portal):
    await portal.show(invoice())
    async with portal.browser() as browser:
        await browser.post("/employerportal/cart/add", data={"only": "i1"})
        once = ids.new()
        pages = [(await browser.post("/employerportal/cart/pay", data={"once": once})).headers["location"] for _ in range(2)]
        assert pages[0] == pages[1]
        back = await enter_card(pages[0])
        await browser.get(back)
        for _ in range(2):
            await browser.post(back + "/confirm")
    assert len(await portal.taken()) == 1 and len(await portal.said(PAYMENT_CAPTURED)) == 1


@pytest.mark.req("EP-26")
async def test_a_changed_amount_is_shown_before_paying_and_refuses_the_old_one(portal: Portal):
    shown = invoice()
    await portal.show(shown)
    attempt_id = await authorised(portal, "i1")
    lower = shown.again(charged_cents=16000, balance_cents=16000, payable_cents=16000)
    changed = [shown.lines[0], shown.lines[1]]
    changed[1] = type(changed[1])(**{name: getattr(changed[1], name) for name in changed[1].__slots__} | {"version": 2, "balance_cents": 6000})
    await portal.give(INVOICE_STATE, lower.header)
    await portal.give(INVOICE_LINE_STATE, *changed)
    async with portal.browser() as browser:
        await browser.post(f"/employerportal/pay/{attempt_id}/confirm")
        said = words(await browser.get("/employerportal/cart"))
        assert "The amount of invoice 100437 changed from 165.00 to 160.00 since you added it." in said
    assert await portal.taken() == []


@pytest.mark.req("BX-03", part="the roles of EP-16")
async def test_a_viewer_sees_but_does_not_pay_or_dispute(portal: Portal):
    await portal.show(invoice())
    async with portal.browser() as browser:
        browser.headers["x-who"] = "person-1-viewer"
        assert "to cart" not in (await browser.get("/employerportal/invoices/i1")).text
        refused = await browser.post("/employerportal/cart/add", data={"only": "i1"})
        assert refused.status_code == 403 and "Your role can see this but not pay" in refused.text
        once = {"once": ids.new(), "reason": "WA"}
        assert (await browser.post("/employerportal/invoices/i1/claims/i1-1/dispute", data=once)).status_code == 403
        asked = await browser.get("/employerportal/invoices/i1/claims/i1-1/dispute")
        assert asked.status_code == 403 and "Your role can see this but not dispute" in asked.text
        assert "can see invoices but not pay them" in (await browser.get("/employerportal/cart")).text
