"""What happens to a claim's account when its content, its payer or its being void changes (events: change after invoicing)."""

from collections.abc import Mapping
from dataclasses import replace

from services.posting.domain.claim import Account, Cause, Claim, Column, Content, Entry, Kind, Payer, post


def take(claim: Claim, content: Content) -> tuple[Claim, list[Entry]]:
    """Takes in content if it is the highest `(version, revision)`, or the same with other content: then the later record wins."""
    known = claim.content
    if known and (content.order < known.order or content == known):
        return claim, []
    if known and content.order == known.order and content.revision:
        return claim, []
    rebilled = content.revision == 0
    entries: list[Entry] = []
    if rebilled and claim.adjudicated and content.billed_to.kind != "patient":
        # Billed again to a payer before the patient: what the patient paid so far is the patient's credit.
        entries += _patient_money_to_credit(claim)
        claim = replace(post(claim, entries), adjudicated=False)
    if rebilled:
        before = content.payers[: content.payers.index(content.billed_to)]
        claim = replace(claim, answered=claim.answered & frozenset(before))
    claim = replace(claim, content=content, current=content.billed_to if rebilled else claim.current or content.billed_to)
    settled = settle(claim)
    claim = post(claim, settled)
    if not claim.adjudicated and content.billed_to.kind == "patient":
        claim = replace(claim, adjudicated=True, adjudication_no=claim.adjudication_no + 1)
    return claim, entries + settled


def void(claim: Claim, version: int) -> tuple[Claim, list[Entry]]:
    """Notes a void; where it is above what was billed, the charges go and what was paid is its payer's credit."""
    claim = replace(claim, void_version=max(claim.void_version, version))
    if claim.content is None:
        return claim, []
    entries = settle(claim)
    return post(claim, entries), entries


def settle(claim: Claim) -> list[Entry]:
    """The entries that bring every charge to its content, with nothing below 0 and all that is open in the current payer's column.

    What is too much lowers adjustments first, then payments, which become credit; the current payer's before others'.
    """
    if claim.content is None or claim.current is None:
        return []
    wanted: Mapping[str, int] = {} if claim.voided else claim.content.charges
    cause = Cause("void" if claim.voided else "correction" if claim.content.revision else "claim", claim.claim_id)
    entries: list[Entry] = []
    for charge_id in claim.charge_ids():
        columns = {payer: column for (charge, payer), column in claim.columns.items() if charge == charge_id}
        entries += _settle_charge(claim, charge_id, wanted.get(charge_id, 0), columns, cause)
    return entries


def _settle_charge(claim: Claim, charge_id: str, wanted: int, columns: Mapping[Payer, Column], cause: Cause) -> list[Entry]:
    current = claim.current
    assert current is not None
    entries: list[Entry] = []
    balance = {payer: column.balance_cents for payer, column in columns.items()} | ({} if current in columns else {current: 0})
    origin = next((payer for payer, column in columns.items() if column.charged_cents), current)
    if delta := wanted - sum(column.charged_cents for column in columns.values()):
        entries.append(Entry(charge_id, origin, Kind.VOID if claim.voided else Kind.CHARGE, delta, Account.REVENUE, cause))
        balance[origin] = balance.get(origin, 0) + delta
    too_much = -sum(balance.values())
    whose = sorted(columns, key=lambda payer: payer != current)
    for payer in whose:
        if (less := min(too_much, columns[payer].adjusted_cents)) > 0:
            entries.append(Entry(charge_id, payer, Kind.ADJUSTMENT, -less, Account.ADJUSTMENTS, cause))
            balance[payer] += less
            too_much -= less
    for payer in whose:
        for (payment_id, charge, paid_as), cents in reversed(list(claim.applied.items())):
            if charge == charge_id and paid_as == payer and (less := min(too_much, cents)) > 0:
                entries.append(Entry(charge_id, payer, Kind.PAYMENT, -less, Account.CREDIT, cause, payment_id))
                balance[payer] += less
                too_much -= less
    for payer, cents in balance.items():
        if payer != current and cents:
            moved = Cause("payer_change", claim.claim_id)
            entries.append(Entry(charge_id, payer, Kind.TRANSFER, -cents, None, moved))
            entries.append(Entry(charge_id, current, Kind.TRANSFER, cents, None, moved))
    return entries


def _patient_money_to_credit(claim: Claim) -> list[Entry]:
    cause = Cause("claim", claim.claim_id)
    return [
        Entry(charge_id, payer, Kind.PAYMENT, -cents, Account.CREDIT, cause, payment_id)
        for (payment_id, charge_id, payer), cents in claim.applied.items()
        if payer.kind == "patient"
    ]
