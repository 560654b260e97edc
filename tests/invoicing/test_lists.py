"""Lists by pages: every row once, in order, on and back, with a link as long as there is more."""

import re

import httpx
import pytest
from fastapi import FastAPI

from services.invoicing import api, pages
from services.invoicing.handlers import holds
from tests.invoicing.conftest import House
from tests.invoicing.made import claim, employer
from tests.staff import MOST_PAGES, SIZES, parts, signed_in, there_and_back, walk


async def every(http: httpx.AsyncClient, noun: str, name: str) -> list[str]:
    """What a list of the API holds, page by page."""
    found, params = list[str](), dict[str, str]()
    for _ in range(MOST_PAGES):
        body = (await http.get(f"/api/practices/p1/{noun}", params=params)).raise_for_status().json()
        found += [each[name] for each in body[noun]]
        if body["next"] is None:
            return found
        params = {"cursor": body["next"]}
    raise AssertionError("the list goes round in circles")


@pytest.mark.parametrize("size", SIZES)
async def test_accounts_by_name(app: FastAPI, house: House, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(pages.accounts, "PAGE", size)
    monkeypatch.setattr(api, "PAGE", size)
    for name, account_id in (("Lantern", "a4"), ("Ashford", "a3"), ("Lantern", "a2")):
        await house.account(employer(account_id, (f"e-{account_id}",), name=name))
    wanted = ["a3", "a1", "a2", "a4"]
    async with signed_in(app, "billing_admin") as http:
        assert await there_and_back(http, "/staff/p1/accounts", r'accounts/(a\d)"') == parts(wanted, size)
        assert await there_and_back(http, "/staff/p1/accounts?search=lant", r'accounts/(a\d)"') == parts(["a2", "a4"], size)
        assert await every(http, "accounts", "account_id") == wanted


@pytest.mark.req("EP-17", part="correct, write off, answer, re-drop")
@pytest.mark.parametrize("size", SIZES)
async def test_the_hold_queue_by_the_day_to_act(app: FastAPI, house: House, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(pages.holds, "PAGE", size)
    monkeypatch.setattr(api, "PAGE", size)
    wanted = ["c3", "c1", "c/2", "c4"]
    await house.bill(*(claim(each) for each in wanted))
    for days, held in ((0, ["c3"]), (1, ["c1", "c/2", "c4"])):
        await house.day(days)
        for claim_id in sorted(held):
            async with house.app.begin("p1") as tx:
                await holds.hold_by_staff(tx, house.clock.now, ("p1", claim_id), "Look at it", "dokafor")
    wanted = ["c3", *sorted(["c1", "c/2", "c4"], key=["c/2", "c1", "c4"].index)]
    async with signed_in(app, "billing_admin") as http:
        found = await there_and_back(http, "/staff/p1/holds", r'<span class="r1"><span class="fig">([^<]+)<')
        assert found == parts(wanted, size)
        assert "4 claims waiting for us" in (await http.get("/staff/p1/holds")).text
        assert await every(http, "holds", "claim_id") == wanted


@pytest.mark.parametrize("size", SIZES)
async def test_invoices_newest_first_and_what_waits_by_service_date(
    app: FastAPI, house: House, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(api, "PAGE", size)
    monkeypatch.setattr(pages.accounts, "DRAFTS", size)
    for n in range(4):
        await house.bill(claim(f"c{n}"))
        await house.run()
    await house.bill(*(claim(f"d{n}") for n in range(4)))
    async with signed_in(app, "billing_admin") as http:
        assert await every(http, "invoices", "number") == [126, 125, 124, 123]
        assert (await http.get("/api/practices/p1/invoices?status=late")).status_code == 422
        waiting = await walk(http, "/staff/p1/accounts/a1/invoices")
        assert [re.findall(r'"fig strong">(d\d)<', page.text) for page in waiting] == parts(["d0", "d1", "d2", "d3"], size)
        assert ("on the next invoice" in waiting[-1].text) and ("of these on the next invoice" in waiting[-1].text) == (size < 4)
        monkeypatch.setattr(pages.accounts, "INVOICES", size)
        assert ("The newest " in (await http.get("/staff/p1/accounts/a1/invoices")).text) == (size < 4)
