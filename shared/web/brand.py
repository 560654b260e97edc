"""One colour of a practice in, four safe values out (EP-19). Contrast is measured by the WCAG 2 formula."""

import re
from dataclasses import dataclass

WHITE, INK, INK_2, CANVAS = "#FFFFFF", "#16202B", "#45515E", "#F5F7F9"
TEXT, EDGE = 4.5, 3.0
_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")


@dataclass(frozen=True)
class Ratios:
    """Contrast of the button's text, of its edge against the canvas, of second ink on a chosen row."""

    on: float
    edge: float
    soft: float


@dataclass(frozen=True)
class Colours:
    """What pages, papers and mails show of a practice's colour, all as `#RRGGBB`."""

    accent: str
    on: str
    edge: str
    soft: str


@dataclass(frozen=True)
class Brand(Colours):
    """The same with its contrast, for whoever chooses the colour."""

    ratios: Ratios


def contrast(one: str, other: str) -> float:
    """How far two colours stand apart, from 1 (the same) to 21 (black on white)."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def brand(colour: str) -> Brand:
    """The accent that carries readable text, that text, an edge that shows on the page, and a soft tint. Raises ValueError on no colour."""
    if not _COLOUR.fullmatch(colour):
        raise ValueError("Enter a colour as # and six hexadecimal digits, like #0B5E6B")
    accent = colour.upper()
    while contrast(WHITE, accent) < TEXT and contrast(INK, accent) < TEXT:
        accent = _mix(accent, "#000000", 0.98)
    on = WHITE if contrast(WHITE, accent) >= TEXT else INK
    edge = accent
    while contrast(edge, CANVAS) < EDGE:
        edge = _mix(edge, "#000000", 0.96)
    soft = _mix(accent, WHITE, 0.08)
    return Brand(accent, on, edge, soft, Ratios(contrast(on, accent), contrast(edge, CANVAS), contrast(INK_2, soft)))


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _luminance(colour: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in _channels(colour))]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _mix(one: str, other: str, share: float) -> str:
    # Rounds down when darkening, so that each step moves even the darkest channel.
    mixed = [int(a * share + b * (1 - share)) for a, b in zip(_channels(one), _channels(other), strict=True)]
    return "#" + "".join(f"{part:02X}" for part in mixed)


DEFAULT = brand("#16202B")
