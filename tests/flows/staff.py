"""The practice in the played world: its own system, its staff at invoicing and posting, and the desk that makes contracts."""

import io
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any

import pypdf

from services.contracts.charging import Charging
from services.contracts.domain.contract import Refused as ContractRefused
from services.contracts.handlers import charges
from services.contracts.handlers import contracts as contract_handlers
from services.contracts.handlers.contracts import Wanted as WantedContract
from services.invoicing import consumers as invoicing_consumers
from services.invoicing import jobs as invoicing_jobs
from services.invoicing.domain.claim import Refused as InvoicingRefused
from services.invoicing.handlers import holds, runs
from services.invoicing.handlers.holds import Decision
from services.posting import batches
from services.posting.domain.batch import DepositType
from services.posting.domain.payment import LineAnswer
from services.posting.domain.payment import Refused as PostingRefused
from services.posting.handlers.remittance import post_payment
from shared import timers
from shared.events.ingress import (
    CLAIM_BILLED,
    CLAIM_HOLD_REQUESTED,
    CLAIM_REDROP_REQUESTED,
    CLAIM_VOIDED,
    ClaimHoldRequested,
    ClaimRedropRequested,
    ClaimVoided,
    Payer,
)
from shared.gateway import Card
from tests.flows.gateway import VISA, Died
from tests.flows.world import World
from tests.invoicing.made import PRACTICE, claim

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
BANK = {"bank_account_id": "1", "name": "Operating", "last4": "1111"}
HOUSE = PRACTICE | {"digest_at": "08:00", "merchant_locations": [PLACE], "bank_accounts": [BANK], "contracts_on": True}
INSURED = [Payer(order=1, kind="insurance", payer_id="I"), Payer(order=2, kind="patient", payer_id="9901")]


@dataclass
class Pm:
    """The practice's own system: what it knows of a claim. Its version rises with everything it says."""

    version: int = 0
    payer: str = "e1"
    void: bool = False


class Practice:
    """What the practice does. Each action answers False where it cannot be done now."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.pm: dict[str, Pm] = {}
        self.contract: Any = None

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


@cache
def _pdf() -> bytes:
    writer = pypdf.PdfWriter()
    writer.add_blank_page(200, 200)
    data = io.BytesIO()
    writer.write(data)
    return data.getvalue()
