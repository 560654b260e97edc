"""Money is integer cents; this is the edge where people's amounts come in and go out (architecture: money)."""

import re

_AMOUNT = re.compile(r"\$?\s*(\d{1,3}(?:,\d{3})+|\d+)(?:\.(\d{1,2}))?", re.ASCII)
MINUS = "−"
LIMIT_CENTS = 10**12
LONGEST = 40


class BadAmount(ValueError):
    """What was typed is no amount; the message says what to type instead."""


def parse(text: str) -> int:
    """Cents from what a person typed: `62.4`, `62.40`, `$1,240`. Raises BadAmount with words for the form."""
    text = text.strip()
    found = _AMOUNT.fullmatch(text) if len(text) <= LONGEST else None
    if not found:
        raise BadAmount("Enter an amount in dollars, like 62.40")
    cents = int(found[1].replace(",", "")) * 100 + int((found[2] or "0").ljust(2, "0"))
    if cents > LIMIT_CENTS:
        raise BadAmount("Enter a smaller amount")
    return cents


def usd(cents: int, *, sign: bool = False, symbol: bool = False) -> str:
    """`124000` → `1,240.00`; a true minus sign; `sign` writes a plus too, `symbol` the dollar sign of a stand-alone total."""
    before = MINUS if cents < 0 else "+" if sign and cents > 0 else ""
    return f"{before}{'$' if symbol else ''}{abs(cents) // 100:,}.{abs(cents) % 100:02d}"


def split(cents: int, capacities: list[int]) -> list[int]:
    """Spreads an amount over capacities in order, filling each before the next; raises ValueError when it does not fit."""
    if cents < 0:
        raise ValueError("an amount to spread is not negative")
    shares = []
    for capacity in capacities:
        share = min(cents, capacity)
        shares.append(share)
        cents -= share
    if cents:
        raise ValueError(f"{cents} cents are left over")
    return shares
