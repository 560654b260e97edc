"""Card numbers as the sandbox processor sees them: check digit, brand, and what each of its test numbers does."""

import re
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["approve", "soft", "hard", "late"]
BRANDS = {"VI": "Visa", "MC": "Mastercard", "DS": "Discover", "AX": "American Express"}
_PREFIXES = {
    "VI": re.compile(r"4\d{12}(\d{3})?(\d{3})?"),
    "MC": re.compile(r"(5[1-5]\d{2}|222[1-9]|22[3-9]\d|2[3-6]\d{2}|27[01]\d|2720)\d{12}"),
    "DS": re.compile(r"(6011|65\d{2}|64[4-9]\d)\d{12}"),
    "AX": re.compile(r"3[47]\d{13}"),
}


@dataclass(frozen=True)
class TestCard:
    number: str  # spaced, as on the card
    outcome: Outcome
    words: str


TEST_CARDS = (
    TestCard("4242 4242 4242 4242", "approve", "Visa, approved"),
    TestCard("5555 5555 5555 4444", "approve", "Mastercard, approved"),
    TestCard("6011 1111 1111 1117", "approve", "Discover, approved"),
    TestCard("3782 822463 10005", "approve", "American Express, approved"),
    TestCard("4000 0000 0000 9995", "soft", "Visa, declined: not enough money (may work later)"),
    TestCard("4000 0000 0000 0002", "hard", "Visa, declined: the bank refuses this card"),
    TestCard("4000 0000 0000 0341", "late", "Visa, authorized; the charge is unknown at first, then done"),
)
_OUTCOMES = {card.number.replace(" ", ""): card.outcome for card in TEST_CARDS}


def digits(number: str) -> str:
    return re.sub(r"[\s-]", "", number)


def luhn(number: str) -> bool:
    """Whether the last digit is the right check digit for the others."""
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def brand(number: str) -> str | None:
    """VI, MC, DS, AX, or None for a number of none of them."""
    return next((code for code, pattern in _PREFIXES.items() if pattern.fullmatch(number)), None)


def outcome(number: str) -> Outcome | None:
    """What the sandbox does with a test number; None for any other number, which could be a real card's."""
    return _OUTCOMES.get(number)


def complaint(number: str, accepted: list[str]) -> str | None:
    """What is wrong with a card number, in words for the person who typed it; None when the sandbox takes it."""
    if not number:
        return "Enter the card number."
    if not number.isdecimal() or not number.isascii() or not 12 <= len(number) <= 19 or not luhn(number):
        return "This is not a card number. Check the digits."
    code = brand(number)
    if code is None or code not in accepted:
        name = BRANDS[code] if code else "This kind of card"
        return f"{name} is not accepted here. Use {_either([BRANDS[b] for b in accepted])}."
    if outcome(number) is None:
        return "This sandbox takes only the test cards listed below. Never enter a real card here."
    return None


def _either(names: list[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
