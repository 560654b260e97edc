"""Staff pages, through the application on a real database, signed in as people are."""

import re

import httpx
import pytest
from fastapi import FastAPI

from services.invoicing import pages
from services.invoicing.handlers import holds
from shared.auth import unguarded
from shared.keyset import Cursor, encode_cursor
from tests.invoicing.conftest import House
from tests.invoicing.made import claim
from tests.shared.test_logo import sized
from tests.shared.test_pdf import png
from tests.staff import signed_in, walk

DETAILS = {"name": "Kutch", "line1": "404 Cole Walk", "city": "Boston", "state": "MA", "payer_ids": "e2"}
BILLING = {"net_days": "30", "frequency": "weekly", "weekday": "0", "month_day": "1", "overdue_again_days": "60"}


@pytest.mark.req("PF-08")
def test_every_route_names_who_may_use_it(app: FastAPI) -> None:
    assert unguarded(app) == []


async def test_a_wrong_address_leads_back_to_the_first_page(app: FastAPI) -> None:
    async with signed_in(app, "poster") as browser:
        answer = await browser.get("/nowhere")
        assert answer.status_code == 404 and '<a class="btn btn-quiet" href="/">Go to the first page</a>' in answer.text
        assert str((await browser.get("/")).url).startswith("http://invoicing/staff")


@pytest.mark.parametrize("address", ["invoices", "holds", "settings", "accounts/a1"])
async def test_an_unknown_practice_is_not_found(app: FastAPI, address: str) -> None:
    async with signed_in(app, "billing_admin", "practice_admin") as browser:
        assert (await browser.get(f"/staff/nowhere/{address}")).status_code == 404
        assert (await browser.post("/staff/nowhere/invoices/run")).status_code == 404
        assert (await browser.post("/staff/nowhere/settings", data={"display_name": "X", "colour": "#0B5F6B"})).status_code == 404
        key = {"Idempotency-Key": "k"}
        assert (await browser.post("/api/practices/nowhere/runs", json={}, headers=key)).status_code == 404
        assert (await browser.post("/api/practices/nowhere/claims/c1/redrop", json={}, headers=key)).status_code == 404


async def test_a_later_page_whose_rows_are_gone_leads_to_the_first(app: FastAPI) -> None:
    async with signed_in(app, "billing_admin") as browser:
        past = await browser.get("/staff/p1/accounts", params={"search": "lant", "cursor": encode_cursor(Cursor(("~", "")))})
        assert "Nothing further" in past.text and 'href="/staff/p1/accounts?search=lant&amp;">First accounts' in past.text
        past = await browser.get("/staff/p1/invoices", params={"cursor": encode_cursor(Cursor((0,)))})
        assert "Nothing further" in past.text and "No invoices yet" not in past.text


@pytest.mark.req("PF-08")
async def test_a_role_that_may_not_is_refused_in_words(app: FastAPI) -> None:
    async with signed_in(app, "poster") as browser:
        assert (await browser.get("/staff/p1/accounts")).status_code == 200
        answer = await browser.get("/staff/p1/holds")
        assert answer.status_code == 403 and "Your role does not allow this" in answer.text
    async with signed_in(app, "billing_admin", practices=["p2"]) as browser:
        assert (await browser.get("/staff/p1/accounts")).status_code == 403


@pytest.mark.req("EP-01", part="all but send corrected invoices")
async def test_staff_create_and_edit_an_account(app: FastAPI, house: House) -> None:
    async with signed_in(app, "billing_admin") as browser:
        answer = await browser.post("/staff/p1/accounts", data=DETAILS | BILLING | {"net_days": "x", "city": ""})
        assert answer.status_code == 422 and "Enter the city" in answer.text and "Enter a whole number, 0 to 365" in answer.text
        answer = await browser.post("/staff/p1/accounts", data=DETAILS | BILLING | {"name": "Kutch\nPaper", "city": "x" * 201})
        assert answer.status_code == 422 and '<a href="#f-name">Use plain characters on one line' in answer.text
        assert '<a href="#f-city">Use up to 200 characters' in answer.text
        answer = await browser.post("/staff/p1/accounts", data=DETAILS | BILLING | {"payer_ids": "e1"})
        assert answer.status_code == 422 and "Payer id e1 belongs to Kuvalis" in answer.text
        answer = await browser.post("/staff/p1/accounts", data=DETAILS | BILLING)
        assert answer.status_code == 200 and "Kutch is saved." in answer.text
        page = str(answer.url.path)
        answer = await browser.post(page, data=DETAILS | {"version": "1", "name": "Kutch Mills"})
        assert "Saved." in answer.text and "Kutch Mills" in answer.text
        answer = await browser.post(f"{page}/billing", data=BILLING | {"version": "1", "net_days": "45"})
        assert answer.status_code == 422 and "Somebody changed this account" in answer.text
        answer = await browser.post(f"{page}/billing", data=BILLING | {"version": "2", "net_days": "45", "mask_birth_date": "yes"})
        assert answer.status_code == 200
    states = (await house.events())["account.state"]
    assert [(state.version, state.name, state.net_days, state.mask.birth_date) for state in states] == [
        (1, "Kutch", 30, False),
        (2, "Kutch Mills", 30, False),
        (3, "Kutch Mills", 45, True),
    ]


@pytest.mark.req("EP-32", part="all but send corrected invoices")
async def test_staff_see_the_next_run_leave_a_claim_out_and_run_an_account(app: FastAPI, house: House) -> None:
    await house.bill(claim("c1"), claim("c2"), claim("c3", payer="nobody"))
    async with signed_in(app, "billing_admin") as browser:
        answer = await browser.post("/staff/p1/accounts/a1/leave-out", data={"claim_id": "c2", "out": "yes"})
        assert "Not billed: left out by staff" in answer.text and "1 claim on the next invoice" in answer.text
        answer = await browser.post("/staff/p1/accounts/a1/run")
        assert "Invoice 000123 is sent." in answer.text and "$185.00" in answer.text
        answer = await browser.post("/staff/p1/invoices/run")
        assert "Nothing to bill." in answer.text
        answer = await browser.get("/staff/p1/unpaid")
        assert "nobody" in answer.text and "c3" in answer.text and "c2" not in answer.text
        listed = await browser.get("/staff/p1/invoices", params={"status": "due", "number": "123"})
        assert "000123" in listed.text
        assert "No invoice matches" in (await browser.get("/staff/p1/invoices", params={"status": "closed"})).text


@pytest.mark.req("EP-12")
@pytest.mark.req("BX-07", part="the list of entries")
async def test_an_invoice_page_leads_from_its_total_to_what_is_payable(app: FastAPI, house: House) -> None:
    await house.bill(claim("c1"), claim("c/2"))
    await house.run()
    await house.dispute()
    invoice_id = (await house.invoice()).invoice_id
    async with signed_in(app, "auditor") as browser:
        answer = await browser.get(f"/staff/p1/invoices/{invoice_id}")
        assert "In-Review" in answer.text and "$185.00" in answer.text and "Ana Diaz" in answer.text
        answer = await browser.get(f"/staff/p1/invoices/{invoice_id}/claims/c%2F2")
        assert answer.status_code == 200 and "Claim c/2" in answer.text
        assert (await browser.get("/staff/p1/invoices/none")).status_code == 404


@pytest.mark.req("PF-08")
@pytest.mark.parametrize(("role", "reads"), [("auditor", True), ("billing_admin", True), ("poster", False), ("front_desk", False)])
async def test_what_was_written_about_a_dispute_is_shown_to_who_may_read_holds(app: FastAPI, house: House, role: str, reads: bool) -> None:
    await house.bill(claim())
    await house.run()
    await house.dispute()
    async with signed_in(app, role) as browser:
        shown = await browser.get(f"/staff/p1/invoices/{(await house.invoice()).invoice_id}/claims/c1")
        case = await browser.get("/staff/p1/holds/c1")
    assert shown.status_code == 200 and ("Contracted rate is 165.00" in shown.text) == ("History" in shown.text) == (case.status_code == 200) == reads


@pytest.mark.req("EP-28")
@pytest.mark.req("EP-17", part="correct, write off, answer, re-drop")
async def test_a_case_of_a_later_page_of_the_queue_stays_on_that_page(app: FastAPI, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages.holds, "PAGE", 1)
    await house.bill(claim("c1"), claim("c2"), claim("c3"))
    for claim_id in ("c1", "c2", "c3"):
        async with house.app.begin("p1") as tx:
            await holds.hold_by_staff(tx, house.clock.now, ("p1", claim_id), "Look at it", "dokafor")

    def queued(answer: httpx.Response) -> list[str]:
        return re.findall(r'<span class="r1"><span class="fig">([^<]+)<', answer.text)

    async with signed_in(app, "billing_admin") as browser:
        second = (await walk(browser, "/staff/p1/holds"))[1]
        assert queued(second) == ["c2"]
        cursor = re.search(r'name="cursor" value="([^"]+)"', second.text)
        assert cursor
        form = {"charge-c2-1": "80.00", "cursor": cursor[1]}
        shown = await browser.post("/staff/p1/holds/c2", data=form | {"do": "show"})
        wrong = await browser.post("/staff/p1/holds/c2", data=form | {"do": "keep", "charge-c2-1": "much"})
        kept = await browser.post("/staff/p1/holds/c2", data=form | {"do": "keep"})
        assert wrong.status_code == 422 and "Saved." in kept.text
        assert [queued(each) for each in (shown, wrong, kept)] == [["c2"]] * 3
        done = await browser.post("/staff/p1/holds/c2", data=form | {"do": "redrop"})
        assert "Claim c2 is re-dropped." in done.text and queued(done) == ["c3"]
        refused = await browser.post("/staff/p1/holds/c2", data=form | {"do": "redrop"})
        assert refused.status_code == 422 and queued(refused) == ["c3"]


@pytest.mark.req("EP-17", part="correct, write off, answer, re-drop")
@pytest.mark.parametrize("meanwhile", ["billed", "held"])
@pytest.mark.parametrize("do", ["redrop", "keep", "show"])
async def test_a_case_that_changed_since_it_was_opened_is_looked_at_again(app: FastAPI, house: House, meanwhile: str, do: str) -> None:
    await house.bill(claim("c1"))
    async with house.app.begin("p1") as tx:
        await holds.hold_by_staff(tx, house.clock.now, ("p1", "c1"), "Look at it", "dokafor")
    async with signed_in(app, "billing_admin") as browser:

        def form(answer: httpx.Response) -> dict[str, str]:
            return dict(re.findall(r'name="(seen|charge-c1-1)"[^>]* value="([^"]*)"', answer.text))

        opened = form(await browser.get("/staff/p1/holds/c1"))
        if meanwhile == "billed":
            await house.bill(claim("c1", version=2, cents=15000))
        else:
            async with house.app.begin("p1") as tx:
                await holds.hold_by_staff(tx, house.clock.now, ("p1", "c1"), "And at that", "lpark")
        await house.events()
        refused = await browser.post("/staff/p1/holds/c1", data=opened | {"do": do})
        assert refused.status_code == 422 and "changed since you opened it" in refused.text
        assert not await house.events()
        again = form(refused)
        assert again["charge-c1-1"] == ("150.00" if meanwhile == "billed" else "185.00")
        assert (await browser.post("/staff/p1/holds/c1", data=again | {"do": do})).status_code == 200
    assert "claim.corrected.state" not in await house.events()


@pytest.mark.req("EP-17", part="correct, write off, answer, re-drop")
async def test_a_decision_on_a_case_that_changes_at_that_moment_is_refused(house: House) -> None:
    await house.bill(claim("c1"))
    async with house.app.begin("p1") as tx:
        await holds.hold_by_staff(tx, house.clock.now, ("p1", "c1"), "Look at it", "dokafor")
    for decide in (holds.redrop, holds.correct):
        with pytest.raises(holds.CaseChanged):
            async with house.app.begin("p1") as tx:
                await decide(tx, house.clock.now, ("p1", "c1"), holds.Decision(seen="1.0.0"), "dokafor")


@pytest.mark.req("PF-08", part="the auditor reads")
async def test_an_auditor_reads_the_hold_queue_and_decides_nothing(app: FastAPI, house: House) -> None:
    await house.bill(claim("c1", cents=(10000, 8500)))
    await house.run()
    await house.dispute()
    async with signed_in(app, "auditor") as browser:
        answer = await browser.get("/staff/p1/holds/c1")
        assert "The charge is not the rate agreed in the contract." in answer.text and "100.00" in answer.text
        assert "Save and re-drop" not in answer.text and "<input" not in answer.text.split("<main", 1)[1]
        assert (await browser.post("/staff/p1/holds/c1", data={"do": "redrop"})).status_code == 403


@pytest.mark.req("EP-17", part="correct, write off, answer, re-drop")
async def test_staff_work_a_case_to_its_end(app: FastAPI, house: House) -> None:
    await house.bill(claim("c1", cents=(10000, 8500)))
    await house.run()
    await house.dispute()
    await house.events()
    form = {"charge-c1-1": "80.00", "charge-c1-2": "85.00", "write_off": "", "reason": "", "answer": "You are right"}
    async with signed_in(app, "billing_admin") as browser:
        answer = await browser.get("/staff/p1/holds")
        assert "The charge is not the rate agreed in the contract." in answer.text and "Act by" in answer.text
        answer = await browser.post("/staff/p1/holds/c1", data=form | {"write_off": "500"})
        assert answer.status_code == 422 and "Enter 165.00 or less" in answer.text and "Choose a reason" in answer.text
        answer = await browser.post("/staff/p1/holds/c1", data=form | {"do": "show"})
        assert "165.00" in answer.text and not await house.events()
        answer = await browser.post("/staff/p1/holds/c1", data=form | {"do": "redrop", "write_off": "5", "reason": "Courtesy"})
        assert "Claim c1 is re-dropped." in answer.text and "Nothing is on hold" in answer.text
        answer = await browser.post("/staff/p1/holds/c1", data=form | {"do": "redrop"})
        assert answer.status_code == 422 and "is not on HOLD" in answer.text
    events = await house.events()
    assert events["claim.corrected.state"][0].total_cents == 16500
    assert [(each.charge_id, each.amount_cents) for each in events["claim.redropped"][0].write_offs] == [("c1-1", 500)]


@pytest.mark.req("EP-29")
async def test_staff_put_a_claim_on_hold(app: FastAPI, house: House) -> None:
    await house.bill(claim())
    await house.run()
    invoice_id = (await house.invoice()).invoice_id
    async with signed_in(app, "billing_admin") as browser:
        answer = await browser.post(f"/staff/p1/invoices/{invoice_id}/hold", data={"claim_id": "c1", "reason": " "})
        assert answer.status_code == 422 and "Say why the claim is put on hold" in answer.text
        answer = await browser.post(f"/staff/p1/invoices/{invoice_id}/hold", data={"claim_id": "c1", "reason": "Check the rate"})
        assert "Claim c1 is on hold." in answer.text and "In-Review" in answer.text


@pytest.mark.req("EP-19", part="settings with preview")
async def test_a_practice_admin_previews_and_publishes_name_and_look(app: FastAPI, house: House) -> None:
    form = {"version": "1", "display_name": "Saltmarsh Health", "colour": "#FFEE00", "logo_id": "", "logo_alt": "Waves"}
    async with signed_in(app, "practice_admin") as browser:
        answer = await browser.post("/staff/p1/settings", data=form | {"do": "preview"})
        assert "not published yet" in answer.text and "Saltmarsh Health" in answer.text
        assert not await house.events()
        assert "Enter a colour as #" in (await browser.post("/staff/p1/settings", data=form | {"colour": "red", "do": "save"})).text
        answer = await browser.post("/staff/p1/settings", data=form | {"do": "save"}, files={"file": ("l.gif", b"GIF89a")})
        assert answer.status_code == 422 and "Not taken: only PNG or JPEG" in answer.text
        answer = await browser.post("/staff/p1/settings", data=form | {"do": "save"}, files={"file": ("l.png", png() + b"0" * 5_000_000)})
        assert answer.status_code == 422 and "a logo may have up to 1 MB" in answer.text
        for broken in (png()[:40], png()[:8], b"\xff\xd8\xff" + b"0" * 30):
            answer = await browser.post("/staff/p1/settings", data=form | {"do": "save"}, files={"file": ("l.png", broken)})
            assert answer.status_code == 422 and '<a href="#f-file">Not taken: this file cannot be read as an image' in answer.text
        answer = await browser.post("/staff/p1/settings", data=form | {"do": "save"}, files={"file": ("l.png", sized(2001, 90))})
        assert answer.status_code == 422 and "up to 2000 pixels each way, this one has 2001 by 90" in answer.text
        answer = await browser.post("/staff/p1/settings", data=form | {"logo_alt": "", "do": "save"}, files={"file": ("l.png", png())})
        assert answer.status_code == 422 and '<a href="#f-logo_alt">Describe the logo in a few words' in answer.text
        assert await house.one("SELECT count(*) FROM logo") == 0
        for name in ("Salt\nmarsh", "x" * 121):
            answer = await browser.post("/staff/p1/settings", data=form | {"display_name": name, "do": "save"})
            assert answer.status_code == 422 and '<a href="#f-display_name">Enter the name as up to 120 plain characters' in answer.text
        answer = await browser.post("/staff/p1/settings", data=form | {"do": "save"}, files={"file": ("l.png", png())})
        assert "Published." in answer.text
        state = (await house.events())["practice.state"][0]
        assert (state.version, state.display_name, state.brand.accent_on) == (2, "Saltmarsh Health", "#16202B")
        logo = await browser.get(f"/staff/p1/logos/{state.brand.logo_id}")
        assert logo.content == png() and logo.headers["content-type"] == "image/png"
        answer = await browser.post("/staff/p1/settings", data=form | {"do": "save"})
        assert answer.status_code == 422 and "Somebody changed these settings" in answer.text
