"""The whole product with a story behind it: an employer paid, disputed and was corrected, a patient was charged, bad records came in."""

import asyncio
import json
import uuid
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from deploy.local import clockfile, people, publisher, seed, tour, trace, visitor
from deploy.local.places import ROOT
from deploy.local.plan import SERVICES
from deploy.local.processes import Product, where
from deploy.local.settled import settle
from deploy.local.verify.facts import gather
from deploy.local.visitor import Where
from shared.events.registry import TOPICS

EMPLOYERS = ("79530", "79554")
STAYS_OPEN = "79554"
EXAMPLES = ROOT / "docs" / "events" / "examples"
BAD_TRACE = "00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01"
BAD = ("claim.billed", "patient.state")  # what others publish may be malformed


@dataclass(frozen=True)
class Played:
    """The product after its story; `trace` is that of the first claim, `spans` what follows it."""

    product: Product
    at: Where
    trace: str
    spans: list[trace.Span]
    told: list[str]


async def play(product: Product) -> Played:
    """Prepares a practice, bills and pays one claim under its own trace, then plays the tour, lets an invoice become overdue, sends bad records."""
    employer: dict[str, Any] = {"name": "Paula Schaefer", "email": people.EMPLOYER, "password": people.PASSWORD}
    at = where(product.plan, {"employer": employer})
    clockfile.put(product.plan.clock, seed.morning(date(2026, 11, 22)))
    seed.practices(product.plan)
    employers = [each for each in publisher.lines(seed.DATA / "employers.jsonl") if each["payer_id"] in EMPLOYERS]
    claims = [each for each in publisher.lines(seed.DATA / "claims.jsonl") if _payer(each) in EMPLOYERS]
    first, *others = [each for each in claims if _payer(each) == EMPLOYERS[0]][:8]
    unpaid = [each for each in claims if _payer(each) == STAYS_OPEN][:2]
    async with await visitor.program(at) as http:
        accounts = [await seed.account(http, at, each) for each in employers]
        await seed.places_and_people(product.plan, lambda _: None)
        await settle(at)
        for each, account in zip(employers, accounts, strict=True):
            for contact in each["contacts"]:
                await people.invite(at, http, account, contact)
        await people.register(at, people.EMPLOYER, people.PASSWORD)
    (parent,) = await publisher.publish(at["kafka"], "claim.billed", [first], "claim_id", at=clockfile.now(product.plan.clock))
    await bill(at, "first")
    await told_by_mail(at)
    await pay(at)
    spans = await spans_of(product, parent.split("-")[1], 30)
    await publisher.publish(at["kafka"], "claim.billed", others + unpaid, "claim_id", at=clockfile.now(product.plan.clock))
    await bill(at, "others")
    told: list[str] = []
    await tour.play(at, told.append)
    clockfile.move(Path(at["clock"]), timedelta(days=30))
    await examples(at)
    await bad_records(at)
    await overdue(at)
    await settle(at)
    return Played(product, at, parent.split("-")[1], spans, told)


async def spans_of(product: Product, wanted: str, within: float = 60) -> list[trace.Span]:
    """What follows a trace, once all services and a mail are in it, or after so many seconds."""
    until = asyncio.get_running_loop().time() + within
    while True:
        spans = following(list(trace.read(product.plan.state)), wanted)
        whole = {span["service"] for span in spans} >= set(SERVICES) and any(span["name"].startswith("mail ") for span in spans)
        if whole or asyncio.get_running_loop().time() > until:
            return spans
        await asyncio.sleep(0.5)


def following(spans: list[trace.Span], wanted: str) -> list[trace.Span]:
    """The spans of this trace, and those that are linked to one of them; what is linked with a link is not asked."""
    own = {span["span"] for span in spans if span["trace"] == wanted}
    return [span for span in spans if span["trace"] == wanted or any(to == wanted and at in own for to, at in span["links"])]


def _payer(claim: dict[str, Any]) -> str:
    return str(next(each["payer_id"] for each in claim["payers"] if each["order"] == claim["billed_to"]))


async def bill(at: Where, key: str) -> None:
    """Runs the practice's billing now, once claims are in, and lets it arrive."""
    await settle(at)
    async with await visitor.program(at) as http:
        url = f"{at['services']['invoicing']}/api/practices/{tour.PRACTICE}/runs"
        made = (await http.post(url, json={}, headers={"Idempotency-Key": key})).raise_for_status().json()
        assert made["invoices"]
    await settle(at)


async def told_by_mail(at: Where) -> None:
    """Waits for the mail about the new invoice; one that is paid before is not mentioned any more (BX-01)."""
    async with asyncio.timeout(60):
        while not await visitor.mails(at, people.EMPLOYER, "new invoice"):
            await asyncio.sleep(0.3)


async def pay(at: Where) -> None:
    """Paula pays the one invoice she has."""
    browser = await people.sign_in(at, people.EMPLOYER, people.PASSWORD)
    try:
        home = await browser.open(f"{at['services']['portal']}/employerportal/")
        invoice = await browser.open(next(address for _, address in home.links if "/employerportal/invoices/" in address and "/pdf/" not in address))
        await browser.send(invoice.form("/cart/add"))
        cart = await browser.open(f"{at['services']['portal']}/employerportal/cart")
        card = await browser.send(cart.form("/cart/pay"))
        back = await browser.send(card.form("/pay/"), **tour.VISA)
        receipt = await browser.send(back.form("/confirm"))
        assert "Payment received" in receipt.text, receipt.text
    finally:
        await browser.close()
    await settle(at)


async def examples(at: Where) -> None:
    """Every example of the ingress topics, as another system sends it."""
    for topic in sorted(name for name, topic in TOPICS.items() if topic.writer == "ingress"):
        body = json.loads((EXAMPLES / f"{topic}.json").read_text())
        await publisher.publish(at["kafka"], topic, [body], f"{topic.split('.')[0]}_id", at=clockfile.now(Path(at["clock"])))


async def bad_records(at: Where) -> None:
    """A record on each of these topics that is not JSON."""
    async with AIOKafkaProducer(bootstrap_servers=at["kafka"]) as producer:
        for topic in BAD:
            headers = {"ce_specversion": "1.0", "ce_id": str(uuid.uuid4()), "ce_type": topic, "ce_source": "urn:bad"}
            headers |= {"ce_time": "2026-11-22T12:00:00Z", "traceparent": BAD_TRACE}
            await producer.send_and_wait(topic, b"{", key=b"195900/bad", headers=[(name, value.encode()) for name, value in headers.items()])


async def overdue(at: Where) -> None:
    """Waits until every invoice that is not closed is overdue."""
    async with asyncio.timeout(90):
        while {body["status"] for body in (await gather(at)).states("invoice.state")} != {"closed", "overdue"}:
            await asyncio.sleep(0.5)
