import asyncio
import io
import struct
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import pypdf
import pytest

from shared import pdf

BILL = Path(__file__).parent / "papers" / "bill.typ"


def png() -> bytes:
    """A picture of one black point."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(4))) + chunk(b"IEND", b"")


def bill(claims: int = 3, **changes: Any) -> dict[str, Any]:
    practice = {"name": "Saltmarsh Occupational Health", "address": "214 Tidewater Road", "phone": "(555) 010-0142", "accent": "#0B5E6B"}
    lines = [
        {
            "number": str(48000 + n),
            "patient": "Birgit Schmeler",
            "date": "Nov 3, 2026",
            "charge": 18500,
            "balance": 18500,
            "procedures": ["99455 Evaluation", "80305 Drug screen"],
        }
        for n in range(claims)
    ]
    made = {"number": "100498", "payer": "Kuvalis Warehousing", "note": "", "total": 236550, "practice": practice, "claims": lines}
    return made | changes


def read(paper: bytes) -> tuple[pypdf.PdfReader, str]:
    reader = pypdf.PdfReader(io.BytesIO(paper))
    return reader, "\n".join(page.extract_text() for page in reader.pages)


async def test_a_paper_reads_nothing_outside_its_own_folder():
    with pytest.raises(pdf.CannotPrint):
        await pdf.render(BILL, bill(practice=bill()["practice"] | {"logo": "/etc/hostname", "logo_alt": "x"}))


async def test_a_paper_is_tagged_titled_in_english_and_its_text_can_be_read_out():
    reader, text = read(await pdf.render(BILL, bill()))
    root = reader.root_object
    assert root["/MarkInfo"]["/Marked"].value is True
    assert "/StructTreeRoot" in root
    assert str(root["/Lang"]).startswith("en")
    assert reader.metadata is not None and reader.metadata.title == "Invoice 100498"
    assert "pdfuaid" in root["/Metadata"].get_data().decode()
    assert "Birgit Schmeler" in text and "$2,365.50" in text and "−500.00" in text and "Page 1 of 1" in text
    fonts = {str(font["/BaseFont"]) for page in reader.pages for font in (each.get_object() for each in page["/Resources"]["/Font"].values())}
    assert all("Inter" in font for font in fonts)


async def test_a_hostile_text_is_printed_as_it_is():
    hostile = '#let x = 1; #panic("no") "quoted" \\ back\\slash $a$ [b] <c> @d *e*'
    _, text = read(await pdf.render(BILL, bill(payer=hostile)))
    assert hostile in text.replace("\n", " ")


async def test_the_same_data_gives_the_same_bytes():
    assert await pdf.render(BILL, bill()) == await pdf.render(BILL, bill())


async def test_a_logo_is_shown_from_bytes():
    practice = bill()["practice"] | {"logo": "logo.png", "logo_alt": "A wave"}
    reader, _ = read(await pdf.render(BILL, bill(practice=practice), {"logo.png": png()}))
    assert len(reader.pages[0].images) == 1


async def test_a_paper_with_two_thousand_claims_is_made_in_seconds_while_other_work_goes_on():
    began, ticks = time.monotonic(), 0
    making = asyncio.create_task(pdf.render(BILL, bill(2000)))
    while not making.done():
        await asyncio.wait([making], timeout=0.02)
        ticks += 1
    took = time.monotonic() - began
    reader, text = read(await making)
    sys.stderr.write(f"\n2,000 claims on {len(reader.pages)} pages in {took:.2f} s\n")
    assert ticks > 5, "the event loop stood still"
    assert took < 15
    assert text.count("Service date") == len(reader.pages), "the head of the table repeats on every page"


async def test_a_source_that_does_not_fit_the_data_says_so():
    with pytest.raises(pdf.CannotPrint):
        await pdf.render(BILL, {})
