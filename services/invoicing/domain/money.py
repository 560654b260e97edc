"""A line's money: posting's balance whole, or the claim's own charges while posting is behind."""

from collections.abc import Collection
from dataclasses import dataclass

from services.invoicing.domain.claim import Claim, content
from shared.events.posting import BalanceLine, ClaimBalances


@dataclass(frozen=True, slots=True)
class Money:
    """Amounts in cents; `adjusted` is positive when it lowers the balance."""

    charged: int = 0
    paid: int = 0
    adjusted: int = 0
    transferred_in: int = 0
    transferred_out: int = 0

    @property
    def balance(self) -> int:
        return self.charged - self.paid - self.adjusted + self.transferred_in - self.transferred_out

    def __add__(self, other: "Money") -> "Money":
        return Money(
            self.charged + other.charged,
            self.paid + other.paid,
            self.adjusted + other.adjusted,
            self.transferred_in + other.transferred_in,
            self.transferred_out + other.transferred_out,
        )


NOTHING = Money()


def by_charge(claim: Claim, payer_id: str, balances: ClaimBalances | None) -> dict[str, Money]:
    """Each charge's money in this employer's column, in the claim's order; charges that only posting knows come last."""
    column = {line.charge_id: line for line in balances.lines if line.kind == "corporate" and line.payer_id == payer_id} if balances else {}
    if balances and covers(balances, content(claim)):
        order = dict.fromkeys([charge.charge_id for charge in claim.charges] + sorted(column))
        return {charge_id: _posted(column[charge_id]) if charge_id in column else NOTHING for charge_id in order}
    return {charge.charge_id: _own(charge.amount_cents, column.get(charge.charge_id)) for charge in claim.charges}


def covers(balances: ClaimBalances, wanted: tuple[int, int]) -> bool:
    """Whether posting has taken in this `(version, revision)`, or knows the claim as void."""
    return balances.voided or _content(balances) >= wanted


def covers_redrop(balances: ClaimBalances | None, wanted: tuple[int, int], write_offs: Collection[str]) -> bool:
    """Whether posting has taken in what a re-drop changed: its content, and every write-off by name.

    That posting knows the claim as void is not enough here: it may have been billed again since, and posting not know it yet.
    """
    return balances is not None and _content(balances) >= wanted and set(write_offs) <= set(balances.write_offs)


def _content(balances: ClaimBalances) -> tuple[int, int]:
    return balances.claim_version, balances.claim_revision


def total(parts: Collection[Money]) -> Money:
    """The sum of several charges' or lines' money."""
    return sum(parts, NOTHING)


def _posted(line: BalanceLine) -> Money:
    return Money(line.charged_cents, line.paid_cents, line.adjusted_cents, line.transferred_in_cents, line.transferred_out_cents)


def _own(charged: int, line: BalanceLine | None) -> Money:
    # As posting will do it when it gets there: what no longer fits into the charge lowers adjustments first, then payments.
    if line is None:
        return Money(charged)
    paid = min(line.paid_cents, charged)
    return Money(charged, paid, min(line.adjusted_cents, charged - paid))
