"""Logos by their headers, and papers that are printed whatever the logo is (EP-19, EP-27)."""

import io
import logging
import struct
from typing import Any

import pypdf
import pytest

from shared import pdf
from shared.logo import look, print_with
from tests.shared.test_pdf import BILL, bill, png

START = b"\xff\xd8\xff\xe0\x00\x04JF"
FRAME = b"\xff\xc2\x00\x11\x08" + struct.pack(">HH", 48, 64) + bytes(10)


def sized(width: int, height: int) -> bytes:
    """A picture of one point whose header says another size."""
    return png()[:16] + struct.pack(">II", width, height) + png()[24:]


@pytest.mark.req("EP-19", part="settings with preview")
@pytest.mark.parametrize(
    ("content", "seen"),
    [
        (png(), ("png", 1, 1)),
        (sized(640, 480), ("png", 640, 480)),
        (png()[:20], ("png", 0, 0)),
        (START + FRAME, ("jpeg", 64, 48)),
        (START + b"\xff\xc4\x00\x03\x00" + b"\xff" + FRAME, ("jpeg", 64, 48)),  # tables first, and filling
        (START + FRAME[:8], ("jpeg", 0, 0)),
        (START + b"\xff\xe1\xff\xff" + FRAME, ("jpeg", 0, 0)),
        (START + b"\xff\x01\x00\x00" * 2, ("jpeg", 0, 0)),
    ],
)
def test_a_logo_s_kind_and_size_are_in_its_header(content: bytes, seen: tuple[str, int, int]) -> None:
    logo = look(content)
    assert logo and (logo.kind, logo.width, logo.height) == seen


def test_what_is_neither_png_nor_jpeg_is_no_logo() -> None:
    assert look(b"GIF89a") is look(b"") is None


def contents(logo: str | None) -> dict[str, Any]:
    return bill(practice=bill()["practice"] | {"logo": logo, "logo_alt": "A wave"})


def pictures(paper: bytes) -> int:
    return len(pypdf.PdfReader(io.BytesIO(paper)).pages[0].images)


@pytest.mark.req("EP-27")
@pytest.mark.parametrize("broken", [png()[:40], sized(20_000, 20_000), sized(0, 1), b"GIF89a", START + FRAME])
async def test_a_paper_is_printed_without_a_logo_that_cannot_be_printed(broken: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert pictures(await print_with(BILL, contents, broken)) == 0
    assert "a paper of bill is printed without its logo" in caplog.text


async def test_a_paper_shows_its_logo_or_none_where_there_is_none(caplog: pytest.LogCaptureFixture) -> None:
    assert (pictures(await print_with(BILL, contents, png())), pictures(await print_with(BILL, contents, None))) == (1, 0)
    assert "without its logo" not in caplog.text


async def test_a_paper_that_is_wrong_without_its_logo_too_says_so() -> None:
    with pytest.raises(pdf.CannotPrint):
        await print_with(BILL, lambda logo: {"logo": logo}, png())
