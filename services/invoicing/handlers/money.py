"""Money arrives: captured payments from the portal, balances and payments as posting has them (EP-12, EP-29)."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicing.handlers.settle import settle
from services.invoicing.store import WANT, Key, claims, keyed, payments
from shared.db import fetch
from shared.events.portal import PaymentCaptured
from shared.events.posting import ClaimBalances, PaymentState
from shared.messages import Message


async def lock(tx: AsyncConnection, named: Iterable[Key]) -> None:
    """Makes captures and posting's states of these payments wait for each other; before any claim is locked.

    They come on two topics, to two replicas perhaps, and there may be no row yet that both would lock: each would commit without the other.
    """
    await fetch(tx, _LOCK, keyed(named))


# Each once and in one order, whatever the hashes are.
_LOCK = f"""
SELECT pg_advisory_xact_lock(place) FROM (
  SELECT DISTINCT hashtextextended('payment/' || practice_id || '/' || id, 0) AS place FROM {WANT} ORDER BY place
) AS ordered
"""


async def captured(tx: AsyncConnection, now: datetime, messages: Sequence[Message[PaymentCaptured]]) -> None:
    """Captured payments: pending on the claims they name, on whatever line these are, until posting has them."""
    traces: dict[Key, str | None] = {}
    headers = set()
    for message in messages:
        practice_id = message.body.practice_id
        for named in message.body.invoices:
            headers.add((practice_id, named.invoice_id))
            traces |= {(practice_id, paid.claim_id): message.trace for paid in named.claims}
    told = {(message.body.practice_id, message.body.payment_id) for message in messages}
    await lock(tx, told)
    await claims.lock(tx, traces, headers)
    for message in messages:
        await payments.add(tx, message.body)
    # A payment counts whole: another part of it may have come before.
    touched = await payments.claims_of(tx, told)
    await settle(tx, now, touched, headers=headers, traces=traces)


async def posted(tx: AsyncConnection, now: datetime, messages: Sequence[Message[PaymentState | None]]) -> None:
    """How posting has payments: posted once complete and once our balance copies have reached what it names."""
    states = {(message.body.practice_id, message.body.payment_id): message for message in messages if message.body}
    await lock(tx, states)
    touched = await payments.claims_of(tx, states)
    await claims.lock(tx, touched)
    await payments.keep_postings(tx, [message.body for message in messages if message.body])
    await settle(tx, now, touched, traces={key: states[payment].trace for key, payment in touched.items()})


async def balances(tx: AsyncConnection, now: datetime, messages: Sequence[Message[ClaimBalances | None]]) -> None:
    """What posting says a claim's money is: lines take it whole, waiting payments are looked at again, re-issues may be due."""
    traces = {claim_of(message): message.trace for message in messages}
    states = [message.body for message in messages if message.body]
    waiting = await payments.waited_for(tx, states)
    touched = set(traces) | set(await payments.claims_of(tx, waiting))
    await claims.lock(tx, touched)
    # A payment may have been posted while we waited for the locks.
    if late := await payments.waited_for(tx, states) - waiting:
        more = set(await payments.claims_of(tx, late))
        await claims.lock(tx, more - touched)
        touched |= more
    await payments.keep_balances(tx, states)
    await payments.forget_balances(tx, [claim_of(message) for message in messages if message.body is None])
    await settle(tx, now, touched, traces=traces)


def claim_of(message: Message[ClaimBalances | None]) -> Key:
    """The claim whose balances a record tells, or takes back."""
    practice_id, claim_id = message.key.split("/", 1)
    return practice_id, claim_id
