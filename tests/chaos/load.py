"""What goes on while services die: claims in many versions, billing runs, people who pay and dispute, staff who post, contracts that charge."""

import asyncio
import functools
import random
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from deploy.local import clockfile, people, publisher, visitor
from deploy.local.browser import Browser
from deploy.local.seed import DATA
from deploy.local.tour import VISA
from deploy.local.visitor import Where

PRACTICE = "195900"
TROUBLE = (httpx.HTTPError, LookupError, RuntimeError, TimeoutError, KeyError, StopIteration, ValueError)


@dataclass
class Load:
    """The load on one product; `published` is the highest version by claim, `wrong` what nobody's death explains."""

    at: Where
    rnd: random.Random
    published: dict[str, int] = field(default_factory=dict)
    voided: set[str] = field(default_factory=set)
    done: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    claims: list[dict[str, Any]] = field(default_factory=list)
    newest: dict[str, dict[str, Any]] = field(default_factory=dict)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    insured: list[str] = field(default_factory=list)
    browsers: dict[str, Browser] = field(default_factory=dict)

    def count(self, what: str) -> None:
        self.done[what] = self.done.get(what, 0) + 1

    async def run(self, employers: list[tuple[str, str]]) -> None:
        """Until `stop`: every kind of work at its own pace, each going on after whatever trouble the kills make."""
        await asyncio.gather(
            self._loop(self.publish, 0.3),
            self._loop(self.bill, 2.5),
            self._loop(self.insurance, 4),
            self._loop(self.next_day, 12),
            self._loop(self.work_holds, 3),
            *(self._loop(functools.partial(self.employer, *who), 0.5) for who in employers),
        )
        await asyncio.gather(*(browser.close() for browser in self.browsers.values()))

    async def _loop(self, work: Any, pause: float) -> None:
        name = getattr(work, "func", work).__name__
        while not self.stop.is_set():
            try:
                async with asyncio.timeout(25):
                    await work()
            except TROUBLE:
                self.count(f"{name} interrupted")
            try:
                await asyncio.wait_for(self.stop.wait(), pause * self.rnd.uniform(0.5, 1.5))
            except TimeoutError:
                continue

    async def publish(self) -> None:
        """Publishes a batch; what an interrupted one did not bring out is not expected to arrive."""
        before = dict(self.published)
        try:
            await self._publish()
        except BaseException:
            self.published = before
            raise

    async def _publish(self) -> None:
        """New claims, newer versions of old ones, repeats, an older one, a void now and then."""
        batch, voids = [], []
        for _ in range(self.rnd.randint(3, 12)):
            choice = self.rnd.random()
            if choice < 0.55 or not self.published:
                batch.append(self.new_claim())
            elif choice < 0.85:
                batch.append(self._again(self.rnd.choice(sorted(self.published))))
            elif choice < 0.92 and self.claims:
                batch.append(self.rnd.choice(self.claims))
            else:
                claim_id = self.rnd.choice(sorted(self.published))
                self.published[claim_id] += 1
                self.voided.add(claim_id)
                version = self.published[claim_id]
                voids.append({"practice_id": PRACTICE, "claim_id": claim_id, "version": version, "voided_on": "2026-11-22"})
        await publisher.publish(self.at["kafka"], "claim.billed", batch, "claim_id")
        await publisher.publish(self.at["kafka"], "claim.voided", voids, "claim_id")
        self.claims = (self.claims + batch)[-200:]
        self.newest |= {claim["claim_id"]: claim for claim in batch}
        self.count("batches published")

    def _id(self) -> str:
        return self.rnd.randbytes(6).hex()

    def new_claim(self) -> dict[str, Any]:
        """A claim like one of the samples, counted as published."""
        claim_id = f"X{self._id()}"
        insured = self.rnd.random() < 0.15
        sample = self.rnd.choice(_samples("insurance" if insured else "corporate"))
        charges = [
            charge | {"charge_id": f"{claim_id}-{n}", "amount_cents": self.rnd.randint(1, 300) * 100}
            for n, charge in enumerate(sample["charges"][:3], 1)
        ]
        self.published[claim_id] = 1
        if insured:
            self.insured.append(claim_id)
        day = clockfile.now(Path(self.at["clock"])).astimezone(clockfile.NEW_YORK).date().isoformat()
        return sample | {"claim_id": claim_id, "version": 1, "billed_to": 1, "charges": charges, "service_date": day, "billed_on": day}

    def _again(self, claim_id: str) -> dict[str, Any]:
        known = [claim for claim in self.claims if claim["claim_id"] == claim_id]
        if not known or known[-1]["payers"][0]["kind"] != "corporate":
            return self.new_claim()
        self.published[claim_id] += 1
        self.voided.discard(claim_id)
        charges = [charge | {"amount_cents": self.rnd.randint(1, 300) * 100} for charge in known[-1]["charges"]]
        return known[-1] | {"version": self.published[claim_id], "charges": charges}

    async def bill(self) -> None:
        async with await visitor.program(self.at) as http:
            url = f"{self.at['services']['invoicing']}/api/practices/{PRACTICE}/runs"
            (await http.post(url, json={}, headers={"Idempotency-Key": self._id()})).raise_for_status()
        self.count("billing runs")

    async def employer(self, email: str, password: str) -> None:
        """Reads a paper, disputes a claim or puts invoices into the cart and pays, twice at once now and then; logs in again after trouble."""
        browser = self.browsers.pop(email, None) or await people.sign_in(self.at, email, password)
        try:
            home = await browser.open(f"{self.at['services']['portal']}/employerportal/")
            addresses = list(dict.fromkeys(a for _, a in home.links if "/employerportal/invoices/" in a and "/pdf/" not in a))
            papers = [a for _, a in home.links if "/pdf/" in a]
            if papers and self.rnd.random() < 0.3:
                await self._read(browser, self.rnd.choice(papers))
            if addresses:
                chosen = self.rnd.sample(addresses, min(len(addresses), self.rnd.randint(1, 3)))
                await (self._dispute(browser, chosen[0]) if self.rnd.random() < 0.3 else self._pay(browser, chosen))
        except BaseException:
            await browser.close()
            raise
        self.browsers[email] = browser

    async def _read(self, browser: Browser, address: str) -> None:
        """The portal fetches it from invoicing, whichever release each of them runs."""
        paper = await browser.open(address)
        if paper.status == 200:
            self.count("papers read")
        elif paper.status != 503:  # invoicing, or the database, is away for a moment
            self.wrong.append(f"a paper is answered with {paper.status}: {paper.text[:120]}")

    async def _dispute(self, browser: Browser, address: str) -> None:
        page = await browser.open(address)
        offered = [link for _, link in page.links if link.endswith("/dispute")]
        if offered:
            form = (await browser.open(self.rnd.choice(offered))).form("/dispute")
            await browser.send(form, reason="WA", note="too much")
            self.count("disputes")

    async def _pay(self, browser: Browser, addresses: list[str]) -> None:
        for address in addresses:
            page = await browser.open(address)
            if any("/cart/add" in form.action for form in page.forms):
                await browser.send(page.form("/cart/add"))
        cart = await browser.open(f"{self.at['services']['portal']}/employerportal/cart")
        card = await browser.send(cart.form("/cart/pay"))
        back = await browser.send(card.form("/pay/"), **VISA)
        form = back.form("/confirm")
        sends = [browser.send(form) for _ in range(2 if self.rnd.random() < 0.3 else 1)]
        await asyncio.gather(*sends, return_exceptions=True)
        self.count("payments confirmed")

    async def work_holds(self) -> None:
        """Staff re-drop what is held: as it is, corrected, or written off."""
        async with await visitor.program(self.at) as http:
            base = f"{self.at['services']['invoicing']}/api/practices/{PRACTICE}"
            for hold in (await http.get(f"{base}/holds")).raise_for_status().json()["holds"][:3]:
                decided, body = self._decision(hold["claim_id"])
                url = f"{base}/claims/{hold['claim_id']}/redrop"
                answer = await http.post(url, json=body | {"answer": "looked at"}, headers={"Idempotency-Key": self._id()})
                self.count(decided if answer.is_success else "re-drops refused")

    def _decision(self, claim_id: str) -> tuple[str, dict[str, Any]]:
        """What staff decide about a claim, and how it is counted."""
        known = self.newest.get(claim_id)
        choice = self.rnd.choice(("as it is", "corrected", "written off")) if known else "as it is"
        if known is None or choice == "as it is":
            return "re-drops as it is", {}
        charge = known["charges"][0]
        less = {"charge_id": charge["charge_id"], "amount_cents": max(charge["amount_cents"] // 2, 1)}
        if choice == "corrected":
            return "re-drops corrected", {"corrections": [less]}
        return "re-drops written off", {"write_offs": [less | {"reason": "Courtesy"}]}

    async def insurance(self) -> None:
        """A deposit with one check for an insured claim; the patient's rest is for the contract on file."""
        if not self.insured:
            return
        claim_id = self.insured.pop(0)
        async with await visitor.program(self.at) as http:
            base = f"{self.at['services']['posting']}/api/practices/{PRACTICE}"
            found = await http.get(f"{base}/claims/{claim_id}/balances")
            lines = [line for line in found.raise_for_status().json()["lines"] if line["kind"] == "insurance" and line["balance_cents"]]
            total = sum(line["balance_cents"] // 2 for line in lines)
            day = clockfile.now(Path(self.at["clock"])).astimezone(clockfile.NEW_YORK).date().isoformat()
            deposit = {"deposit_date": day, "bank_account_id": "1", "amount_cents": total, "type": "check", "target_cents": total}
            made = (await http.post(f"{base}/deposits", json=deposit, headers={"Idempotency-Key": f"d {claim_id}"})).raise_for_status().json()
            body = {"claim_id": claim_id, "lines": [{"charge_id": e["charge_id"], "paid_cents": e["balance_cents"] // 2} for e in lines]}
            batch = f"{base}/batches/{made['batch_id']}"
            (await http.post(f"{batch}/payments", json=body, headers={"Idempotency-Key": f"p {claim_id}"})).raise_for_status()
            (await http.post(f"{batch}/close", headers={"Idempotency-Key": f"c {claim_id}"})).raise_for_status()
        self.count("insurance payments")

    async def next_day(self) -> None:
        clockfile.move(Path(self.at["clock"]), timedelta(days=1))
        self.count("days")


_SAMPLES: dict[str, list[dict[str, Any]]] = {}


def _samples(kind: str) -> list[dict[str, Any]]:
    """Sample claims of the practice: those of its large employer, or insured ones of patients with a contract."""
    if not _SAMPLES:
        claims = [claim for claim in publisher.lines(DATA / "claims.jsonl") if claim["practice_id"] == PRACTICE]
        _SAMPLES["corporate"] = [claim for claim in claims if claim["payers"][0].get("payer_id") == "79530"][:50]
        _SAMPLES["insurance"] = [claim for claim in claims if [each["kind"] for each in claim["payers"]] == ["insurance", "patient"]][:8]
    return _SAMPLES[kind]


def insured_samples() -> list[dict[str, Any]]:
    """The insured sample claims whose patients get a contract."""
    return _samples("insurance")
