"""Mailing the customer's copies of an agreement and of its receipt, through the application on a real database (CF-02, CF-04)."""

import json
from typing import Any

import pytest
from fastapi import FastAPI

from services.contracts.domain.contract import Refused, Status, check_agreement
from services.contracts.handlers import contracts
from shared.events.contracts import COPY_REQUESTED
from shared.sealing import open_sealed
from tests.contract.test_topics import wrong
from tests.contracts.conftest import Contracts, pdf
from tests.staff import signed_in

AGREEMENT = "/v1/7/patients/p1/collectpayment/oneyear/1/emailagreement"
RECEIPT = "/v1/7/patients/p1/receipts/1/email"
FORM = {"departmentid": "d1", "email": " grandma@example.org "}


@pytest.mark.req("CF-02", "CF-04", part="one-year contracts")
@pytest.mark.parametrize(("path", "copy"), [(AGREEMENT, "agreement"), (RECEIPT, "receipt")])
async def test_a_copy_is_asked_for_as_its_schema_says_with_nobody_named_in_the_open(app: FastAPI, desk: Contracts, path: str, copy: str) -> None:
    await desk.sign(await desk.make(), pdf())
    async with signed_in(app, "front_desk") as http:
        answer = await http.post(path, data=FORM)
        shown = (await http.get(RECEIPT.removesuffix("/email"), params={"customerversion": "true"})).json()["customerversion"]
    assert (answer.status_code, answer.json()) == (200, {"epaymentid": 1, "contractid": 1, "success": "true", "errortext": ""})
    (said,) = await desk.said(COPY_REQUESTED)
    assert (said.contract_id, said.contract_version, said.epayment_id, said.copy) == ("1", 2, 1, copy)
    assert open_sealed(desk.private, said.sealed) == {"to": "grandma@example.org", "name": "Ana Diaz"}
    assert len(said.terms) > 3 and all(f"<p>{paragraph}</p>" in shown for paragraph in said.terms)
    body = json.loads(COPY_REQUESTED.encode(said))
    assert wrong("contract.copy_requested", body) == []
    assert "Ana" not in str(body) and "example.org" not in str(body)
    assert [row.email for row in await desk.rows("SELECT email FROM contracts")] == ["ana@example.org"]


@pytest.mark.req("CF-02", part="one-year contracts")
async def test_a_repeat_under_one_key_is_one_mail_and_without_a_key_each_press_is_its_own(app: FastAPI, desk: Contracts) -> None:
    await desk.make()
    async with signed_in(app, "front_desk") as http:
        for path in (AGREEMENT, RECEIPT):
            first, again = [await http.post(path, data=FORM, headers={"Idempotency-Key": "k1"}) for _ in range(2)]
            assert (first.status_code, again.status_code) == (200, 200) and first.json() == again.json()
            other = await http.post(path, data=FORM | {"email": "eve@example.org"}, headers={"Idempotency-Key": "k1"})
            assert other.status_code == 422 and "new key" in other.json()["detail"]
        assert len(await desk.said(COPY_REQUESTED)) == 2
        for _ in range(2):
            assert (await http.post(RECEIPT, data=FORM)).status_code == 200
    assert len({said.request_id for said in await desk.said(COPY_REQUESTED)}) == 4


@pytest.mark.req("CF-02", "CF-04", part="one-year contracts")
async def test_of_an_ended_contract_the_receipt_is_mailed_and_the_agreement_not(app: FastAPI, desk: Contracts) -> None:
    made = await desk.make()
    async with desk.app.begin("7") as tx:
        await contracts.cancel(tx, desk.clock, "7", made.contract_id, "asked to")
    async with signed_in(app, "front_desk") as http:
        refused = await http.post(AGREEMENT, data=FORM, headers={"Idempotency-Key": "k1"})
        assert refused.status_code == 409 and "cancelled" in refused.json()["detail"]
        assert (await http.post(RECEIPT, data=FORM)).status_code == 200
    assert [said.copy for said in await desk.said(COPY_REQUESTED)] == ["receipt"]


@pytest.mark.req("CF-02", part="one-year contracts")
@pytest.mark.parametrize("status", Status)
def test_an_agreement_is_mailed_while_it_holds_or_waits_for_its_signature(status: Status) -> None:
    if status in (Status.AWAITING_SIGNATURE, Status.ACTIVE):
        check_agreement(status)
    else:
        with pytest.raises(Refused, match="its receipt instead"):
            check_agreement(status)


REFUSED: list[tuple[str, dict[str, str], int, str]] = [
    (AGREEMENT, {"email": ""}, 400, "email"),
    (AGREEMENT, {"email": "a@b@example.org"}, 400, "email"),
    (AGREEMENT, {"email": "a..b@example.org"}, 400, "email"),
    (AGREEMENT, {"email": "ana@example.org\r\nBcc: eve@example.org"}, 400, "email"),
    (AGREEMENT, {"email": "a" * 301}, 422, "email"),
    (AGREEMENT, {"departmentid": ""}, 400, "departmentid: This is required"),
    (AGREEMENT, {"departmentid": "nowhere"}, 404, "department"),
    (AGREEMENT.replace("p1", "p2"), {}, 404, "one-year contract"),
    (AGREEMENT.replace("/1/", "/2/"), {}, 404, "one-year contract"),
    (AGREEMENT.replace("/1/", "/one/"), {}, 404, "address"),
    (AGREEMENT.replace("/1/", "/0/"), {}, 404, "address"),
    (AGREEMENT.replace("/1/", "/99999999999999999999/"), {}, 404, "address"),
    (RECEIPT, {"email": "ana"}, 400, "email"),
    (RECEIPT, {"email": "ana@example.org;eve@example.org"}, 400, "email"),
    (RECEIPT, {"email": "ana\x00@example.org"}, 422, "email"),
    (RECEIPT.replace("p1", "p2"), {}, 404, "receipt"),
    (RECEIPT.replace("/1/", "/2/"), {}, 404, "receipt"),
    (RECEIPT.replace("p1", "p%001"), {}, 404, "address"),
]


@pytest.mark.req("CF-02", "CF-04", part="one-year contracts")
async def test_what_cannot_be_mailed_is_refused_in_words(app: FastAPI, desk: Contracts) -> None:
    await desk.make()
    async with signed_in(app, "front_desk") as http:
        for path, changes, status, words in REFUSED:
            answer = await http.post(path, data=FORM | changes)
            assert (answer.status_code, words in answer.json()["detail"]) == (status, True), (path, changes, answer.text)
        nothing: Any = await http.post(RECEIPT, json={"email": "ana@example.org"})
        assert nothing.status_code == 400 and "email" in nothing.json()["detail"]
        long = await http.post(RECEIPT, data=FORM, headers={"Idempotency-Key": "k" * 201})
        assert long.status_code == 400
    async with signed_in(app, "auditor") as http:
        assert (await http.post(RECEIPT, data=FORM)).status_code == 403
    assert await desk.said(COPY_REQUESTED) == []
