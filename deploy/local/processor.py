"""The books of the sandbox card processor: payments by key, tokens, and a ledger of what really moved.

Each key is a small state machine and each action is done at most once per key. Everything is in memory; a journal of JSON lines brings
it back after a restart.
"""

import json
import secrets
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.local import cards

DECLINES = {
    "soft": {"code": "insufficient_funds", "kind": "soft", "words": "The bank declined the card: not enough money available. It may work later."},
    "hard": {"code": "do_not_honor", "kind": "hard", "words": "The bank declined the card and will not accept it. Use another card."},
}
Json = dict[str, Any]


@dataclass(frozen=True)
class Payment:
    """One key. `card` is what the processor tells about the card; the number itself is not kept."""

    key: str
    state: str
    amount_cents: int = 0
    captured_cents: int = 0
    refunds: dict[str, int] = field(default_factory=dict)
    card: Json | None = None
    outcome: str = "approve"
    authorization_number: str | None = None
    processor_ref: str | None = None
    decline: Json | None = None
    page: str | None = None
    return_url: str = ""
    description: str = ""
    brands: tuple[str, ...] = ()


class Book:
    """All payments and tokens of the sandbox. Methods of one key return `answer(payment)`."""

    def __init__(self, journal: Path) -> None:
        self.payments: dict[str, Payment] = {}
        self.pages: dict[str, str] = {}
        self.tokens: dict[str, Json] = {}
        self.ledger: list[Json] = []
        journal.parent.mkdir(parents=True, exist_ok=True)
        for line in journal.read_bytes().splitlines() if journal.exists() else ():
            self._remember(json.loads(line))
        self._journal = journal.open("ab", buffering=0)

    def find(self, key: str) -> Payment:
        return self.payments.get(key) or Payment(key, "unknown_key")

    def start(self, key: str, amount_cents: int, return_url: str, description: str, brands: tuple[str, ...]) -> Payment:
        """The payment with its page; a key that exists keeps what it was started with."""
        if key not in self.payments:
            self._save(Payment(key, "started", amount_cents, page=secrets.token_urlsafe(18), return_url=return_url, description=description,
                               brands=brands))
        return self.payments[key]

    def authorise(self, key: str, card: Json) -> Payment:
        payment = self.find(key)
        if payment.state == "started":
            payment = self._save(self._decided(payment, card, "authorised"))
        return payment

    def capture(self, key: str, amount_cents: int) -> Payment:
        payment = self.find(key)
        if payment.state == "authorised" and 0 < amount_cents <= payment.amount_cents:
            payment = self._save(replace(payment, state="captured", captured_cents=amount_cents), self._entry("capture", key, amount_cents))
        return payment

    def charge(self, key: str, token: str, amount_cents: int) -> Payment:
        """Authorise and capture on a card on file. A key that was used before, also by a release, is only looked up."""
        if key in self.payments:
            return self.payments[key]
        card = self.tokens.get(token)
        if card is None:
            decline = {"code": "unknown_token", "kind": "hard", "words": "This card is not on file any more."}
            return self._save(Payment(key, "declined", amount_cents, decline=decline))
        payment = self._decided(Payment(key, "started", amount_cents), card, "captured")
        if payment.state != "captured":
            return self._save(payment)
        return self._save(replace(payment, captured_cents=amount_cents), self._entry("capture", key, amount_cents))

    def decline(self, key: str, amount_cents: int) -> Payment:
        """The bank says no to a capture or a charge."""
        payment = self.find(key)
        if payment.state in ("unknown_key", "started", "authorised"):
            payment = self._save(replace(payment, state="declined", amount_cents=payment.amount_cents or amount_cents, decline=DECLINES["soft"]))
        return payment

    def release(self, key: str) -> Payment:
        """Nothing will be taken under this key any more; a key never seen is closed too. What is captured or declined stays so."""
        payment = self.find(key)
        if payment.state in ("unknown_key", "started", "authorised"):
            payment = self._save(replace(payment, state="released"))
        return payment

    def refund(self, key: str, refund_key: str, amount_cents: int) -> Payment:
        """Give back a part or all, once per refund key. More than is left is refused, by an answer that is not kept."""
        payment = self.find(key)
        if refund_key in payment.refunds:
            return payment
        left = payment.captured_cents - sum(payment.refunds.values())
        if not 0 < amount_cents <= left:
            refused = {"code": "too_much", "kind": "hard", "words": f"Only {left} cents of this payment are left to refund."}
            return replace(payment, decline=refused)
        state = "refunded" if amount_cents == left else payment.state
        payment = replace(payment, state=state, refunds=payment.refunds | {refund_key: amount_cents})
        return self._save(payment, self._entry("refund", key, amount_cents, refund_key))

    def tokenise(self, card: Json) -> str:
        token = "tok_" + secrets.token_hex(10)
        self._write({"token": token, "card": card})
        return token

    def _decided(self, payment: Payment, card: Json, state: str) -> Payment:
        if card["outcome"] in DECLINES:
            return replace(payment, state="declined", card=shown(card), decline=DECLINES[card["outcome"]])
        return replace(payment, state=state, card=shown(card), outcome=card["outcome"], authorization_number=secrets.token_hex(3).upper(),
                       processor_ref="ch_" + secrets.token_hex(8))

    def _save(self, payment: Payment, entry: Json | None = None) -> Payment:
        """One line of the journal, so that a state and its ledger entry are written together or not at all."""
        self._write({"payment": asdict(payment), "entry": entry})
        return payment

    def _entry(self, kind: str, key: str, amount_cents: int, refund_key: str | None = None) -> Json:
        return {"kind": kind, "key": key, "refund_key": refund_key, "amount_cents": amount_cents,
                "at": datetime.now(UTC).isoformat(timespec="milliseconds")}

    def _write(self, line: Json) -> None:
        self._journal.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        self._remember(line)

    def _remember(self, line: Json) -> None:
        if "payment" in line:
            payment = Payment(**{**line["payment"], "brands": tuple(line["payment"]["brands"])})
            self.payments[payment.key] = payment
            if payment.page:
                self.pages[payment.page] = payment.key
            if line["entry"]:
                self.ledger.append(line["entry"])
        else:
            self.tokens[line["token"]] = line["card"]


def card(number: str, exp_month: int, exp_year: int) -> Json:
    """What is kept of a card that `cards.complaint` had nothing to say about."""
    return {"brand": cards.brand(number), "last4": number[-4:], "exp_month": exp_month, "exp_year": exp_year, "outcome": cards.outcome(number)}


def shown(card: Json) -> Json:
    """What the API tells about a card."""
    return {name: card[name] for name in ("brand", "last4", "exp_month", "exp_year")}


def answer(payment: Payment) -> Json:
    """The payment as the API tells it: the fields of shared.gateway.Answer."""
    return {"state": payment.state, "amount_cents": payment.amount_cents, "captured_cents": payment.captured_cents,
            "refunded_cents": sum(payment.refunds.values()), "card": payment.card, "authorization_number": payment.authorization_number,
            "processor_ref": payment.processor_ref, "decline": payment.decline}
