"""large: an invoice of 2,000 claims; seconds to open its page, to pay it through the card processor's page, and to print its PDF."""

import time

import uvloop

from deploy.local import people, publisher, seed, visitor
from deploy.local.processes import Product, where
from deploy.local.settled import settle
from deploy.local.tour import VISA
from tests.bench import ground
from tests.bench.ground import Result
from tests.bench.seeding import corporate, invoiced, seeded

CLAIMS = 2_000
PAYER = "79530"
MOST = {"page": 2.0, "pay": 10.0, "print": 10.0}


async def measure(product: Product) -> Result:
    at = where(product.plan, {})
    account = next(each for each in await seeded(product, at) if PAYER in each["payer_ids"])
    same = [body for body in corporate(100_000) if body["payers"][body["billed_to"] - 1]["payer_id"] == PAYER][:CLAIMS]
    await publisher.publish(product.plan.kafka, "claim.billed", same, "claim_id")
    await invoiced(product, at, CLAIMS)
    employer = next(each for each in publisher.lines(seed.DATA / "employers.jsonl") if each["payer_id"] == PAYER)
    async with await visitor.program(at) as http:
        await people.invite(at, http, account, employer["contacts"][0])
    await people.register(at, people.EMPLOYER, people.PASSWORD)
    await settle(at)
    took = await visit(at)
    shown = ", ".join(f"{name} {seconds:.1f} s (≤ {MOST[name]:.0f})" for name, seconds in took.items() if name in MOST)
    ratio = max(took[name] / MOST[name] for name in MOST)
    return Result("large", f"{CLAIMS:,} claims: {shown}, closed everywhere after {took['closed']:.1f} s", ratio, CLAIMS, 1.0, ratio <= 1)


async def visit(at: visitor.Where) -> dict[str, float]:
    """Opens, prints and pays the invoice as a person would; seconds of each."""
    took: dict[str, float] = {}
    employer = await people.sign_in(at, people.EMPLOYER, people.PASSWORD)
    try:
        home = await employer.open(f"{at['services']['portal']}/employerportal/")
        address = next(link for _, link in home.links if "/employerportal/invoices/" in link and "/pdf/" not in link)
        began = time.perf_counter()
        invoice = await employer.open(address)
        took["page"] = time.perf_counter() - began
        began = time.perf_counter()
        paper = await employer.http.get(f"{address}/pdf/1")
        took["print"] = time.perf_counter() - began
        assert paper.status_code == 200 and paper.content.startswith(b"%PDF"), paper.text[:300]
        began = time.perf_counter()
        await employer.send(invoice.form("/cart/add"))
        cart = await employer.open(f"{at['services']['portal']}/employerportal/cart")
        card = await employer.send(cart.form("/cart/pay"))
        back = await employer.send(card.form("/pay/"), **VISA)
        receipt = await employer.send(back.form("/confirm"))
        took["pay"] = time.perf_counter() - began
        assert "Payment received" in receipt.text, receipt.text[:600]
        await settle(at)
        took["closed"] = time.perf_counter() - began
    finally:
        await employer.close()
    return took


def run() -> Result:
    with ground.whole("large") as product:
        return uvloop.run(measure(product))
