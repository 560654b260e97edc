"""The v1 interface, through the application on a real database, with tokens of the real sandbox processor."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from services.contracts import uploads
from shared.auth import unguarded
from shared.gateway import SandboxGateway, Unknown
from tests.contracts.conftest import Contracts, pdf, token
from tests.staff import signed_in

WHERE = "/v1/7/patients/p1/collectpayment/oneyear"


def form(card: str, **changes: str) -> dict[str, str]:
    return {"departmentid": "d1", "accountnumber": card, "email": "ana@example.org", "maxamount": "250.00"} | changes


@pytest.mark.req("CF-02", "CF-04", part="one-year contracts")
async def test_a_contract_is_made_listed_signed_and_read_back(app: FastAPI, desk: Contracts) -> None:
    async with signed_in(app, "front_desk") as http:
        terms = (await http.get("/v1/7/misc/oneyearcontractterms")).json()["terms"]
        assert "Saltmarsh" in terms and "5 days" in terms
        made = (await http.post(WHERE, data=form(await token(desk)))).json()
        assert (made["epaymentid"], made["contractid"], made["success"]) == (1, 1, "true")
        receipts = "/v1/7/patients/p1/receipts/1"
        copies = (await http.get(receipts, params={"merchantversion": "true", "customerversion": "true"})).json()
        assert "Signature" in copies["merchantversion"] and "Signature" not in copies["customerversion"] and "4242" in copies["customerversion"]
        assert (await http.get(f"{receipts}/signed")).status_code == 404
        signed = await http.post(f"{receipts}/signed", files={"attachmentcontents": ("a.pdf", pdf(), "application/pdf")})
        assert signed.json()["status"] == "active"
        assert (await http.get(f"{receipts}/signed")).content == pdf()
        listed = (await http.get(WHERE)).json()["contracts"][0]
        assert (listed["contractclass"], listed["maxamount"], listed["availablebalance"]) == ("ONEYEAR", "250.00", "250.00")


@pytest.mark.req("CF-02", part="one-year contracts")
async def test_departments_say_what_is_offered_there(app: FastAPI) -> None:
    async with signed_in(app, "front_desk") as http:
        found = (await http.get("/v1/7/departments")).json()["departments"][0]
    assert (found["oneyearcontractmax"], found["singleappointmentcontractmax"], found["ecommercecreditcardtypes"]) == ("1500.00", "150.00", ["VI"])


REFUSED = [
    ({"accountnumber": "4242424242424242"}, 400, "card number"),
    ({"accountnumber": "4242 4242 4242 4242"}, 400, "card number"),
    ({"accountnumber": "4242-4242-4242-42427"}, 400, "card number"),
    ({"accountnumber": "tok_nobody"}, 400, "does not know this token"),
    ({"accountnumber": ""}, 400, "token"),
    ({"accountnumber": "tok_\x01 /../"}, 400, "token"),
    ({"trackdata": "%B4242424242424242^"}, 400, "trackdata"),
    ({"cardsecuritycode": "123"}, 400, "cardsecuritycode"),
    ({"email": "no address"}, 400, "email"),
    ({"email": "ana@example.org, eve@example.org"}, 400, "email"),
    ({"email": "jürgen@exämple.de"}, 400, "email"),
    ({"email": "ana\x01@example.org"}, 400, "email"),
    ({"email": "ana\x00@example.org"}, 422, "email"),
    ({"departmentid": "d\x001"}, 422, "departmentid: Use plain text"),
    ({"departmentid": "d" * 301}, 422, "departmentid: Use up to 300 characters"),
    ({"maxamount": "0"}, 400, "maxamount"),
    ({"maxamount": "100000"}, 400, "maxamount"),
    ({"maxamount": "many"}, 400, "maxamount"),
    ({"departmentid": "nowhere"}, 404, "There is no department nowhere"),
    ({"departmentid": ""}, 400, "departmentid: This is required"),
]


@pytest.mark.req("CF-03", part="one-year contracts")
@pytest.mark.req("CF-10", part="the refusal")
@pytest.mark.parametrize(("changes", "status", "words"), REFUSED)
async def test_what_cannot_be_a_contract_is_refused_in_words(app: FastAPI, desk: Contracts, changes: dict[str, str], status: int, words: str) -> None:
    async with signed_in(app, "front_desk") as http:
        answer = await http.post(WHERE, data=form(await token(desk)) | changes)
    assert answer.status_code == status and words in answer.json()["detail"]
    assert await desk.rows("SELECT 1 FROM contracts") == []


@pytest.mark.req("CF-03", part="one-year contracts")
async def test_a_practice_that_nobody_knows_is_said_to_be_none(app: FastAPI, desk: Contracts) -> None:
    async with signed_in(app, "front_desk", practices=["463"]) as http:
        answer = await http.post(WHERE.replace("/7/", "/463/"), data=form(await token(desk)))
    assert answer.status_code == 404 and "There is no practice 463" in answer.json()["detail"]


@pytest.mark.req("CF-04", part="one-year contracts")
@pytest.mark.parametrize(("data", "status"), [(b"no PDF at all", 400), (b"", 400), (b"%PDF-1.4 broken", 400), (b"%PDF" + b"x" * 11_000_000, 413)])
async def test_an_upload_that_is_no_pdf_is_refused(app: FastAPI, desk: Contracts, data: bytes, status: int) -> None:
    await desk.make()
    async with signed_in(app, "front_desk") as http:
        answer = await http.post("/v1/7/patients/p1/receipts/1/signed", files={"attachmentcontents": ("a.pdf", data, "application/pdf")})
    assert answer.status_code == status
    assert [row.status for row in await desk.rows("SELECT status FROM contracts")] == ["awaiting_signature"]


SIGNED = "/v1/7/patients/p1/receipts/1/signed"


async def test_nothing_of_a_signed_receipt_is_read_from_who_may_not_send_it(app: FastAPI) -> None:
    read = []

    async def body() -> AsyncIterator[bytes]:
        read.append(True)
        yield b'--x\r\nContent-Disposition: form-data; name="attachmentcontents"; filename="a.pdf"\r\n\r\n' + pdf() + b"\r\n--x--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=x"}
    async with signed_in(app) as nobody, signed_in(app, "auditor") as auditor, signed_in(app, "front_desk") as desk:
        nobody.cookies.clear()
        answers = [await http.post(SIGNED, content=body(), headers=headers) for http in (nobody, auditor)]
        assert [each.status_code for each in answers] == [401, 403] and not read
        assert (await desk.post(SIGNED, content=body(), headers=headers)).status_code == 404 and read
        for wrong in ({"data": {"attachmentcontents": "x"}}, {"files": {"other": b"x"}}):
            answer = await desk.post(SIGNED, **wrong)  # type: ignore[arg-type]
            assert answer.status_code == 422 and "attachmentcontents is missing" in answer.json()["error"]


def upload() -> dict[str, Any]:
    return {"attachmentcontents": ("a.pdf", pdf(), "application/pdf")}


@pytest.mark.req("CF-04", part="one-year contracts")
async def test_others_are_answered_while_a_file_is_read(
    app: FastAPI, desk: Contracts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, there, slow = tmp_path / "gate", tmp_path / "there", tmp_path / "slow.py"
    os.mkfifo(gate)
    opened = os.open(gate, os.O_RDWR)  # never waits for the program
    slow.write_text(f"import sys; sys.stdin.buffer.read(); gate = open({str(gate)!r}); open({str(there)!r}, 'w'); gate.read(); print(1)")
    monkeypatch.setattr(uploads, "COUNT_PAGES", slow)
    async with signed_in(app, "front_desk") as http:
        await http.post(WHERE, data=form(await token(desk)))
        waiting = asyncio.create_task(http.post(SIGNED, files=upload()))
        try:
            async with asyncio.timeout(20):
                while not there.exists():  # the program has the file and reads the gate
                    await asyncio.sleep(0.02)
            assert (await http.get(WHERE)).json()["totalcount"] == 1
            assert not waiting.done()
        finally:
            os.close(opened)
        assert (await waiting).json()["status"] == "active"


@pytest.mark.req("CF-04", part="one-year contracts")
async def test_a_file_that_is_slow_to_read_is_refused_in_words(
    app: FastAPI, desk: Contracts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = tmp_path / "endless.py"
    endless.write_text("import signal; signal.pause()")
    monkeypatch.setattr(uploads, "COUNT_PAGES", endless)
    monkeypatch.setattr(uploads, "SECONDS", 0.1)
    await desk.make()
    async with signed_in(app, "front_desk") as http:
        answer = await http.post(SIGNED, files=upload())
    assert answer.status_code == 400 and "too long to read" in answer.json()["detail"]
    assert [row.status for row in await desk.rows("SELECT status FROM contracts")] == ["awaiting_signature"]


async def test_the_reader_of_a_file_has_no_secret_and_the_service_no_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await uploads.check_pdf(pdf(), asyncio.Semaphore(1))
    named = tmp_path / "named.py"
    named.write_text("import os, sys; sys.stdin.buffer.read(); print(0 if {'SESSION_SECRET', 'PATH', 'HOME'} & set(os.environ) else 1)")
    monkeypatch.setattr(uploads, "COUNT_PAGES", named)
    monkeypatch.setenv("SESSION_SECRET", "secret")
    await uploads.check_pdf(pdf(), asyncio.Semaphore(1))
    loaded = "import sys, services.contracts.main; sys.exit('pypdf' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], check=False).returncode == 0


@pytest.mark.req("CF-02", part="one-year contracts")
@pytest.mark.parametrize(
    "path", ["patients/p%001/receipts/1", "patients/p1/receipts/99999999999999999999", f"patients/{'p' * 65}/collectpayment/oneyear"]
)
async def test_an_address_that_can_name_nothing_is_not_found(app: FastAPI, path: str) -> None:
    async with signed_in(app, "front_desk") as http:
        answer = await http.get(f"/v1/7/{path}")
    assert answer.status_code == 404 and answer.json()["detail"]


@pytest.mark.req("PF-08")
async def test_every_route_names_who_may_use_it_and_a_reader_may_not_write(app: FastAPI, desk: Contracts) -> None:
    assert unguarded(app) == []
    async with signed_in(app, "auditor") as http:
        assert (await http.post(WHERE, data=form(await token(desk)))).status_code == 403
    async with signed_in(app, "front_desk", practices=["8"]) as http:
        assert (await http.get(WHERE)).status_code == 403


@pytest.mark.req("CF-05")
async def test_staff_see_an_agreement_and_cancel_it_with_a_reason(app: FastAPI, desk: Contracts) -> None:
    await desk.sign(await desk.make(), pdf())
    async with signed_in(app, "front_desk") as http:
        page = await http.get("/staff/7/agreements/1")
        assert page.status_code == 200 and "Ana Diaz" in page.text
        empty = await http.post("/staff/7/agreements/1/cancel", data={"reason": " "})
        assert empty.status_code == 422 and "Enter why" in empty.text
        done = await http.post("/staff/7/agreements/1/cancel", data={"reason": "asked to"})
        assert "Nothing more is charged" in done.text
        again = await http.post("/staff/7/agreements/1/cancel", data={"reason": "twice"})
        assert again.status_code == 422
        assert "Card agreements" in (await http.get("/staff/7/agreements", params={"status": "cancelled"})).text


@pytest.mark.req("CF-02", part="one-year contracts")
async def test_a_contract_is_made_once_per_key_and_another_body_under_it_is_refused(
    app: FastAPI, desk: Contracts, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = {"Idempotency-Key": "check-in 1"}
    asked = form(await token(desk))
    async with signed_in(app, "front_desk") as http:
        first = await http.post(WHERE, data=asked, headers=key)
        other = await http.post(WHERE, data=asked | {"maxamount": "251.00"}, headers=key)
        elsewhere = await http.post(f"{WHERE}/a1", data=asked, headers=key)
        assert (await http.post(WHERE, data=asked)).status_code == 409  # without the key it is a second contract, which this patient cannot have

        async def away(*_: Any) -> Any:
            raise Unknown

        monkeypatch.setattr(SandboxGateway, "card", away)
        again = await http.post(WHERE, data=asked, headers=key)
    assert (again.status_code, again.json()) == (first.status_code, first.json()) == (200, first.json())
    assert other.status_code == elsewhere.status_code == 422 and "new key" in other.json()["detail"]
    assert len(await desk.rows("SELECT 1 FROM contracts")) == 1


async def test_a_silent_processor_makes_no_contract(app: FastAPI, desk: Contracts, monkeypatch: pytest.MonkeyPatch) -> None:
    card = await token(desk)

    async def silent(*_: Any, **__: Any) -> Any:
        raise httpx.ReadTimeout("silent")

    monkeypatch.setattr(httpx.AsyncClient, "request", silent)
    transport = httpx.ASGITransport(app)
    async with signed_in(app, "front_desk") as http:
        request = http.build_request("POST", "http://contracts" + WHERE, data=form(card))
        answer = await transport.handle_async_request(request)
    assert answer.status_code == 503
