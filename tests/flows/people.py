"""What people and other systems do in the played world, through the services' own functions. Each action answers False where it cannot be
done now: there is no such invoice yet, the page would not offer it, the service refuses."""

import asyncio
import io
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache
from typing import Any
from unittest import mock

import pypdf
from sqlalchemy import text

from services.contracts.charging import Charging
from services.contracts.domain.contract import Refused as ContractRefused
from services.contracts.handlers import charges
from services.contracts.handlers import contracts as contract_handlers
from services.contracts.handlers.contracts import Wanted as WantedContract
from services.invoicing import consumers as invoicing_consumers
from services.invoicing import jobs as invoicing_jobs
from services.invoicing.domain.claim import Refused as InvoicingRefused
from services.invoicing.handlers import accounts, holds, practices, runs
from services.invoicing.handlers.holds import Decision
from services.portal.checkout import cart, pay
from services.portal.checkout.jobs import ask_due
from services.portal.checkout.pay import Checkout
from services.portal.contacts import access
from services.portal.contacts import store as contact_store
from services.portal.contacts.status import ContactRole, Move, Status
from services.portal.disputes import store as disputes
from services.portal.identity.here import Here
from services.portal.invoices import standing
from services.posting import batches
from services.posting.domain.batch import DepositType
from services.posting.domain.payment import LineAnswer
from services.posting.domain.payment import Refused as PostingRefused
from services.posting.handlers.remittance import post_payment
from shared import ids, timers
from shared.events.ingress import (
    CLAIM_BILLED,
    CLAIM_HOLD_REQUESTED,
    CLAIM_REDROP_REQUESTED,
    CLAIM_VOIDED,
    DEPARTMENT_STATE,
    PATIENT_STATE,
    ClaimHoldRequested,
    ClaimRedropRequested,
    ClaimVoided,
    DepartmentState,
    PatientState,
    Payer,
)
from shared.gateway import Card
from tests.flows.gateway import VISA, Died
from tests.flows.mail import Post
from tests.flows.world import World
from tests.invoicing.made import PRACTICE, claim, employer

P = "p1"
PLACE = {
    "merchant_location_id": "m1",
    "retail_merchant_id": "R1",
    "card_not_present_merchant_id": "N1",
    "accepted_cards": ["VI"],
    "single_appointment_max_cents": 150_000,
    "one_year_max_cents": 150_000,
    "auto_contract_department_id": "d1",
}
HOUSE = PRACTICE | {"digest_at": "08:00", "merchant_locations": [PLACE], "contracts_on": True}
INSURED = [Payer(order=1, kind="insurance", payer_id="I"), Payer(order=2, kind="patient", payer_id="9901")]


@dataclass
class Pm:
    """The practice's own system: what it knows of a claim. Its version rises with everything it says."""

    version: int = 0
    payer: str = "e1"
    void: bool = False


class People:
    """Who acts in one schedule, and what they hold in their hands."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.pm: dict[str, Pm] = {}
        self.here: dict[str, Here] = {}
        self.attempts: dict[str, str] = {}
        self.contract: Any = None
        self.post = Post(world)

    @property
    def till(self) -> Checkout:
        return Checkout(self.world.app["portal"], self.world.clock, self.world.gateway)

    @property
    def job(self) -> Checkout:
        return Checkout(self.world.worker["portal"], self.world.clock, self.world.gateway)

    async def open(self, names: tuple[str, ...] = ("Paula", "Lee")) -> None:
        """A practice, an account, its registered contacts, a patient and a department; everybody knows them."""
        world, now = self.world, self.world.clock.now
        async with world.worker["invoicing"].begin() as tx:
            await practices.set_up(tx, now, HOUSE, None, "https://portal.example/employerportal/login")
        async with world.app["invoicing"].begin(P) as tx:
            await accounts.save(tx, now, employer(), None)
        for name in names:
            wanted = access.Wanted(name, None, f"{name.lower()}@employer.example", None, ContactRole.PAYER)
            async with world.app["portal"].begin(P) as tx:
                made = await access.create(tx, now, P, "a1", wanted, "tests")
                after = replace(made, status=Status.REGISTERED, person_id=f"person-{name}")
                await contact_store.write(tx, now, made, after, Move.GRANT, "tests", "registered")
            self.here[name] = Here("s", f"person-{name}", name, made.email, P, "a1", made.contact_id, "payer")
        world.publish(DEPARTMENT_STATE, DepartmentState(
            practice_id=P, department_id="d1", version=1, name="Main", provider_group_id="1", merchant_location_id="m1", accepted_cards=["VI"],
            ecommerce_cards=["VI"], auto_contract=True, zone=None,
        ))  # fmt: skip
        world.publish(PATIENT_STATE, PatientState(
            practice_id=P, patient_id="9901", version=1, given_name="Ana", family_name="Diaz", birth_date=date(1988, 4, 12), address=None,
            email=None, phone=None, guarantor=None, identifiers=[],
        ))  # fmt: skip
        await world.collect()
        await world.drain()

    # --- the practice's system

    async def bill(self, claim_id: str, cents: int | tuple[int, ...], payer: str = "e1", *, same_version: bool = False) -> bool:
        """Bills a claim, also again; `payer` "I" is an insurance before the patient."""
        known = self.pm.setdefault(claim_id, Pm())
        if not same_version:
            known.version += 1
        known.payer, known.void = payer, False
        more: dict[str, Any] = {"payers": INSURED} if payer == "I" else {}
        day = date(2026, 11, 4)
        body = claim(claim_id, known.version, cents, payer if payer != "I" else "e1", service_date=day, billed_on=day, provider_group_id="1", **more)
        self.world.publish(CLAIM_BILLED, body)
        return True

    async def void(self, claim_id: str) -> bool:
        known = self._next(claim_id)
        known.void = True
        self.world.publish(CLAIM_VOIDED, ClaimVoided(practice_id=P, claim_id=claim_id, version=known.version, voided_on=self._today()))
        return True

    async def pm_hold(self, claim_id: str) -> bool:
        version = self._next(claim_id).version
        body = ClaimHoldRequested(practice_id=P, claim_id=claim_id, version=version, kick_code="K", requested_at=self.world.clock.now)
        self.world.publish(CLAIM_HOLD_REQUESTED, body)
        return True

    async def pm_redrop(self, claim_id: str) -> bool:
        body = ClaimRedropRequested(practice_id=P, claim_id=claim_id, version=self._next(claim_id).version, requested_at=self.world.clock.now)
        self.world.publish(CLAIM_REDROP_REQUESTED, body)
        return True

    def _next(self, claim_id: str) -> Pm:
        known = self.pm[claim_id]
        known.version += 1
        return known

    def _today(self) -> date:
        return self.world.clock.now.date()

    # --- staff of invoicing

    async def run_now(self) -> bool:
        async with self.world.app["invoicing"].begin(P) as tx:
            made = await runs.run_now(tx, self.world.clock.now, P, None, "tests")
        await self.world.collect("invoicing")
        return bool(made)

    async def hold(self, claim_id: str) -> bool:
        try:
            async with self.world.app["invoicing"].begin(P) as tx:
                await holds.hold_by_staff(tx, self.world.clock.now, (P, claim_id), "to be looked at", "tests")
        except InvoicingRefused:
            return False
        await self.world.collect("invoicing")
        return True

    async def redrop(self, claim_id: str, *, cents: int | None = None, write_off: int = 0) -> bool:
        """Ends the claim's holds; corrects its first charge, writes some of it off."""
        charge = f"{claim_id}-1"
        offs = ((charge, write_off, "Courtesy"),) if write_off else ()
        decision = Decision({charge: cents} if cents is not None else {}, offs, "Looked at.")
        return await self._decide(holds.redrop, claim_id, decision)

    async def correct(self, claim_id: str, cents: int) -> bool:
        """Corrects the first charge of a claim on HOLD, which stays there."""
        return await self._decide(holds.correct, claim_id, Decision({f"{claim_id}-1": cents}))

    async def _decide(self, how: Any, claim_id: str, decision: Decision) -> bool:
        try:
            async with self.world.app["invoicing"].begin(P) as tx:
                await how(tx, self.world.clock.now, (P, claim_id), decision, "tests")
        except InvoicingRefused:
            return False
        await self.world.collect("invoicing")
        return True

    async def invoicing_day(self) -> bool:
        await invoicing_jobs.run_days(self.world.worker["invoicing"], self.world.clock)
        await invoicing_consumers.retry_waiting(self.world.worker["invoicing"], self.world.clock)
        await self.world.collect("invoicing")
        return True

    # --- staff of posting

    async def check(self, claim_id: str, cents: int, adjusted: int = 0) -> bool:
        """A payer's check for one claim, as far as the form takes it: paid and adjusted on its first charge."""
        batch_id = await self.batch(cents)
        try:
            await self.post_check(batch_id, claim_id, cents, adjusted)
        except PostingRefused:
            return False
        await self.world.collect("posting")
        return True

    async def batch(self, cents: int) -> str:
        """A deposit of one check with its payment batch."""
        today = self._today()
        async with self.world.app["posting"].begin(P) as tx:
            return await batches.create_deposit(
                tx, P, deposit_date=today, today=today, bank_account_id="1", amount_cents=cents, kind=DepositType.CHECK, by_site=False, notes="",
                target_cents=cents, check_number="1001", user="tests",
            )  # fmt: skip

    async def post_check(self, batch_id: str, claim_id: str, cents: int, adjusted: int = 0) -> None:
        """Raises what the form shows."""
        lines = [LineAnswer(f"{claim_id}-1", cents, adjusted)]
        async with self.world.app["posting"].begin(P) as tx:
            await post_payment(tx, self.world.clock, P, batch_id, claim_id, lines, "tests")

    # --- people at the employer

    async def invoices(self) -> list[str]:
        rows = await self.world.rows("portal", "SELECT invoice_id FROM invoices ORDER BY invoice_id")
        return [row["invoice_id"] for row in rows]

    async def proceed(self, who: str, *invoices: str) -> bool:
        """Everything (or these invoices) that can be paid goes into the cart, and its person authorises it on the gateway's page."""
        here, attempt_id = self.here[who], ids.new()
        async with self.world.app["portal"].begin(P) as tx:
            await cart.add(tx, here, invoices or await self.invoices())
        try:
            await pay.start(self.till, here, attempt_id, "https://portal.example/back", "Saltmarsh")
        except pay.NothingToPay:
            return False
        self.world.gateway.book.authorise(attempt_id, VISA)
        await pay.returned(self.till, P, attempt_id)
        self.attempts[who] = attempt_id
        await self.world.collect("portal")
        return True

    async def confirm(self, who: str, outcome: str = "ok") -> bool:
        """Presses *Confirm*; `outcome` is what becomes of the call to the gateway."""
        if who not in self.attempts:
            return False
        self.world.gateway.outcome = outcome
        try:
            await pay.confirm(self.till, P, self.attempts.pop(who))
        except Died:
            pass
        finally:
            self.world.gateway.outcome = "ok"
        await self.world.collect("portal")
        return True

    async def leave(self, who: str) -> None:
        """Presses *Cancel* before anything was submitted."""
        await pay.let_go(self.job, P, self.attempts.pop(who), "cancelled")
        await self.world.collect("portal")

    async def ask(self) -> bool:
        """Half a minute later the portal asks the gateway about what is in doubt."""
        self.world.clock.move(seconds=30)
        done = await ask_due(self.job)
        await self.world.collect("portal")
        return bool(done)

    async def land(self) -> bool:
        return self.world.gateway.land()

    async def dispute(self, who: str, claim_id: str) -> bool:
        wanted = text("SELECT invoice_id, line_id FROM lines WHERE claim_id = :claim_id ORDER BY line_id DESC LIMIT 1")
        try:
            async with self.world.app["portal"].begin(P) as tx:
                found = (await tx.execute(wanted, {"claim_id": claim_id})).one_or_none()
                if found is None:
                    return False
                here = self.here[who]
                line = await disputes.submit(tx, self.world.clock.now, here, ids.new(), found.invoice_id, found.line_id, "WA", None)
        except disputes.Refused:
            return False
        await self.world.collect("portal")
        return line is not None

    async def confirm_beside_a_dispute(self, who: str, other: str, claim_id: str) -> bool:
        """Both transactions have read and neither has written, if the locks let it come to that."""
        read, both, check = standing.read, asyncio.Barrier(2), disputes.check

        async def meet() -> None:
            try:
                async with asyncio.timeout(0.3):
                    await both.wait()
            except (TimeoutError, asyncio.BrokenBarrierError):
                await both.abort()

        async def read_and_meet(*args: Any) -> Any:
            found = await read(*args)
            await meet()
            return found

        async def check_and_meet(*args: Any) -> None:
            await check(*args)
            await meet()

        with mock.patch.object(standing, "read", read_and_meet), mock.patch.object(disputes, "check", check_and_meet):
            await asyncio.gather(self.confirm(who), self.dispute(other, claim_id))
        return True

    # --- contracts

    async def sign(self, limit_cents: int) -> bool:
        world = self.world
        world.gateway.book.tokens["tok_1"] = VISA
        wanted = WantedContract("9901", "d1", None, "ana@example.org", limit_cents, "tok_1", Card("VI", "4242", 12, 2031))
        async with world.app["contracts"].begin(P) as tx:
            made = await contract_handlers.create(tx, world.clock, world.keys[0], P, wanted, "tests")
            self.contract = await contract_handlers.sign(tx, world.clock, P, "9901", made.epayment_id, _pdf(), "tests")
        await world.collect("contracts")
        return True

    async def cancel(self) -> bool:
        try:
            async with self.world.app["contracts"].begin(P) as tx:
                await contract_handlers.cancel(tx, self.world.clock, P, self.contract.contract_id, "asked for")
        except ContractRefused:
            return False
        await self.world.collect("contracts")
        return True

    async def fall_due(self) -> bool:
        """Contracts' timers."""
        clock = self.world.clock

        async def due(tx: Any, timer: Any) -> None:
            await charges.on_due(tx, timer, clock, None)

        done = await timers.fire(self.world.worker["contracts"], clock, {charges.TIMER: due})
        await self.world.collect("contracts")
        return bool(done)

    async def charge(self, outcome: str = "ok") -> bool:
        """Charges what was submitted, and asks about what is in doubt."""
        self.world.clock.move(seconds=30)
        self.world.gateway.outcome = outcome
        try:
            done = await Charging(self.world.worker["contracts"], self.world.clock, self.world.gateway).run_once()
        except Died:
            done = 1
        finally:
            self.world.gateway.outcome = "ok"
        await self.world.collect("contracts")
        return bool(done)

    async def notice_again(self) -> bool:
        rows = await self.world.rows("contracts", "SELECT charge_id FROM charges WHERE status = 'paused'")
        for row in rows:
            async with self.world.app["contracts"].begin(P) as tx:
                await charges.notice_again(tx, self.world.clock, P, row["charge_id"])
        await self.world.collect("contracts")
        return bool(rows)

    # --- time and mails

    async def wait(self) -> bool:
        """Does nothing until all that is read soon has been read."""
        return False

    async def day(self, days: int = 1) -> bool:
        self.world.clock.now += timedelta(days=days)
        return True

    async def mails(self) -> bool:
        await self.post.go()
        return True


@cache
def _pdf() -> bytes:
    writer = pypdf.PdfWriter()
    writer.add_blank_page(200, 200)
    data = io.BytesIO()
    writer.write(data)
    return data.getvalue()
