"""News about claims: billed, corrected, voided, and the write-offs of a re-drop."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.posting import store
from services.posting.domain import content as rules
from services.posting.domain import payment as money
from services.posting.domain.claim import Account, Content, Payer
from services.posting.handlers.publish import close_books
from services.posting.store import Books, Key
from shared import outbox, parking, waiting
from shared.clock import Clock
from shared.events.ingress import ClaimBilled
from shared.events.invoicing import ClaimCorrected, ClaimRedropped
from shared.messages import Handler, Message

CLAIMS, FACTS = "posting.claims", "posting.facts"


def handlers(clock: Clock) -> tuple[Handler, Handler, Handler]:
    """Handlers of claim.billed with claim.corrected.state, claim.voided, and claim.redropped."""

    async def billed(tx: AsyncConnection, messages: list[Message[ClaimBilled | ClaimCorrected]]) -> None:
        books = await _open(tx, messages, clock)
        warnings = []
        for message in messages:
            key = _key(message)
            before = books.claims[key]
            content = content_of(message.body)
            claim, entries = rules.take(before, content)
            if claim != before and before.content and before.content.order == content.order:
                warnings.append(
                    parking.warning("posting", CLAIMS, message, "the same version came before with other content; the later one is taken")
                )
            if claim != before:
                books.traces[key] = message.trace
                books.enter(key, claim, entries)
        await _money_that_waited(tx, books)
        await close_books(tx, books, clock.business())
        await outbox.append(tx, clock.business(), warnings)

    async def voided(tx: AsyncConnection, messages: list[Message[Any]]) -> None:
        books = await _open(tx, messages, clock)
        for message in messages:
            key = _key(message)
            books.traces[key] = message.trace
            books.enter(key, *rules.void(books.claims[key], message.body.version))
        await close_books(tx, books, clock.business())

    async def redropped(tx: AsyncConnection, messages: list[Message[ClaimRedropped]]) -> None:
        books = await _open(tx, messages, clock)
        for message in messages:
            if not _write_off(books, message):
                await waiting.keep(tx, FACTS, _need(_key(message)), message)
        await close_books(tx, books, clock.business())

    return billed, voided, redropped


async def _open(tx: AsyncConnection, messages: Sequence[Message[Any]], clock: Clock) -> Books:
    return await store.load(tx, [_key(message) for message in messages], [], clock.business())


def _key(message: Message[Any]) -> Key:
    return message.body.practice_id, message.body.claim_id


def _need(key: Key) -> str:
    return f"claim/{key[0]}/{key[1]}"


def content_of(body: ClaimBilled) -> Content:
    """What posting keeps of a claim as billed, or as corrected."""
    return Content(
        version=body.version,
        revision=body.revision if isinstance(body, ClaimCorrected) else 0,
        patient_id=body.patient.patient_id,
        appointment_id=body.appointment_id,
        service_date=body.service_date,
        department_id=body.department_id,
        provider_group_id=body.provider_group_id,
        payers=tuple(Payer(payer.kind, payer.payer_id) for payer in sorted(body.payers, key=lambda payer: payer.order)),
        billed_to=Payer(body.payer.kind, body.payer.payer_id),
        charges={charge.charge_id: charge.amount_cents for charge in body.charges},
        procedures={charge.charge_id: (" ".join((charge.procedure_code, *charge.modifiers)), charge.description) for charge in body.charges},
    )


def _write_off(books: Books, message: Message[ClaimRedropped]) -> bool:
    """Posts a re-drop's write-offs; False while the content they are about has not arrived."""
    body, key = message.body, _key(message)
    if not body.write_offs:
        return True
    if not money.ready(books.claims[key], (body.claim_version, body.claim_revision)):
        return False
    for each in body.write_offs:
        books.traces[key] = message.trace
        books.enter(key, *money.write_off(books.claims[key], each.write_off_id, each.charge_id, each.amount_cents))
    return True


async def _money_that_waited(tx: AsyncConnection, books: Books) -> None:
    """Applies captured money and write-offs whose claim content has now arrived."""
    changed = books.changed()
    for payment_key, shares in books.shares.items():
        for claim_id, share in list(shares.items()):
            key = payment_key[0], claim_id
            if share.waiting_cents and key in books.claims and money.ready(books.claims[key], share.seen):
                shares[claim_id] = replace(share, waiting_cents=0)
                apply_share(books, payment_key, key, share.waiting_cents, Account.UNAPPLIED, books.payments[payment_key].batch_id)
    for message in await waiting.take(tx, FACTS, {_need(key) for key in changed}):
        if not _write_off(books, message):
            await waiting.keep(tx, FACTS, _need(_key(message)), message)


def apply_share(books: Books, payment_key: Key, key: Key, cents: int, source: Account, batch_id: str) -> None:
    """Applies money of a payment to a claim that it has a share in; what is too much becomes the credit of whose money it was."""
    payment = books.payments[payment_key]
    payer = money.payer_of(payment, books.shares[payment_key][key[1]])
    claim, entries, left = money.apply(books.claims[key], payer, cents, payment.payment_id, source)
    books.enter(key, claim, entries, batch_id)
    books.credit(payment_key, batch_id, source, left)
