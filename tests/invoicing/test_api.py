"""The API and papers, through the application on a real database, with tokens of programs."""

import logging
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from services.invoicing import papers
from services.invoicing.papers import print_next
from services.invoicing.store import practices
from tests.invoicing.conftest import House
from tests.invoicing.made import claim
from tests.shared.test_pdf import png
from tests.staff import signed_in

ACCOUNT: dict[str, Any] = {
    "name": "Kutch Paper Mills",
    "address": {"line1": "404 Cole Walk", "city": "Boston", "state": "MA", "zip": "02108"},
    "payer_ids": ["e2"],
    "frequency": "daily",
}


class Provider:
    """Says that every token is the demo program's, with all that the tests need."""

    async def verify(self, token: str, audience: str) -> dict[str, str]:
        return {"client_id": "program", "scope": token.replace(",", " "), "practices": "*"}


def program(app: FastAPI, scopes: str) -> httpx.AsyncClient:
    app.state.auth = replace(app.state.auth, provider=Provider())
    headers = {"Authorization": f"Bearer {scopes}", "Accept": "application/json"}
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://invoicing", headers=headers)


@pytest.mark.req("EP-01", part="all but send corrected invoices")
async def test_a_program_creates_reads_and_edits_accounts_by_version(app: FastAPI) -> None:
    async with program(app, "accounts:read,accounts:write") as client:
        made = await client.post("/api/practices/p1/accounts", json=ACCOUNT)
        assert (made.status_code, made.headers["etag"], made.json()["next_run_on"]) == (201, '"1"', "2026-11-04")
        path = f"/api/practices/p1/accounts/{made.json()['account_id']}"
        assert (await client.put(path, json=ACCOUNT)).status_code == 428
        edited = await client.put(path, json=ACCOUNT | {"net_days": 45}, headers={"If-Match": '"1"'})
        assert (edited.status_code, edited.json()["version"]) == (200, 2)
        for version, named in enumerate([{"reissue_restarts_terms": True}, {"net_days": 60}, {"reissue_restarts_terms": False}], 2):
            edited = await client.put(path, json=ACCOUNT | named, headers={"If-Match": f'"{version}"'})
            assert edited.json()["reissue_restarts_terms"] == (version < 4)
        assert (await client.put(path, json=ACCOUNT, headers={"If-Match": '"1"'})).status_code == 412
        wrong = await client.post("/api/practices/p1/accounts", json=ACCOUNT | {"frequency": "monthly", "month_day": 31, "payer_ids": ["e9"]})
        assert wrong.status_code == 422 and "Choose the day of the monthly run" in wrong.json()["detail"]
        for named in ({"name": "Kutch\nPaper"}, {"po_number": "7\u2028"}, {"address": ACCOUNT["address"] | {"line2": "\x07"}}):
            wrong = await client.post("/api/practices/p1/accounts", json=ACCOUNT | {"payer_ids": ["e9"]} | named)
            assert wrong.status_code == 422 and "Use plain characters on one line" in wrong.json()["detail"]
        assert {each["name"] for each in (await client.get("/api/practices/p1/accounts")).json()["accounts"]} == {"Kutch Paper Mills", "Kuvalis"}
    async with program(app, "accounts:read") as client:
        assert (await client.post("/api/practices/p1/accounts", json=ACCOUNT)).status_code == 403


@pytest.mark.req("EP-01", part="all but send corrected invoices")
async def test_an_account_is_created_once_per_key(app: FastAPI, house: House) -> None:
    key, path = {"Idempotency-Key": "k1"}, "/api/practices/p1/accounts"
    async with program(app, "accounts:write") as client:
        wrong = await client.post(path, json=ACCOUNT | {"payer_ids": ["e1"]}, headers=key)
        assert wrong.status_code == 422, "somebody else has that payer, and the key is still to be had"
        made, again = [await client.post(path, json=ACCOUNT, headers=key) for _ in range(2)]
        assert (made.status_code, made.headers["etag"]) == (201, '"1"')
        assert (again.status_code, again.headers["etag"], again.json()) == (201, '"1"', made.json())
        assert (await client.post(path, json=ACCOUNT | {"name": "Another"}, headers=key)).status_code == 422
        assert (await client.post(path, json=ACCOUNT)).status_code == 422, "without a key the payer is taken"
    assert await house.one("SELECT count(*) FROM account") == 2


@pytest.mark.req("EP-32", part="all but send corrected invoices")
async def test_run_now_with_the_same_key_bills_once(app: FastAPI, house: House) -> None:
    await house.bill(claim())
    async with program(app, "billing:run") as client:
        assert (await client.post("/api/practices/p1/runs", json={})).status_code == 400
        first = await client.post("/api/practices/p1/runs", json={}, headers={"Idempotency-Key": "k1"})
        await house.bill(claim("c2"))
        again = await client.post("/api/practices/p1/runs", json={}, headers={"Idempotency-Key": "k1"})
        assert first.json() == again.json() and first.json()["invoices"][0]["number"] == "000123"
        unknown = await client.post("/api/practices/p1/runs", json={"account_ids": ["none"]}, headers={"Idempotency-Key": "k2"})
        assert unknown.status_code == 409 and "There is no account none" in unknown.json()["detail"]


@pytest.mark.req("EP-17", part="correct, write off, answer, re-drop")
async def test_a_program_works_a_case_once_per_key(app: FastAPI, house: House) -> None:
    await house.bill(claim())
    await house.run()
    await house.dispute()
    body = {"corrections": [{"charge_id": "c1-1", "amount_cents": 14500}], "answer": "Done"}
    async with program(app, "holds:work") as client:
        assert [each["claim_id"] for each in (await client.get("/api/practices/p1/holds")).json()["holds"]] == ["c1"]
        for _ in range(2):
            answer = await client.post("/api/practices/p1/claims/c1/redrop", json=body, headers={"Idempotency-Key": "k"})
            assert (answer.status_code, answer.json()) == (200, {"claim_id": "c1"})
        answer = await client.post("/api/practices/p1/claims/c1/redrop", json=body, headers={"Idempotency-Key": "other"})
        assert answer.status_code == 409
        assert (await client.post("/api/practices/p1/claims/c1/holds", json={"reason": "Look again"})).status_code == 204
    assert await house.one("SELECT max(revision) FROM claim") == 1


@pytest.mark.req("EP-27")
async def test_a_sending_is_printed_once_and_served_to_staff_and_portal(app: FastAPI, house: House) -> None:
    await house.bill(claim())
    await house.run()
    invoice_id = (await house.invoice()).invoice_id
    async with signed_in(app, "auditor") as browser:
        on_demand = await browser.get(f"/staff/p1/invoices/{invoice_id}/1.pdf")
    assert await print_next(house.worker) == 0
    async with program(app, "invoices:read") as client:
        for_portal = await client.get(f"/api/practices/p1/invoices/{invoice_id}/issues/1.pdf")
        assert (await client.get(f"/api/practices/p1/invoices/{invoice_id}/issues/2.pdf")).status_code == 404
    assert on_demand.content.startswith(b"%PDF") and on_demand.content == for_portal.content
    assert 'filename="invoice-000123-1.pdf"' in for_portal.headers["content-disposition"]
    await house.bill(claim("c2"))
    await house.run()
    assert await print_next(house.worker) == 1


@pytest.mark.req("EP-27")
async def test_a_sending_that_cannot_be_printed_holds_up_no_other(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for claim_id in ("c1", "c2", "c3"):
        await house.bill(claim(claim_id))
        await house.run()
    async with house.worker.begin() as tx:
        await tx.execute(text("UPDATE issue SET frozen = '{}' WHERE invoice_id <> (SELECT max(invoice_id) FROM issue)"))
    monkeypatch.setattr(papers, "BATCH", 1)
    assert (await print_next(house.worker), await print_next(house.worker)) == (1, 0)
    assert await house.one("SELECT count(*) FROM issue WHERE document_id IS NULL") == 2 and "cannot be printed" in caplog.text


@pytest.mark.req("EP-27")
async def test_an_invoice_whose_logo_is_broken_is_printed_without_it(house: House, caplog: pytest.LogCaptureFixture) -> None:
    await house.bill(claim())
    await house.run()
    async with house.worker.begin() as tx:
        logo_id = await practices.add_document(tx, "p1", "logo.png", "image/png", png()[:40])
        broken = text("UPDATE issue SET frozen = jsonb_set(frozen, '{practice,brand,logo_id}', to_jsonb(CAST(:logo_id AS text)))")
        await tx.execute(broken, {"logo_id": logo_id})
    with caplog.at_level(logging.WARNING):
        assert await print_next(house.worker) == 1
    assert "a paper of invoice is printed without its logo" in caplog.text
