"""What happens when money comes in: card payments taken by other services, and what staff post for a payer. Pure rules."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from services.posting.domain.claim import Account, Cause, Claim, Column, Entry, Kind, Payer, post, spread


class Refused(ValueError):
    """A posting that staff asked for and the rules do not allow, in words for the form; `charge_id` where it is about one line."""

    def __init__(self, words: str, charge_id: str = "") -> None:
        super().__init__(words)
        self.charge_id = charge_id


def apply(claim: Claim, payer: Payer, cents: int, payment_id: str, source: Account) -> tuple[Claim, list[Entry], int]:
    """Applies captured money to what this payer is asked now; returns the account, the entries, and what is left over as credit.

    A fact cannot be refused: money beyond the balance, or of a payer no longer asked, is that payer's credit (events: payment).
    """
    share = min(cents, claim.open_of(payer)) if claim.current == payer else 0
    cause = Cause("payment", payment_id)
    entries = [Entry(charge_id, payer, Kind.PAYMENT, part, source, cause, payment_id) for charge_id, part in spread(claim, payer, share)]
    claim = post(claim, entries)
    if claim.current == payer:
        claim = answer(claim, payer)
    return claim, entries, cents - share


def ready(claim: Claim | None, seen: tuple[int, int]) -> bool:
    """Whether the content the payer saw has arrived here; until then captured money stays unapplied, tagged."""
    return claim is not None and claim.content is not None and claim.content.order >= seen


def answer(claim: Claim, payer: Payer) -> Claim:
    """Notes that a payer answered; when all before the patient have, the claim is adjudicated, one more time."""
    content = claim.content
    assert content is not None
    answered = claim.answered | {payer}
    done = all(each in answered for each in content.payers if each.kind != "patient")
    if done and not claim.adjudicated:
        claim = replace(claim, adjudicated=True, adjudication_no=claim.adjudication_no + 1)
    return replace(claim, answered=answered)


def write_off(claim: Claim, write_off_id: str, charge_id: str, cents: int) -> tuple[Claim, list[Entry]]:
    """Posts what of a write-off is open, once; it is named as taken in also when that is nothing."""
    if write_off_id in claim.write_offs or claim.current is None:
        return claim, []
    column = claim.columns.get((charge_id, claim.current), Column())
    amount = min(cents, column.balance_cents)
    cause = Cause("write_off", write_off_id)
    entries = [Entry(charge_id, claim.current, Kind.ADJUSTMENT, amount, Account.ADJUSTMENTS, cause, group="OA", code="WO")]
    return replace(post(claim, entries), write_offs=(*claim.write_offs, write_off_id)), entries


@dataclass(frozen=True, slots=True)
class LineAnswer:
    """What a payer's remittance says about one charge: paid, and adjusted with group and reason code."""

    charge_id: str
    paid_cents: int
    adjusted_cents: int
    group: str = "CO"
    code: str = "45"


def post_remittance(claim: Claim, payer: Payer, lines: Sequence[LineAnswer], payment_id: str) -> tuple[Claim, list[Entry]]:
    """Posts a payer's answer by claim (RP-05); the payer's part is done, so what stays open moves to the next payer (RP-26).

    Raises Refused where the payer is not the one asked, a charge is answered twice, a line takes more than is open, or an open charge is
    not answered: what nobody looked at would be the next payer's, in the end the patient's.
    """
    if claim.content is None or claim.current != payer:
        raise Refused("This claim is not with this payer now")
    cause = Cause("check", payment_id)
    entries: list[Entry] = []
    answered: set[str] = set()
    for line in lines:
        if line.charge_id in answered:
            raise Refused(f"Charge {line.charge_id} is answered twice", line.charge_id)
        answered.add(line.charge_id)
        open_cents = claim.columns.get((line.charge_id, payer), Column()).balance_cents
        if line.paid_cents + line.adjusted_cents > open_cents:
            raise Refused(f"Charge {line.charge_id} takes at most what is open on it", line.charge_id)
        if line.paid_cents:
            entries.append(Entry(line.charge_id, payer, Kind.PAYMENT, line.paid_cents, Account.CASH, cause, payment_id))
        if line.adjusted_cents:
            entries.append(
                Entry(line.charge_id, payer, Kind.ADJUSTMENT, line.adjusted_cents, Account.ADJUSTMENTS, cause, None, line.group, line.code)
            )
    for (charge_id, whose), column in claim.columns.items():
        if whose == payer and column.balance_cents and charge_id not in answered:
            raise Refused(f"Charge {charge_id} is open too. Say what was paid on it, 0.00 where it is nothing", charge_id)
    claim = post(claim, entries)
    following = next_payer(claim, payer)
    if following:
        moved = [
            entry
            for (charge_id, whose), column in claim.columns.items()
            if whose == payer and column.balance_cents
            for entry in (
                Entry(charge_id, payer, Kind.TRANSFER, -column.balance_cents, None, cause),
                Entry(charge_id, following, Kind.TRANSFER, column.balance_cents, None, cause),
            )
        ]
        claim, entries = replace(post(claim, moved), current=following), entries + moved
    return answer(claim, payer), entries


def next_payer(claim: Claim, payer: Payer) -> Payer | None:
    """Who is asked after this payer: the next that has not answered. Who insures a patient twice is one payer and answers once."""
    payers = claim.content.payers if claim.content else ()
    place = payers.index(payer) + 1 if payer in payers else len(payers)
    return next((each for each in payers[place:] if each != payer and each not in claim.answered), None)


@dataclass(frozen=True, slots=True)
class Payment:
    """Captured money as a whole: applied to claims, held as credit, or waiting, tagged, for its claim's content.

    `payer` is the first that it named: an account may have several payer ids, and pay for all of them at once.
    """

    practice_id: str
    payment_id: str
    source: str
    payer: Payer
    amount_cents: int
    parts: int
    batch_id: str
    parts_posted: frozenset[int] = frozenset()
    credited_cents: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class Share:
    """A payment's part in one claim. `waiting_cents` waits for content `seen`; `balances_version` has its newest change.

    `payer_id` is whose money it is where that is not the payment's own payer, `given_cents` how much of it there was.
    """

    claim_id: str
    applied_cents: int = 0
    waiting_cents: int = 0
    seen: tuple[int, int] = (0, 0)
    balances_version: int = 0
    payer_id: str | None = None
    given_cents: int = 0


def payer_of(payment: Payment, share: Share) -> Payer:
    """Whose money this part of a payment is."""
    return payment.payer._replace(payer_id=share.payer_id) if share.payer_id else payment.payer


def credits_of(payment: Payment, shares: Mapping[str, Share]) -> Counter[Payer]:
    """What of a payment is credit, by whose money it is."""
    held = Counter({payment.payer: payment.credited_cents})
    for share in shares.values():
        if share.payer_id:
            left = share.given_cents - share.applied_cents - share.waiting_cents
            held[payer_of(payment, share)] += left
            held[payment.payer] -= left
    return held


def standing(payment: Payment, shares: Mapping[str, Share]) -> tuple[int, int]:
    """Applied and waiting cents; with the credit they are all that was posted of it."""
    return sum(share.applied_cents for share in shares.values()), sum(share.waiting_cents for share in shares.values())
