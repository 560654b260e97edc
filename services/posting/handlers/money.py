"""Card money that other services captured: posted without a hand into the day's e-payment batch (EP-21, RP-20)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.posting import batches, store
from services.posting.domain.claim import Account, Payer
from services.posting.domain.payment import Payment, Share, ready
from services.posting.handlers.claims import apply_share
from services.posting.handlers.publish import close_books
from services.posting.store import Books
from shared import waiting
from shared.clock import Clock
from shared.events.contracts import ContractCharged
from shared.events.portal import PaymentCaptured
from shared.events.types import Card
from shared.messages import Handler, Message

FACTS = "posting.facts"


@dataclass(frozen=True, slots=True)
class PaidPart:
    """What a capture says of one claim: whose money it is, the content the payer saw, and the amount."""

    claim_id: str
    payer_id: str
    seen: tuple[int, int]
    cents: int


@dataclass(frozen=True, slots=True)
class Capture:
    """Captured money, whoever captured it. `part` of `parts`; `cents` is this part's amount. `kind` is the payer's, `payer` the first claim's."""

    practice_id: str
    payment_id: str
    source: str
    kind: str
    part: int
    parts: int
    amount_cents: int
    local_date: date
    record_number: str
    authorization_number: str
    card: Card
    user_name: str
    transaction_type: str
    claims: tuple[PaidPart, ...]

    @property
    def payer(self) -> Payer:
        """The first that is named."""
        return Payer(self.kind, self.claims[0].payer_id)

    @property
    def cents(self) -> int:
        return sum(part.cents for part in self.claims)


def of_portal(body: PaymentCaptured) -> Capture:
    """An employer's payment. Its claims have one payer id each, all of one account."""
    parts = tuple(
        PaidPart(claim.claim_id, claim.payer_id, (claim.claim_version, claim.claim_revision), claim.amount_cents)
        for invoice in body.invoices
        for claim in invoice.claims
    )
    return _capture(body, "portal", "corporate", body.part, body.parts, parts)


def of_contract(body: ContractCharged) -> Capture:
    """A patient's card on file."""
    parts = tuple(
        PaidPart(claim.claim_id, body.patient_id, (claim.claim_version, claim.claim_revision), claim.amount_cents) for claim in body.claims
    )
    return _capture(body, "contract", "patient", 1, 1, parts)


def _capture(body: PaymentCaptured | ContractCharged, source: str, kind: str, part: int, parts: int, claims: tuple[PaidPart, ...]) -> Capture:
    return Capture(
        body.practice_id,
        body.payment_id,
        source,
        kind,
        part,
        parts,
        body.amount_cents,
        body.local_date,
        body.record_number,
        body.authorization_number,
        body.card,
        body.user_name,
        body.transaction_type,
        claims,
    )


def handlers(clock: Clock) -> tuple[Handler, Handler]:
    """Handlers of invoice.payment_captured and contract.charged."""

    async def captured(tx: AsyncConnection, messages: list[Message[PaymentCaptured]]) -> None:
        await _take_in(tx, [(message, of_portal(message.body)) for message in messages], clock)

    async def charged(tx: AsyncConnection, messages: list[Message[ContractCharged]]) -> None:
        await _take_in(tx, [(message, of_contract(message.body)) for message in messages], clock)

    return captured, charged


async def _take_in(tx: AsyncConnection, captures: Sequence[tuple[Message[Any], Capture]], clock: Clock) -> None:
    known = await batches.practices(tx, {capture.practice_id for _, capture in captures})
    for message, capture in captures:
        if capture.practice_id not in known:
            await waiting.keep(tx, FACTS, f"practice/{capture.practice_id}", message)
    # Batches of practices and days are locked in one order.
    here = sorted(((m, c) for m, c in captures if c.practice_id in known), key=lambda each: (each[1].practice_id, each[1].local_date))
    if not here:
        return
    keys = {(capture.practice_id, part.claim_id) for _, capture in here for part in capture.claims}
    books = await store.load(tx, keys, {(capture.practice_id, capture.payment_id) for _, capture in here}, clock.business())
    for message, capture in here:
        at = capture.practice_id, capture.payment_id
        if at in books.payments and capture.part in books.payments[at].parts_posted:
            continue
        books.traces[at] = message.trace
        await _post(tx, books, capture, message.trace, known[capture.practice_id])
    await close_books(tx, books, clock.business())


async def _post(tx: AsyncConnection, books: Books, capture: Capture, trace: str | None, practice: Any) -> None:
    at = capture.practice_id, capture.payment_id
    batch_id = await batches.of_the_day(tx, practice, capture.source, capture.local_date)
    if at not in books.payments:
        books.payments[at] = Payment(*at, capture.source, capture.payer, capture.amount_cents, capture.parts, batch_id)
        books.shares[at] = {}
        books.details[at] = {
            "posted_on": books.days[capture.practice_id],
            "record_number": capture.record_number,
            "authorization_number": capture.authorization_number,
            "user_name": capture.user_name,
            "transaction_type": capture.transaction_type,
            "card_brand": capture.card.brand,
            "card_last4": capture.card.last4,
        }
    # A part that comes after its day's close goes to the next batch, as a closed one never changes; the payment keeps naming its first.
    books.payments[at] = replace(books.payments[at], parts_posted=books.payments[at].parts_posted | {capture.part})
    await batches.raise_by(tx, capture.practice_id, batch_id, capture.payment_id, capture.cents)
    for part in capture.claims:
        key = capture.practice_id, part.claim_id
        other = part.payer_id if part.payer_id != books.payments[at].payer.payer_id else None
        # A claim that was named before, in this part or an earlier one, keeps its payer and what of it waits.
        share = books.shares[at].get(part.claim_id, Share(part.claim_id, payer_id=other))
        share = replace(share, seen=max(share.seen, part.seen), given_cents=share.given_cents + part.cents)
        if ready(books.claims[key], part.seen):
            books.shares[at][part.claim_id] = share
            books.traces[key] = trace
            apply_share(books, at, key, part.cents, Account.CASH, batch_id)
        else:
            books.shares[at][part.claim_id] = replace(share, waiting_cents=share.waiting_cents + part.cents)
            books.move(at, batch_id, Account.CASH, Account.UNAPPLIED, part.cents)
