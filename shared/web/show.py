"""How values look: dates for visitors (Nov 17, 2026) and for staff (11/17/2026), times with their zone in words, amounts, counts."""

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from shared import money

ZONE_WORDS = {
    "America/New_York": "Eastern",
    "America/Detroit": "Eastern",
    "America/Chicago": "Central",
    "America/Denver": "Mountain",
    "America/Phoenix": "Mountain",
    "America/Los_Angeles": "Pacific",
    "America/Anchorage": "Alaska",
    "Pacific/Honolulu": "Hawaii",
}
CARDS = {"VI": "Visa", "MC": "Mastercard", "DS": "Discover", "AX": "American Express"}


def day(value: date) -> str:
    """`Nov 17, 2026`: for employers and patients."""
    return f"{value:%b} {value.day}, {value.year}"


def short_day(value: date) -> str:
    """`Mon, Nov 23`: for deadlines that are near."""
    return f"{value:%a, %b} {value.day}"


def staff_day(value: date) -> str:
    """`11/17/2026`: for staff."""
    return f"{value:%m/%d/%Y}"


def moment(value: datetime, zone: str) -> str:
    """`Nov 17, 2026, 10:08 AM Eastern`: an instant as the practice's clocks showed it, for visitors."""
    local = value.astimezone(ZoneInfo(zone))
    return f"{day(local)}, {_clock(local)} {ZONE_WORDS.get(zone) or local.tzname()}"


def staff_moment(value: datetime, zone: str) -> str:
    """`11/17/2026 10:08 AM`: the same for staff, who share the practice's zone."""
    local = value.astimezone(ZoneInfo(zone))
    return f"{staff_day(local)} {_clock(local)}"


def dollars(cents: int) -> str:
    """`$1,240.00`: for amounts that stand alone and for buttons."""
    return money.usd(cents, symbol=True)


def plural(count: int, one: str, many: str = "") -> str:
    """`1 invoice`, `3 invoices`, `0 entries` with `many` given where an s is not enough."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def phone(text: str) -> str:
    """A telephone number that does not break across lines; one of ten digits as `(555) 010-0142`."""
    digits = "".join(each for each in text if each.isdigit())
    if len(digits) == 10 and not set(text) - set("0123456789 ().-"):
        text = f"({digits[:3]}) {digits[3:6]}-{digits[6:]}"
    return text.replace(" ", "\u00a0").replace("-", "\u2011")


def address_lines(address: Any) -> list[str]:
    """A postal address, or its JSON, as it stands on an envelope."""
    at = msgspec.to_builtins(address)
    return [part for part in (at["line1"], at.get("line2"), f"{at['city']}, {at['state']} {at.get('zip') or ''}".strip()) if part]


def address(address: Any) -> str:
    """A postal address, or its JSON, in a row."""
    return ", ".join(address_lines(address))


def card(brand: str, last4: str) -> str:
    """`Visa ending 4242`: a card by the processor's short word for its brand."""
    return f"{CARDS.get(brand, brand)} ending {last4}"


def size(count: int) -> str:
    """`212 KB`: a file's size."""
    return f"{count} bytes" if count < 1024 else f"{count / 1024:.0f} KB" if count < 1024**2 else f"{count / 1024**2:.1f} MB"


def initials(name: str) -> str:
    """`PS` of Paula Schaefer."""
    words = name.split()
    return "".join(word[0].upper() for word in (words[:1] + words[-1:] if len(words) > 1 else words))


def _clock(local: datetime) -> str:
    return f"{local:%I:%M %p}".lstrip("0")


def parse_day(text: str) -> date:
    """The date a person typed as mm/dd/yyyy (or m/d/yy); raises ValueError with words for the form."""
    for pattern in ("%m/%d/%Y", "%m/%d/%y", "%Y-%m-%d"):
        try:
            return datetime.strptime(text.strip(), pattern).date()  # noqa: DTZ007
        except ValueError:
            continue
    raise ValueError("Enter a date as mm/dd/yyyy, like 11/17/2026")
