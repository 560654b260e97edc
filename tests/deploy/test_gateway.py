"""The sandbox card processor, driven through the adapter that the services use, and its page as a browser without JavaScript does."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from deploy.local import cards
from deploy.local.children import Process
from shared.gateway import Answer, Card, SandboxGateway, Unknown
from tests.deploy.conftest import SECRET

VISA, AMEX, SOFT, HARD, SLOW = (
    "4242 4242 4242 4242", "3782 822463 10005", "4000 0000 0000 9995", "4000 0000 0000 0002", "4000 0000 0000 0341")
BACK = "http://127.0.0.1:9/back?attempt=1"


def http(sandbox: SandboxGateway) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=sandbox._client.base_url, headers={"Authorization": f"Bearer {SECRET}"})


async def control(sandbox: SandboxGateway, **settings: Any) -> None:
    async with http(sandbox) as client:
        (await client.post("/control", json=settings)).raise_for_status()


async def token(sandbox: SandboxGateway, number: str = VISA) -> str:
    async with http(sandbox) as client:
        return str((await client.post("/tokens", json={"number": number, "exp_month": 4, "exp_year": 2031})).raise_for_status().json()["token"])


async def moved(sandbox: SandboxGateway, key: str) -> list[tuple[str, int]]:
    """What really moved under a key, by the ledger."""
    async with http(sandbox) as client:
        return [(e["kind"], e["amount_cents"]) for e in (await client.get("/ledger")).json()["entries"] if e["key"] == key]


async def fill(page: str, number: str, code: str = "123", expires: str = "04/31", name: str = "Paula Schaefer") -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.post(page, data={"number": number, "expires": expires, "code": code, "name": name})


async def authorised(sandbox: SandboxGateway, number: str = VISA, amount_cents: int = 35000) -> str:
    key = str(uuid4())
    page = await sandbox.start(key, amount_cents, BACK, "Invoice 000123", ["VI", "MC", "DS"])
    assert (await fill(page, number)).headers["location"] == BACK
    return key


async def until(sandbox: SandboxGateway, key: str, state: str) -> Answer:
    """Ask until the state is there, at most 5 seconds."""
    for _ in range(250):
        answer = await sandbox.ask(key)
        if answer.state == state:
            break
        await asyncio.sleep(0.02)
    assert answer.state == state
    return answer


async def test_a_card_is_authorised_on_the_page_and_captured_once_however_often_it_is_asked(sandbox: SandboxGateway) -> None:
    key = await authorised(sandbox)
    seen = await sandbox.ask(key)
    assert (seen.state, seen.amount_cents, seen.captured_cents, seen.card) == ("authorised", 35000, 0, Card("VI", "4242", 4, 2031))
    first = await sandbox.capture(key, 35000)
    assert first.state == "captured" and first.authorization_number and first.processor_ref
    assert await sandbox.capture(key, 35000) == first == await sandbox.ask(key)
    assert await moved(sandbox, key) == [("capture", 35000)]


async def test_a_key_that_was_released_can_never_be_charged_even_if_the_release_came_first(sandbox: SandboxGateway) -> None:
    key, card = str(uuid4()), await token(sandbox)
    assert (await sandbox.ask(key)).state == "unknown_key"
    assert (await sandbox.release(key)).state == "released"
    assert (await sandbox.charge(key, card, 4200)).state == "released"
    held = await authorised(sandbox)
    assert (await sandbox.release(held)).state == "released"
    assert (await sandbox.capture(held, 35000)).state == "released"
    assert await moved(sandbox, key) == await moved(sandbox, held) == []


async def test_a_release_after_the_capture_tells_that_it_came_too_late(sandbox: SandboxGateway) -> None:
    key = await authorised(sandbox)
    await sandbox.capture(key, 35000)
    assert (await sandbox.release(key)).state == "captured"


@pytest.mark.parametrize("number, kind", [(SOFT, "soft"), (HARD, "hard")])
async def test_a_declined_card_says_why_and_moves_nothing(sandbox: SandboxGateway, number: str, kind: str) -> None:
    page_key, card_key = await authorised(sandbox, number), str(uuid4())
    by_page, by_token = await sandbox.ask(page_key), await sandbox.charge(card_key, await token(sandbox, number), 4200)
    for answer in (by_page, by_token):
        assert answer.state == "declined" and answer.decline and answer.decline.kind == kind and answer.decline.words
    assert await moved(sandbox, page_key) == await moved(sandbox, card_key) == []


async def test_a_card_on_file_is_charged_once_per_key(sandbox: SandboxGateway) -> None:
    key, card = str(uuid4()), await token(sandbox, AMEX)
    assert await sandbox.card(card) == Card("AX", "0005", 4, 2031)
    assert await sandbox.card("tok_none") is None
    answer = await sandbox.charge(key, card, 4200)
    assert (answer.state, answer.captured_cents) == ("captured", 4200)
    assert await sandbox.charge(key, card, 9900) == answer
    assert await moved(sandbox, key) == [("capture", 4200)]
    assert (await sandbox.charge(str(uuid4()), "tok_none", 4200)).state == "declined"


async def test_refunds_are_done_once_per_refund_key_and_never_beyond_the_capture(sandbox: SandboxGateway) -> None:
    key = await authorised(sandbox)
    await sandbox.capture(key, 35000)
    part = await sandbox.refund(key, "r1", 10000)
    assert (part.state, part.refunded_cents) == ("captured", 10000)
    assert await sandbox.refund(key, "r1", 10000) == part
    refused = await sandbox.refund(key, "r2", 25001)
    assert (refused.refunded_cents, refused.decline and refused.decline.code) == (10000, "too_much")
    assert (await sandbox.refund(key, "r2", 25000)).state == "refunded"
    assert await moved(sandbox, key) == [("capture", 35000), ("refund", 10000), ("refund", 25000)]


async def test_a_late_capture_is_unknown_first_and_done_afterwards(sandbox: SandboxGateway) -> None:
    key = await authorised(sandbox)
    await control(sandbox, next=["late"], late_ms=50)
    with pytest.raises(Unknown):
        await sandbox.capture(key, 35000)
    await until(sandbox, key, "captured")
    assert await moved(sandbox, key) == [("capture", 35000)]


async def test_a_late_capture_does_nothing_when_the_key_was_released_meanwhile(sandbox: SandboxGateway) -> None:
    key, other = await authorised(sandbox), await authorised(sandbox)
    await control(sandbox, next=["late", None, "late"], late_ms=100)
    with pytest.raises(Unknown):
        await sandbox.capture(key, 35000)
    assert (await sandbox.release(key)).state == "released"
    with pytest.raises(Unknown):  # it is performed after the first one: once it is seen, the first has had its turn
        await sandbox.capture(other, 35000)
    await until(sandbox, other, "captured")
    assert (await sandbox.ask(key)).state == "released"
    assert await moved(sandbox, key) == []


async def test_a_lost_answer_is_unknown_and_the_charge_is_found_by_asking(sandbox: SandboxGateway) -> None:
    key, card = str(uuid4()), await token(sandbox)
    await control(sandbox, next=["lost"])
    with pytest.raises(Unknown):
        await sandbox.charge(key, card, 4200)
    assert (await sandbox.ask(key)).state == "captured"
    assert await moved(sandbox, key) == [("capture", 4200)]


async def test_a_request_that_arrives_twice_moves_the_money_once(sandbox: SandboxGateway) -> None:
    key, card = str(uuid4()), await token(sandbox)
    await control(sandbox, next=["doubled", "doubled"])
    assert (await sandbox.charge(key, card, 4200)).state == "captured"
    assert (await sandbox.refund(key, "r1", 100)).refunded_cents == 100
    assert await moved(sandbox, key) == [("capture", 4200), ("refund", 100)]


async def test_the_card_whose_first_charge_is_lost_is_captured_in_the_end(sandbox: SandboxGateway) -> None:
    await control(sandbox, late_ms=50)
    key = await authorised(sandbox, SLOW)
    with pytest.raises(Unknown):
        await sandbox.capture(key, 35000)
    await until(sandbox, key, "captured")


async def test_faults_at_rates_repeat_from_their_seed(sandbox: SandboxGateway) -> None:
    card = await token(sandbox)

    async def run() -> list[str]:
        await control(sandbox, rates={"lost": 0.3, "declined": 0.3}, seed=7)
        states: list[str] = []
        for _ in range(20):
            try:
                states.append((await sandbox.charge(str(uuid4()), card, 100)).state)
            except Unknown:
                states.append("unknown")
        await control(sandbox, rates={})
        return states

    first = await run()
    assert set(first) == {"captured", "declined", "unknown"}
    assert await run() == first


async def test_a_gateway_that_is_gone_or_rejects_the_secret_leaves_the_call_unknown(sandbox: SandboxGateway) -> None:
    for url, secret in (("http://127.0.0.1:9", SECRET), (str(sandbox._client.base_url), "wrong")):
        gateway = SandboxGateway(url, secret)
        with pytest.raises(Unknown):
            await gateway.charge("k1", "tok_1", 100)
        await gateway.close()


@pytest.mark.parametrize("number, code, expires, name, words", [
    ("4242 4242 4242 4241", "123", "04/31", "P S", "This is not a card number"),
    (AMEX, "1234", "04/31", "P S", "American Express is not accepted here. Use Visa or Mastercard."),
    ("4111 1111 1111 1111", "123", "04/31", "P S", "Never enter a real card here"),
    (VISA, "12", "04/31", "P S", "Enter the 3 digits"),
    (VISA, "123", "04/21", "P S", "This card has expired"),
    (VISA, "123", "13/31", "P S", "Enter month and year"),
    (VISA, "123", "04/31", " ", "Enter the name on the card"),
])
async def test_the_page_says_in_words_what_is_wrong_and_keeps_what_was_typed(
        sandbox: SandboxGateway, number: str, code: str, expires: str, name: str, words: str) -> None:
    key = str(uuid4())
    page = await sandbox.start(key, 100, BACK, "Invoice 000123", ["VI", "MC"])
    answer = await fill(page, number, code, expires, name)
    assert answer.status_code == 422
    assert words in answer.text and f'value="{number}"' in answer.text and f'value="{code}"' not in answer.text
    assert (await sandbox.ask(key)).state == "started"


async def test_a_page_that_was_used_leads_back_and_authorises_nothing_again(sandbox: SandboxGateway) -> None:
    key = str(uuid4())
    page = await sandbox.start(key, 100, BACK, "Invoice 000123", ["VI"])
    assert page == await sandbox.start(key, 100, BACK, "Invoice 000123", ["VI"])
    await fill(page, VISA)
    before = await sandbox.ask(key)
    assert (await fill(page, SOFT)).headers["location"] == BACK
    assert await sandbox.ask(key) == before
    async with httpx.AsyncClient() as client:
        assert "used already" in (await client.get(page)).text
        assert (await client.get(page + "x", headers={"accept": "text/html"})).status_code == 404


async def test_the_books_are_the_same_after_a_kill(tool: Callable[..., tuple[str, Process]], tmp_path: Path) -> None:
    url, process = tool("gateway", data=tmp_path, GATEWAY_SECRET=SECRET)
    gateway = SandboxGateway(url, SECRET)
    key, card = await authorised(gateway), await token(gateway)
    page = await gateway.start("open", 100, BACK, "Invoice 000123", ["VI"])
    captured = await gateway.capture(key, 35000)
    process.kill()
    process.wait()
    again, _ = tool("gateway", data=tmp_path, port=int(url.rsplit(":", 1)[1]), GATEWAY_SECRET=SECRET)
    assert await gateway.ask(key) == captured
    assert await moved(gateway, key) == [("capture", 35000)]
    assert (await gateway.card(card)) is not None
    assert (await fill(page, VISA)).status_code == 303
    assert again == url
    await gateway.close()
    assert cards.digits(VISA).encode() not in (tmp_path / "gateway.jsonl").read_bytes()


@pytest.mark.parametrize("number, brand", [
    ("4242424242424242", "VI"), ("2223003122003222", "MC"), ("6011111111111117", "DS"), ("378282246310005", "AX"), ("30569309025904", None)])
def test_brands_are_told_by_their_numbers(number: str, brand: str | None) -> None:
    assert cards.luhn(number)
    assert cards.brand(number) == brand
