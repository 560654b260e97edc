"""A practice's logo as a file: what its header says, and papers that carry it where it can be printed (EP-19)."""

import logging
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared import pdf

MOST_PIXELS = 2000  # each way: all of them lie in memory while a paper is printed
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
NO_FRAME = (0xC4, 0xC8, 0xCC)  # among JPEG's markers C0 to CF those that begin no picture
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Logo:
    """A picture by its header, `png` or `jpeg`; a width or height of 0 where the header cannot be read."""

    kind: str
    width: int
    height: int
    content: bytes

    @property
    def file(self) -> str:
        return f"logo.{self.kind}"

    @property
    def small(self) -> bool:
        """Whether it is a picture at all, and of a size that papers take."""
        return 0 < self.width <= MOST_PIXELS and 0 < self.height <= MOST_PIXELS


def look(content: bytes) -> Logo | None:
    """The file by its header, nothing of it decoded; None where it is neither PNG nor JPEG by its first bytes."""
    if content.startswith(PNG):
        width, height = struct.unpack_from(">II", content, 16) if content[12:16] == b"IHDR" and len(content) >= 24 else (0, 0)
        return Logo("png", width, height, content)
    return Logo("jpeg", *_jpeg_size(content), content) if content.startswith(JPEG) else None


async def print_with(template: Path, contents: Callable[[str | None], Mapping[str, Any]], content: bytes | None) -> bytes:
    """The PDF of a practice's paper; `contents` makes its data, with the logo's file name or None.

    A logo that cannot be printed is left out, and the log says so: without it the paper is as good. Raises CannotPrint.
    """
    logo = look(content) if content else None
    if logo and logo.small:
        try:
            return await pdf.render(template, contents(logo.file), {logo.file: logo.content})
        except pdf.CannotPrint as error:
            reason = str(error)
    else:
        reason = "no picture, or a large one"
    made = await pdf.render(template, contents(None))
    if content:
        log.warning("a paper of %s is printed without its logo: %s", template.stem, reason)
    return made


def _jpeg_size(content: bytes) -> tuple[int, int]:
    """Width and height from the frame's header; the segments before it are passed by."""
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:  # filling
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in NO_FRAME:
            height, width = struct.unpack_from(">HH", content, at + 5)
            return width, height
        else:
            at += 2 + max(2, int.from_bytes(content[at + 2 : at + 4]))
    return 0, 0
