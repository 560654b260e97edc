"""What posting says after its books changed: balances, adjudication, payments, credits; one state message per key and transaction."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.posting import store
from services.posting.domain.claim import Claim, Payer
from services.posting.domain.payment import credits_of, next_payer, standing
from services.posting.store import Books, Key
from shared import outbox
from shared.events.posting import (
    CLAIM_ADJUDICATED,
    CLAIM_BALANCES,
    CREDIT_STATE,
    PAYER_ADVANCED,
    PAYMENT_STATE,
    BalanceLine,
    Cause,
    ClaimAdjudicated,
    ClaimBalances,
    CreditState,
    Entry,
    PayerAdvanced,
    PaymentClaim,
    PaymentState,
)
from shared.outbox import Outgoing


async def close_books(tx: AsyncConnection, books: Books, now: datetime) -> None:
    """Numbers, stores and publishes what changed. Ends every transaction that opened books."""
    changed = books.changed()
    for key in changed:
        if books.claims[key].content is not None:
            books.claims[key] = replace(books.claims[key], version=books.claims[key].version + 1)
    _update_shares(books, changed)
    await store.save(tx, books)
    entries = await store.newest_entries(tx, [key for key in changed if books.claims[key].version])
    events = [out for key in changed if books.claims[key].version for out in _claim_events(books, key, entries.get(key, []))]
    events += _payment_events(books)
    events += await _credit_events(tx, books)
    await outbox.append(tx, now, events)


def _update_shares(books: Books, changed: Sequence[Key]) -> None:
    """`balances_version` moves only when that payment's part of the claim changed (events: a message names what it contains).

    Money that is all credit changes no claim; it names the version that left nothing to pay, so that nobody takes it for posted before that.
    """
    for payment_key, found in books.shares.items():
        stored = books.stored_shares.get(payment_key, {})
        for claim_id, share in found.items():
            key = payment_key[0], claim_id
            if key not in changed and share == stored.get(claim_id):
                continue
            applied = books.claims[key].paid_by(payment_key[1])
            if applied != share.applied_cents or share != stored.get(claim_id):
                found[claim_id] = replace(share, applied_cents=applied, balances_version=books.claims[key].version)
    for payment_key, payment in books.payments.items():
        if payment != books.stored_payments.get(payment_key) or books.shares[payment_key] != books.stored_shares.get(payment_key):
            books.payments[payment_key] = replace(payment, version=payment.version + 1)


def _claim_events(books: Books, key: Key, entries: Sequence[Any]) -> list[Outgoing]:
    claim, before, trace = books.claims[key], books.stored_claims[key], books.traces.get(key)
    events = [Outgoing(CLAIM_BALANCES, balances_of(claim, entries, _total(books, key)), trace)]
    causes = [posted.entry.cause.id for posted in books.posted if posted.key == key and posted.entry.cause.kind == "check"]
    if claim.adjudication_no > before.adjudication_no:
        events.append(Outgoing(CLAIM_ADJUDICATED, _adjudicated(claim, books, causes[0] if causes else None), trace))
    if causes and before.current and claim.current != before.current:
        events.append(Outgoing(PAYER_ADVANCED, _advanced(claim, before.current, books), trace))
    return events


def _total(books: Books, key: Key) -> int:
    return books.totals[key] + sum(posted.key == key for posted in books.posted)


def balances_of(claim: Claim, entries: Sequence[Any], total: int) -> ClaimBalances:
    """What others are told of a claim's money."""
    content = claim.content
    assert content is not None
    order = {charge_id: number for number, charge_id in enumerate(claim.charge_ids())}
    return ClaimBalances(
        practice_id=claim.practice_id,
        claim_id=claim.claim_id,
        version=claim.version,
        claim_version=content.version,
        claim_revision=content.revision,
        voided=claim.voided,
        patient_id=content.patient_id,
        appointment_id=content.appointment_id,
        service_date=content.service_date,
        department_id=content.department_id,
        provider_group_id=content.provider_group_id,
        adjudicated=claim.adjudicated and not claim.voided,
        adjudication_no=claim.adjudication_no,
        patient_balance_cents=claim.patient_balance_cents,
        lines=[
            BalanceLine(
                charge_id=charge_id,
                kind=payer.kind,  # type: ignore[arg-type]
                payer_id=payer.payer_id,
                charged_cents=sums.charged_cents,
                paid_cents=sums.paid_cents,
                adjusted_cents=sums.adjusted_cents,
                transferred_in_cents=sums.transferred_in_cents,
                transferred_out_cents=sums.transferred_out_cents,
                balance_cents=sums.balance_cents,
            )
            for (charge_id, payer), sums in sorted(claim.columns.items(), key=lambda item: (order[item[0][0]], item[0][1]))
        ],
        write_offs=list(claim.write_offs),
        entries_total=total,
        entries=[
            Entry(
                entry_id=row.entry_id,
                on=row.on,
                kind=row.kind,
                charge_id=row.charge_id,
                payer_id=row.payer_id,
                amount_cents=row.amount_cents,
                group=row.group_code,
                code=row.reason_code,
                cause=Cause(kind=row.cause_kind, id=row.cause_id),
                voids=None,
            )
            for row in entries
        ],
    )


def _adjudicated(claim: Claim, books: Books, remittance_id: str | None) -> ClaimAdjudicated:
    content = claim.content
    assert content is not None
    return ClaimAdjudicated(
        practice_id=claim.practice_id,
        claim_id=claim.claim_id,
        adjudication_no=claim.adjudication_no,
        balances_version=claim.version,
        claim_version=content.version,
        claim_revision=content.revision,
        patient_id=content.patient_id,
        appointment_id=content.appointment_id,
        service_date=content.service_date,
        department_id=content.department_id,
        provider_group_id=content.provider_group_id,
        patient_balance_cents=claim.patient_balance_cents,
        adjudicated_on=books.days[claim.practice_id],
        remittance_id=remittance_id,
    )


def _advanced(claim: Claim, before: Payer, books: Books) -> PayerAdvanced:
    following = next_payer(claim, before)
    assert following is not None
    return PayerAdvanced(
        practice_id=claim.practice_id,
        claim_id=claim.claim_id,
        balances_version=claim.version,
        from_kind=before.kind,  # type: ignore[arg-type]
        from_payer_id=before.payer_id,
        to_kind=following.kind,  # type: ignore[arg-type]
        to_payer_id=following.payer_id,
        amount_cents=claim.open_of(following),
        advanced_on=books.days[claim.practice_id],
    )


def _payment_events(books: Books) -> list[Outgoing]:
    changed = [key for key, payment in sorted(books.payments.items()) if payment.source != "check" and payment != books.stored_payments.get(key)]
    return [Outgoing(PAYMENT_STATE, payment_of(books, key), books.traces.get(key)) for key in changed]


def payment_of(books: Books, key: Key) -> PaymentState:
    """What others are told of a card payment."""
    payment, shares = books.payments[key], books.shares[key]
    applied, waiting = standing(payment, shares)
    return PaymentState(
        practice_id=payment.practice_id,
        payment_id=payment.payment_id,
        version=payment.version,
        source=payment.source,  # type: ignore[arg-type]
        parts_posted=len(payment.parts_posted),
        parts=payment.parts,
        amount_cents=payment.amount_cents,
        applied_cents=applied,
        credited_cents=payment.credited_cents,
        waiting_cents=waiting,
        refunded_cents=0,
        batch_id=payment.batch_id,
        posted_on=books.details[key]["posted_on"],
        claims=[
            PaymentClaim(claim_id=share.claim_id, applied_cents=share.applied_cents, balances_version=share.balances_version)
            for share in sorted(shares.values(), key=lambda share: share.claim_id)
            if not share.waiting_cents
        ],
    )


async def _credit_events(tx: AsyncConnection, books: Books) -> list[Outgoing]:
    moved: dict[tuple[str, Payer], Key] = {}
    for key, payment in books.payments.items():
        stored = books.stored_payments.get(key)
        before = credits_of(stored, books.stored_shares[key]) if stored else Counter[Payer]()
        now = credits_of(payment, books.shares[key])
        moved |= {(key[0], payer): key for payer in now if now[payer] != before[payer]}
    events = []
    for (practice_id, payer), key in sorted(moved.items()):
        holder = f"{payer.kind}:{payer.payer_id}"
        version, cents = await store.next_credit(tx, practice_id, payer, holder)
        events.append(Outgoing(CREDIT_STATE, credit_of(practice_id, holder, version, cents), books.traces.get(key)))
    return events


def credit_of(practice_id: str, holder: str, version: int, cents: int) -> CreditState:
    """What others are told of a payer's or patient's credit."""
    kind, _, payer_id = holder.partition(":")
    return CreditState(practice_id=practice_id, holder=holder, version=version, kind=kind, payer_id=payer_id, credit_cents=cents)  # type: ignore[arg-type]
