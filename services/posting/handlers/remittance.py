"""What staff post by hand: a payer's answer on one claim, inside an open payment batch (RP-05, RP-26)."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.posting import batches, store, tables
from services.posting.domain.claim import Claim
from services.posting.domain.payment import LineAnswer, Payment, Refused, Share, post_remittance
from services.posting.handlers.publish import close_books
from shared import ids, telemetry
from shared.clock import Clock


async def post_payment(
    tx: AsyncConnection,
    clock: Clock,
    practice_id: str,
    batch_id: str,
    claim_id: str,
    lines: Sequence[LineAnswer],
    user: str,
    seen: int | None = None,
) -> Claim:
    """Posts what the payer asked now paid and adjusted; the rest moves to the next payer. Raises Refused in words.

    `seen` is the balances' version that the answer was read against: what changed since is looked at again first.
    """
    batch = tables.payment_batches.c
    where = (batch.practice_id == practice_id, batch.batch_id == batch_id)
    key = practice_id, claim_id
    known = tables.claims.c
    if (await tx.execute(select(known.content).where(known.practice_id == practice_id, known.claim_id == claim_id))).scalar_one_or_none() is None:
        raise Refused(f"There is no claim {claim_id}")
    books = await store.load(tx, [key], [], clock.business())
    found = (await tx.execute(select(tables.payment_batches).where(*where).with_for_update())).one_or_none()
    if found is None or found.state != "open" or found.route != "manual":
        raise Refused("This payment batch is not open for posting")
    claim = books.claims[key]
    if seen is not None and seen != claim.version:
        raise Refused("This claim has changed since you opened it. Look at what is open now, then post again")
    if claim.current is None or claim.current.kind == "patient":
        raise Refused("All payers before the patient have answered; post the patient's payment at the desk")
    cents = sum(line.paid_cents for line in lines)
    at = practice_id, ids.new()
    posted = post_remittance(claim, claim.current, lines, at[1])
    if cents > found.target_cents - found.posted_cents:
        raise Refused("This is more than the batch has left. Post less, or post it in another batch")
    books.payments[at] = Payment(*at, "check", claim.current, cents, 1, batch_id, frozenset({1}))
    books.shares[at] = {claim_id: Share(claim_id)}
    books.details[at] = {
        "posted_on": books.days[practice_id],
        "record_number": found.check_number,
        "authorization_number": None,
        "user_name": user,
        "transaction_type": "Insurance Payment",
        "card_brand": None,
        "card_last4": None,
    }
    books.traces[key] = telemetry.traceparent()
    books.enter(key, *posted, batch_id)
    await batches.add_posted(tx, practice_id, batch_id, at[1], cents)
    await close_books(tx, books, clock.business())
    return books.claims[key]
