"""The read model and the pages on it: copies by version, lists with filter and pages, an invoice of 2,000 claims (EP-09, EP-11, EP-22)."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from services.portal.checkout import pay
from services.portal.checkout.captured import cut
from services.portal.invoices.words import ladder, story
from shared.auth import unguarded
from shared.events.invoicing import INVOICE_LINE_STATE, INVOICE_STATE, LineEntry
from shared.events.portal import PAYMENT_CAPTURED, PaidClaim
from shared.events.posting import CREDIT_STATE, CreditState
from shared.messages import Message
from shared.money import usd
from shared.outbox import LARGEST
from tests.portal.conftest import PAULA, Portal, authorised, words
from tests.portal.made import invoice


@pytest.mark.req("EP-22", part="by messages alone")
async def test_copies_are_the_newest_version_in_any_order_and_however_often(portal: Portal):
    old, new = invoice(), invoice().again(balance_cents=100, payable_cents=100)
    await portal.give(INVOICE_STATE, new.header, old.header, new.header)
    await portal.give(INVOICE_STATE, old.header)
    assert [tuple(row) for row in await portal.rows("SELECT version, balance_cents FROM invoices")] == [(2, 100)]
    gone: Any = Message(INVOICE_STATE, "7/i1", "e", portal.clock.business(), None, None)  # type: ignore[arg-type]
    async with portal.worker.begin() as tx:
        await portal.consumptions[INVOICE_STATE].handlers[INVOICE_STATE](tx, [gone])
    assert await portal.rows("SELECT 1 FROM invoices") == []


@pytest.mark.req("EP-09")
@pytest.mark.req("EP-33", part="kept and shown")
async def test_home_sums_open_invoices_less_credit_and_says_open_points_in_words(portal: Portal):
    await portal.show(
        invoice("i1", "100001", (10000,)),
        invoice("i2", "100002", (20000,), status="overdue", due_on=date(2026, 11, 14)),
        invoice("i3", "100003", (5000,), status="closed", balance_cents=0, paid_cents=5000, payable_cents=0),
    )
    await portal.give(
        CREDIT_STATE, CreditState(practice_id="7", holder="corporate:E", version=1, kind="corporate", payer_id="E", credit_cents=4000)
    )
    async with portal.browser() as browser:
        page = words(await browser.get("/employerportal/"))
    assert "Account balance $260.00" in page and "Credit −40.00" in page and "1 invoice is overdue" in page and "Overdue 6 days" in page


@pytest.mark.req("EP-09")
async def test_home_is_filtered_sorted_searched_and_paged(portal: Portal):
    first = date(2026, 1, 5)
    await portal.show(*(invoice(f"i{n:03d}", f"{100001 + n}", (1000 + n,), first + timedelta(days=n)) for n in range(60)))
    async with portal.browser() as browser:
        seen, address = [], "/employerportal/"
        while address:
            page = (await browser.get(address)).text
            seen += re.findall(r'class="fig strong" href="[^"]+">(\d+)<', page)
            address = page.split('rel="next"')[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&") if 'rel="next"' in page else ""
        assert seen == [str(100001 + n) for n in reversed(range(60))] and "60 invoices" in page
        searched = words(await browser.get("/employerportal/?q=100042"))
        assert "100042" in searched and "100041" not in searched
        cheapest = (await browser.get("/employerportal/?sort=balance&dir=up")).text
        assert cheapest.index("100001") < cheapest.index("100002") and 'aria-sort="ascending"' in cheapest
        between = words(await browser.get("/employerportal/?since=01/10/2026&until=01/11/2026"))
        assert "2 invoices" in between
        nothing = words(await browser.get("/employerportal/?status=overdue&since=09/01/2026"))
        assert "No invoice matches. Status Overdue, from Sep 1, 2026. Clear the filter" in nothing
        wrong = await browser.get("/employerportal/?since=tomorrow")
        assert wrong.status_code == 422 and "Enter a date as mm/dd/yyyy" in wrong.text
        assert (await browser.get("/employerportal/?at=broken")).status_code == 400


@pytest.mark.req("EP-09")
async def test_home_takes_two_queries_beside_its_frame(portal: Portal):
    await portal.show(*(invoice(f"i{n}", f"{100001 + n}") for n in range(30)))
    statements: list[str] = []
    engine = portal.web.state.service.app.engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda _c, _cursor, statement, *_: statements.append(statement))
    async with portal.browser() as browser:
        await browser.get("/employerportal/")
    asked = [each for each in statements if "set_config" not in each and "memberships" not in each]
    assert len(asked) == 2, asked


@pytest.mark.req("EP-11", "EP-13", "EP-14")
async def test_an_invoice_of_2000_claims_opens_page_by_page_and_is_paid(portal: Portal):
    large = invoice("big", "100777", tuple(1000 + n for n in range(2000)))
    await portal.give(INVOICE_STATE, large.header)
    for start in range(0, 2000, 500):
        await portal.give(INVOICE_LINE_STATE, *large.lines[start : start + 500])
    async with portal.browser() as browser:
        page = await browser.get("/employerportal/invoices/big")
        assert page.text.count("Action for claim") == 50 and "2,000 claims in all" in words(page)
        attempt_id = await authorised(portal, "big")
        done = await browser.post(f"/employerportal/pay/{attempt_id}/confirm")
        receipt = await browser.get(done.headers["location"])
        assert receipt.headers["location"].endswith("?paid=now")
    [captured] = await portal.said(PAYMENT_CAPTURED)
    assert len(captured.invoices[0].claims) == 2000 and captured.amount_cents == large.header.payable_cents == sum(range(1000, 3000))


@pytest.mark.req("EP-13")
async def test_a_payment_of_more_than_5000_claims_is_told_in_parts(portal: Portal):
    ones = [invoice(f"i{n}", f"{100001 + n}", (100,) * 1800) for n in range(3)]
    for one in ones:
        await portal.show(one)
    attempt_id = await authorised(portal, *(one.header.invoice_id for one in ones))
    async with portal.browser() as browser:
        await browser.post(f"/employerportal/pay/{attempt_id}/confirm")
    parts = await portal.said(PAYMENT_CAPTURED)
    assert [(each.part, each.parts) for each in parts] == [(1, 2), (2, 2)]
    claims = [claim.claim_id for each in parts for of in each.invoices for claim in of.claims]
    assert len(claims) == len(set(claims)) == 5400 and {each.amount_cents for each in parts} == {540000}


@pytest.mark.req("EP-13")
def test_a_part_of_a_payment_fits_on_its_topic_however_long_ids_are():
    def paid(n: int, width: int) -> PaidClaim:
        return PaidClaim(line_id="l" * 36, claim_id=f"{n:0{width}d}", claim_version=1, claim_revision=0, payer_id="é" * 64, amount_cents=10**9)

    for width in (4, 36, 64):
        parts = cut([paid(n, width) for n in range(5001)])
        assert [claim.claim_id for part in parts for claim in part] == [f"{n:0{width}d}" for n in range(5001)]
        assert all(len(PAYMENT_CAPTURED.encode(part)) < LARGEST - 100_000 for part in parts)


@pytest.mark.req("EP-13")
@pytest.mark.parametrize("limit", ["LARGEST_PAYMENT", "LARGEST_HEADS"])
async def test_a_cart_that_one_payment_cannot_name_is_refused_before_any_card_is_asked(
    portal: Portal, monkeypatch: pytest.MonkeyPatch, limit: str
):
    monkeypatch.setattr(pay, limit, 100)
    await portal.show(invoice())
    async with portal.browser() as browser:
        await browser.post("/employerportal/cart/add", data={"invoice": ["i1"]})
        answer = await browser.post("/employerportal/cart/pay", data={"once": "x"})
        assert answer.headers["location"].endswith("/employerportal/cart")
        assert "Too many claims for one payment." in (await browser.get(answer.headers["location"])).text


@pytest.mark.req("EP-11")
def test_the_ladder_leads_from_the_original_total_to_what_is_payable():
    state = invoice(
        charged_cents=16000, paid_cents=5000, adjusted_cents=500, transferred_in_cents=200, balance_cents=10700, held_cents=4000, payable_cents=6700
    ).header
    rows = ladder(state, 0, 6700, pending=False)
    assert [(label, amount) for label, amount, _ in rows] == [
        ("Invoice Total (original)", "165.00"),
        ("Corrections of charges", "−5.00"),
        ("Payments", "−50.00"),
        ("Transfers in", "+2.00"),
        ("Adjustments", "−5.00"),
        ("Remaining Total", "107.00"),
        ("In review", "−40.00"),
        ("Payable now", "$67.00"),
    ]


@pytest.mark.req("BX-07", part="the list of entries")
def test_the_story_of_a_claim_ends_at_its_balance_even_where_old_entries_are_left_out():
    def entry(n: int, kind: str, cents: int, group: str | None = None, code: str | None = None) -> LineEntry:
        return LineEntry(entry_id=f"e{n}", on=date(2026, 11, n), kind=kind, change_cents=cents, group=group, code=code, charge_id="i1-c1-1")

    line = replace(invoice().lines[0], balance_cents=3500, entries=[entry(9, "adjustment", -6500, "CO", "45"), entry(3, "charge", 10000)])
    rows, said = story(line)
    assert [(change, balance) for _, _, _, change, balance in rows] == [(10000, 10000), (-6500, 3500)]
    assert said == "No payments and no transfers on this claim. CO 45 means: the charge exceeds the agreed fee."
    cut, _ = story(replace(line, balance_cents=2500))
    assert cut[0][1] == "Before these entries" and usd(cut[-1][4]) == "25.00"


@pytest.mark.req("EP-23", part="without the staff preview")
async def test_every_route_names_its_guard(portal: Portal):
    assert unguarded(portal.web) == []


@pytest.mark.req("EP-26")
async def test_a_cart_belongs_to_one_person_and_account_and_keeps_nothing_that_is_closed(portal: Portal):
    shown = invoice()
    await portal.show(shown, invoice("i2", "100438"))
    async with portal.browser(PAULA) as browser:
        await browser.post("/employerportal/cart/add", data={"invoice": ["i1", "i2"]})
        await portal.give(INVOICE_STATE, shown.again(status="closed", balance_cents=0, payable_cents=0).header)
        assert "Cart, 1 invoice" in (await browser.get("/employerportal/help")).text
        said = words(await browser.get("/employerportal/cart"))
        assert "Invoice 100437 left your cart. Nothing is left to pay on it." in said and "Total for 1 invoice" in said
        assert "left your cart" not in words(await browser.get("/employerportal/cart"))
        removed = await browser.post("/employerportal/cart/remove", data={"only": "i2", "back": "https://elsewhere.example/"})
        assert removed.headers["location"] == "/employerportal/"


@pytest.mark.req("EP-09")
async def test_programs_read_the_same_invoices_page_by_page(portal: Portal):
    await portal.show(*(invoice(f"i{n:02d}", f"{100001 + n}", (1000,), date(2026, 1, 5) + timedelta(days=n)) for n in range(30)))
    auth = portal.web.state.auth
    person = {"sub": "x", "name": "A", "preferred_username": "a", "roles": ["auditor"], "practices": ["7"]}
    session = person | {"began": int(datetime.now(UTC).timestamp())}
    async with portal.browser() as client:
        client.headers["accept"] = "application/json"
        assert (await client.get("/api/practices/7/accounts/a1/invoices")).status_code == 401
        client.cookies.set(auth.cookie, str(auth.sessions.dumps(session)))
        first = (await client.get("/api/practices/7/accounts/a1/invoices")).json()
        rest = (await client.get("/api/practices/7/accounts/a1/invoices", params={"cursor": first["next"]})).json()
        assert [each["number"] for each in first["invoices"] + rest["invoices"]] == [str(100001 + n) for n in reversed(range(30))]
        assert first["account_balance_cents"] == 30000 and rest["next"] is None
        assert (await client.get("/api/practices/7/accounts/a1/invoices?status=late")).status_code == 422
        assert (await client.get("/api/practices/8/accounts/a1/invoices")).status_code == 403
