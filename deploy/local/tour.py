"""`make demo-tour`: a dispute, a payment, a correction, a re-issue, a contract and a charge, by the pages and APIs that people and programs use.

Each step prints what happened and the id of its trace, for `make trace ID=…`.
"""

import asyncio
import io
import json
import secrets
import sys
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import pypdf

from deploy.local import clockfile, demo, names, people, publisher, visitor
from deploy.local.browser import Browser, Page
from deploy.local.seed import DATA
from deploy.local.settled import settle
from deploy.local.visitor import Where

PRACTICE = "195900"
VISA = {"number": "4242 4242 4242 4242", "expires": "12/30", "code": "123", "name": "Paula Schaefer"}
Say = Callable[[str], None]


@dataclass
class Tour:
    """What the steps share: the running product, who is at which browser, and what was made so far."""

    at: Where
    say: Say
    employer: Browser
    billing: Browser
    poster: Browser
    desk: httpx.AsyncClient
    made: dict[str, Any] = field(default_factory=dict)

    def url(self, service: str, path: str) -> str:
        return f"{self.at['services'][service]}{path}"

    def begin(self, *clients: httpx.AsyncClient) -> str:
        """A new trace for what these clients do next."""
        trace = secrets.token_hex(16)
        for client in clients:
            client.headers["traceparent"] = f"00-{trace}-{secrets.token_hex(8)}-01"
        return trace

    def tell(self, words: str, trace: str | None = None) -> None:
        self.say(f"{words}{f'  (trace {trace})' if trace else ''}")


async def play(at: Where, say: Say) -> None:
    """Plays the whole tour; raises where the product does not do what the step says."""
    user = at["users"]["employer"]
    employer = await people.sign_in(at, user["email"], user["password"])
    billing, poster = Browser(await visitor.staff(at, "billing_admin")), Browser(await visitor.staff(at, "poster"))
    desk = await visitor.program(at)
    tour = Tour(at, say, employer, billing, poster, desk)
    try:
        for step in (dispute, pay_the_rest, correct, reissue, contract, insurance_pays, charge):
            await step(tour)
    finally:
        for each in (employer, billing, poster):
            await each.close()
        await desk.aclose()


async def dispute(tour: Tour) -> None:
    """The employer opens an invoice with several claims and disputes one."""
    trace = tour.begin(tour.employer.http)
    home = await tour.employer.open(tour.url("portal", "/employerportal/"))
    for address in dict.fromkeys(address for _, address in home.links if "/employerportal/invoices/" in address and "/pdf/" not in address):
        invoice = await tour.employer.open(address)
        offered = [link for _, link in invoice.links if link.endswith("/dispute")]
        if len(offered) > 1:
            break
    else:
        raise RuntimeError("no invoice on the home page has two claims that can be disputed")
    form = (await tour.employer.open(offered[0])).form("/dispute")
    sent = await tour.employer.send(form, reason="WA", note="Our contracted rate is lower.")
    _must("Dispute sent" in sent.text, sent)
    tour.made |= {"invoice": address, "invoice_id": address.rsplit("/", 1)[1].split("?")[0]}
    tour.tell("The employer disputed a claim: the invoice shows In-Review", trace)
    await settle(tour.at)


async def pay_the_rest(tour: Tour) -> None:
    """The rest of the invoice goes into the cart, is authorised on the processor's page, confirmed and captured."""
    trace = tour.begin(tour.employer.http)
    invoice = await tour.employer.open(tour.made["invoice"])
    await tour.employer.send(invoice.form("/cart/add"))
    cart = await tour.employer.open(tour.url("portal", "/employerportal/cart"))
    card = await tour.employer.send(cart.form("/cart/pay"))
    back = await tour.employer.send(card.form("/pay/"), **VISA)
    receipt = await tour.employer.send(back.form("/confirm"))
    _must("Payment received" in receipt.text, receipt)
    paper = await tour.employer.http.get(receipt.link("receipt.pdf"))
    _must(paper.content.startswith(b"%PDF"), receipt)
    await settle(tour.at)
    tour.tell("The rest of the invoice is paid by card, posted into the day's e-payment batch, and receipted", trace)


async def correct(tour: Tour) -> None:
    """Staff lower the disputed charge by 10.00 and re-drop the claim."""
    trace = tour.begin(tour.billing.http)
    queue = await tour.billing.open(tour.url("invoicing", f"/staff/{PRACTICE}/holds"))
    case = await tour.billing.open(next(address for _, address in queue.links if "/holds/" in address))
    form = case.form("/holds/")
    name = next(name for name in form.fields if name.startswith("charge-"))
    claim = await _first_charge(tour, form.action)
    form.fields |= {name: f"{claim / 100 - 10:.2f}", "answer": "You are right, the contracted rate applies.", "do": "redrop"}
    done = await tour.billing.send(form)
    _must("is re-dropped" in done.text, done)
    await settle(tour.at)
    tour.tell("Staff corrected the charge by −10.00 and re-dropped the claim", trace)


async def _first_charge(tour: Tour, action: str) -> int:
    claim_id = action.rsplit("/", 1)[1]
    answer = await tour.desk.get(tour.url("posting", f"/api/practices/{PRACTICE}/claims/{claim_id}/balances"))
    lines = answer.raise_for_status().json()["lines"]
    return int(lines[0]["balance_cents"])


async def reissue(tour: Tour) -> None:
    """The next day the invoice is sent again."""
    day = clockfile.move(Path(tour.at["clock"]), timedelta(days=1))
    await _until(tour, lambda: _sendings(tour, 2), "the invoice is sent again")
    await settle(tour.at)
    tour.tell(f"It is {day:%b %d}: the corrected invoice was sent again")


async def _sendings(tour: Tour, count: int) -> bool:
    answer = await tour.employer.http.get(f"{tour.url('portal', '/employerportal/invoices/')}{tour.made['invoice_id']}/pdf/{count}")
    return answer.status_code == 200


async def contract(tour: Tour) -> None:
    """A patient's visit of today; at the desk a one-year contract is made with a card's token, signed, and mailed to the patient."""
    claim = await _claim_of_today(tour, clockfile.now(Path(tour.at["clock"])).astimezone(clockfile.NEW_YORK).date())
    (parent,) = await publisher.publish(tour.at["kafka"], "claim.billed", [claim], "claim_id", at=clockfile.now(Path(tour.at["clock"])))
    await settle(tour.at)
    trace = tour.begin(tour.desk)
    gateway = {"Authorization": f"Bearer {tour.at['operator']['gateway_secret']}"}
    async with httpx.AsyncClient(headers=gateway) as terminal:
        card = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2030}
        token = (await terminal.post(f"{tour.at['gateway']}/tokens", json=card)).raise_for_status().json()["token"]
    patient = f"/v1/{PRACTICE}/patients/{claim['patient']['patient_id']}"
    tour.made["patient"] = f"{claim['claim_id']}@example.net".lower()
    wanted = {"departmentid": claim["department_id"], "accountnumber": token, "email": tour.made["patient"], "maxamount": "1500"}
    answer = await tour.desk.post(tour.url("contracts", f"{patient}/collectpayment/oneyear"), data=wanted)
    made = answer.raise_for_status().json()
    signed = tour.url("contracts", f"{patient}/receipts/{made['epaymentid']}/signed")
    (await tour.desk.post(signed, files={"attachmentcontents": ("signed.pdf", signed_paper(), "application/pdf")})).raise_for_status()
    agreement = tour.url("contracts", f"{patient}/collectpayment/oneyear/{made['contractid']}/emailagreement")
    copy = {"departmentid": claim["department_id"], "email": tour.made["patient"]}
    (await tour.desk.post(agreement, data=copy, headers={"Idempotency-Key": claim["claim_id"]})).raise_for_status()
    await settle(tour.at)
    await _until(tour, lambda: _mailed(tour, "your card agreement"), "the patient's copy of the agreement")
    tour.made |= {"claim": claim, "contract": made["contractid"]}
    tour.tell(f"The publisher billed claim {claim['claim_id']} to insurance", parent.split("-")[1])
    tour.tell(f"The desk made and signed one-year contract {made['contractid']} and mailed the patient a copy", trace)


def signed_paper() -> bytes:
    """A page of PDF, as a signature pad uploads it."""
    paper, data = pypdf.PdfWriter(), io.BytesIO()
    paper.add_blank_page(200, 200)
    paper.write(data)
    return data.getvalue()


async def _claim_of_today(tour: Tour, today: date) -> dict[str, Any]:
    """A claim like one of the samples, for a visit of today, billed to insurance and then the patient, who has no contract yet."""
    taking = {
        each["department_id"] for each in publisher.lines(DATA / "departments.jsonl") if each["practice_id"] == PRACTICE and each["ecommerce_cards"]
    }
    for sample in publisher.lines(DATA / "claims.jsonl"):
        kinds = [each["kind"] for each in sample["payers"]]
        if sample["practice_id"] != PRACTICE or sample["department_id"] not in taking or kinds != ["insurance", "patient"]:
            continue
        there = await tour.desk.get(tour.url("contracts", f"/v1/{PRACTICE}/patients/{sample['patient']['patient_id']}/collectpayment/oneyear"))
        if all(each["status"] not in ("active", "awaiting_signature") for each in there.raise_for_status().json()["contracts"]):
            break
    else:
        raise RuntimeError("every patient with insurance has a contract already; `make demo-reset` begins anew")
    claim_id = f"T{zlib.crc32(secrets.token_bytes(8)):08x}"
    charge = sample["charges"][0] | {"charge_id": f"{claim_id}-1", "amount_cents": 18_500}
    dates = {"service_date": today.isoformat(), "billed_on": today.isoformat()}
    return sample | dates | {"claim_id": claim_id, "version": 1, "billed_to": 1, "charges": [charge], "appointment_id": None}


async def insurance_pays(tour: Tour) -> None:
    """A poster records a deposit of one check with its payment batch, posts the insurance's answer and closes at 0.00."""
    trace = tour.begin(tour.poster.http)
    claim_id, charge_id = tour.made["claim"]["claim_id"], tour.made["claim"]["charges"][0]["charge_id"]
    form = (await tour.poster.open(tour.url("posting", f"/staff/{PRACTICE}/money/deposits/new"))).form("/deposits/new")
    refused = await tour.poster.send(form, account="1", amount="120.00", target="100.00", check="40417")
    _must("Add payment batches for 20.00" in refused.text, refused)
    batch = await tour.poster.send(form, account="1", amount="120.00", target="120.00", check="40417")
    grid = await tour.poster.send(batch.form("/post"), claim=claim_id)
    lines = {f"paid-{charge_id}": "120.00", f"adjusted-{charge_id}": "30.00"}
    grid.form("/post").fields.update(lines)
    posted = await tour.poster.send(grid.form("/post"))
    _must("35.00 is open" in posted.text, posted)
    closed = await tour.poster.send(posted.form("/close"))
    _must("in balance and closed" in closed.text, closed)
    await settle(tour.at)
    tour.tell("The insurance paid 120.00 of 185.00, 30.00 is adjusted, 35.00 is the patient's; the batch closed at 0.00", trace)


async def charge(tour: Tour) -> None:
    """The patient is told; five days later the card is charged, posted and receipted."""
    await _until(tour, lambda: _mailed(tour, "your card will be charged"), "the notice")
    tour.tell("The patient got the notice by mail")
    day = clockfile.move(Path(tour.at["clock"]), timedelta(days=5))
    await _until(tour, lambda: _mailed(tour, "receipt C-"), "the receipt of the charge")
    await settle(tour.at)
    tour.tell(f"It is {day:%b %d}: the card was charged 35.00, posted, and the receipt mailed")


async def _mailed(tour: Tour, subject: str) -> bool:
    return any(subject in mail["subject"] for mail in await visitor.mails(tour.at, tour.made["patient"]))


async def _until(tour: Tour, look: Callable[[], Awaitable[bool]], what: str, within: float = 60) -> None:
    try:
        async with asyncio.timeout(within):
            while not await look():
                await asyncio.sleep(0.3)
    except TimeoutError:
        raise RuntimeError(f"waited {within:.0f} s in vain: {what}") from None


def _must(held: bool, page: Page) -> None:
    if not held:
        raise RuntimeError(f"{page.url} ({page.status}): {page.text[:600]}")


def main() -> None:
    if not demo.FILE.exists():
        sys.exit("demo-tour: the demo is not up; `make demo-up` starts it, or `make up` and `make up-data` in containers")
    names.known()
    try:
        asyncio.run(play(json.loads(demo.FILE.read_text()), print))
    except (RuntimeError, LookupError, httpx.HTTPError, TimeoutError) as error:
        sys.exit(f"demo-tour: {error}")
    print("demo-tour: everything went as it should")


if __name__ == "__main__":
    main()
