"""Field types and small shapes that several topics use. What comes from outside is checked strictly here, by its type."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta

PRACTICE_ID = r"^[A-Za-z0-9._-]{1,64}$"
PRINTABLE = r"^[^\x00-\x1f\x7f]+$"
NO_NUL = r"^[^\x00]*$"  # PostgreSQL text holds every character but this one


def whole(pattern: str) -> str:
    """A pattern to its very end: Python alone takes a newline before `$`. The JSON Schemas keep `$` (deploy/docs.py)."""
    return pattern.removesuffix("$") + r"\Z"


PracticeId = Annotated[str, Meta(pattern=whole(PRACTICE_ID))]
Id = Annotated[str, Meta(min_length=1, max_length=64, pattern=whole(PRINTABLE))]
Text = Annotated[str, Meta(max_length=500, pattern=whole(NO_NUL))]
Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=whole(NO_NUL))]
Code = Annotated[str, Meta(min_length=1, max_length=20, pattern=whole(PRINTABLE))]
Version = Annotated[int, Meta(ge=1, le=2**62)]
Cents = Annotated[int, Meta(ge=0, le=10**12)]
MOST_UNITS = 1_000_000_000
UNITS = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": MOST_UNITS, "multipleOf": 0.001}
Units = Annotated[Decimal, Meta(extra_json_schema=UNITS)]
Instant = Annotated[datetime, Meta(tz=True)]

PayerKind = Literal["corporate", "insurance", "patient"]
CardBrand = Literal["VI", "MC", "DS", "AX"]
InvoiceStatus = Literal["due", "overdue", "in_review", "pending", "closed"]
LineStatus = Literal["due", "overdue", "in_review", "closed", "withdrawn"]
HoldSource = Literal["dispute", "staff", "pm", "conflict"]
DisputeReason = Literal["EM", "DN", "WA", "CH", "AP", "XX"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A postal address in the United States."""

    line1: Name
    line2: Text | None = None
    city: Name
    state: Annotated[str, Meta(max_length=40, pattern=whole(NO_NUL))]
    zip: Annotated[str, Meta(max_length=10, pattern=whole(NO_NUL))] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What is kept of a card: never its number."""

    brand: CardBrand
    last4: Annotated[str, Meta(pattern=whole(r"^\d{4}$"))]
