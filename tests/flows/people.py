"""People at the employer, time and mails in the played world, through the services' own functions. Each action answers False where it cannot be
done now: there is no such invoice yet, the page would not offer it, the service refuses."""

import asyncio
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from unittest import mock

from sqlalchemy import text

from services.invoicing.handlers import accounts, practices
from services.portal.checkout import cart, pay
from services.portal.checkout.jobs import ask_due
from services.portal.checkout.pay import Checkout
from services.portal.contacts import access
from services.portal.contacts import store as contact_store
from services.portal.contacts.status import ContactRole, Move, Status
from services.portal.disputes import store as disputes
from services.portal.identity.here import Here
from services.portal.invoices import standing
from shared import ids
from shared.events.ingress import (
    DEPARTMENT_STATE,
    PATIENT_STATE,
    DepartmentState,
    PatientState,
)
from tests.flows.gateway import VISA, Died
from tests.flows.mail import Post
from tests.flows.staff import HOUSE, P, Practice
from tests.flows.world import World
from tests.invoicing.made import employer


class People(Practice):
    """Everybody who acts in one schedule, and what they hold in their hands."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.here: dict[str, Here] = {}
        self.attempts: dict[str, str] = {}
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
            await accounts.save(tx, now, employer(payers=("e1", "e2")), None)
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
