"""The sandbox processor's own books driven in process, with calls that are late, lost or never arrive where a test says so."""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from deploy.local.processor import Book, Payment, answer, card
from shared.gateway import Answer, Card, Unknown

VISA = card("4242424242424242", 12, 2031)
OUTCOMES = ("ok", "lost", "dropped", "late", "declined", "died before", "died after")


class Died(Exception):
    """The process that called is gone."""


class Desk:
    """A `shared.gateway.Gateway` over the books. `outcome` is what becomes of the next call that would take money."""

    def __init__(self, journal: Path) -> None:
        self.book = Book(journal)
        self.outcome = "ok"
        self.flying: list[Callable[[], Payment]] = []

    async def start(self, key: str, amount_cents: int, return_url: str, description: str, brands: Sequence[str]) -> str:
        self.book.start(key, amount_cents, return_url, description, tuple(brands))
        return f"https://gateway.example/{key}"

    async def ask(self, key: str) -> Answer:
        return _told(self.book.find(key))

    async def capture(self, key: str, amount_cents: int) -> Answer:
        return self._take(lambda: self.book.capture(key, amount_cents), lambda: self.book.decline(key, amount_cents))

    async def release(self, key: str) -> Answer:
        return _told(self.book.release(key))

    async def refund(self, key: str, refund_key: str, amount_cents: int) -> Answer:
        raise Unknown

    async def charge(self, key: str, token: str, amount_cents: int) -> Answer:
        return self._take(lambda: self.book.charge(key, token, amount_cents), lambda: self.book.decline(key, amount_cents))

    async def card(self, token: str) -> Card | None:
        return Card("VI", "4242", 12, 2031)

    def land(self) -> bool:
        """A call that was under way arrives at last; False where none is."""
        if not self.flying:
            return False
        self.flying.pop(0)()
        return True

    def _take(self, take: Callable[[], Payment], decline: Callable[[], Payment]) -> Answer:
        outcome, self.outcome = self.outcome, "ok"
        if outcome == "died before":
            raise Died
        if outcome == "late":
            self.flying.append(take)
        if outcome in ("late", "dropped"):
            raise Unknown(outcome)
        payment = decline() if outcome == "declined" else take()
        if outcome == "died after":
            raise Died
        if outcome == "lost":
            raise Unknown(outcome)
        return _told(payment)


def _told(payment: Payment) -> Answer:
    return msgspec.convert(answer(payment), Answer)
