"""Lists by pages: every row once, in order, on and back, with a link as long as there is more."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from fastapi import FastAPI

from services.posting import pages, read
from shared.events.ingress import CLAIM_BILLED
from shared.events.portal import PAYMENT_CAPTURED
from tests.posting.conftest import DEPOSITED, INSURANCE, PATIENT, Posting, billed, captured
from tests.staff import SIZES, parts, signed_in, there_and_back

DEPOSIT = {"day": f"{DEPOSITED:%m/%d/%Y}", "amount": "0.00", "target": "0.00"}


@pytest.mark.parametrize("size", SIZES)
async def test_payment_batches_newest_first(app: FastAPI, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(read, "PAGE", size)
    async with signed_in(app, "poster") as http:
        for _ in range(4):
            await http.post("/staff/7/money/deposits/new", data=DEPOSIT)
        wanted = ["20004", "20003", "20002", "20001"]
        assert await there_and_back(http, "/staff/7/money?state=open", r">(200\d\d)</a>") == parts(wanted, size)


@pytest.mark.parametrize("size", SIZES)
async def test_transactions_of_a_batch_newest_first(app: FastAPI, posting: Posting, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(read, "PAGE", size)
    for n in range(4):
        await posting.give(PAYMENT_CAPTURED, replace(captured(f"p{n}", {"c9": 100}), record_number=f"P-{n}"))
    async with posting.worker.begin() as tx:
        batch_id = (await tx.exec_driver_sql("SELECT batch_id FROM payment_batches")).scalar_one()
    async with signed_in(app, "auditor") as http:
        found = await there_and_back(http, f"/staff/7/money/batches/{batch_id}", r">(P-\d)<")
    assert found == parts(["P-3", "P-2", "P-1", "P-0"], size)


@pytest.mark.parametrize("size", SIZES)
async def test_entries_of_a_claim_newest_first(app: FastAPI, posting: Posting, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(read, "PAGE", size)
    await posting.give(CLAIM_BILLED, billed("a/b c", cents=(1, 2, 3, 4)))
    async with signed_in(app, "auditor") as http:
        found = await there_and_back(http, "/staff/7/money/claims/a%2Fb%20c", r"\+0\.0(\d)<")
        assert (await http.get("/api/practices/7/claims/a%2Fb%20c/balances")).json()["open_cents"] == 10
    assert found == parts(["4", "3", "2", "1"], size)


@pytest.mark.req("RP-05", part="by claim")
async def test_claims_that_wait_for_their_insurance_stand_by_service_date_and_say_when_there_are_more(app: FastAPI, posting: Posting) -> None:
    first = date(2026, 10, 1)
    waiting = [
        replace(billed(f"w{n:02d}", 1, (100,), (INSURANCE, PATIENT)), service_date=first - timedelta(days=n)) for n in range(pages.WAITING - 1)
    ]
    more = "These have waited longest"
    async with signed_in(app, "poster") as http:
        await posting.give(CLAIM_BILLED, *waiting)
        made = await http.post("/staff/7/money/deposits/new", data=DEPOSIT)
        assert made.text.index(">w10<") < made.text.index(">w00<") < made.text.index(">c1<") and more not in made.text
        await posting.give(CLAIM_BILLED, replace(billed("w99", 1, (100,), (INSURANCE, PATIENT)), service_date=first))
        again = await http.get(str(made.url))
        assert ">c1<" not in again.text and more in again.text
