"""Papers: typst sources in, tagged PDF/UA-1 out. Data travels as JSON beside the source and is never pasted into it."""

import asyncio
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import typst

HERE = Path(__file__).parent / "web" / "typst"


class CannotPrint(RuntimeError):
    """The source and the data do not make a paper; the message is typst's, for the log."""


async def render(template: Path, data: Mapping[str, Any], files: Mapping[str, bytes] | None = None) -> bytes:
    """The PDF of a typst source that reads `data.json`, may import `brand.typ`, and may show `files` (a logo) by their names.

    Runs in a thread; the same input gives the same bytes. Raises CannotPrint.
    """
    return await asyncio.to_thread(_render, template, msgspec.json.encode(dict(data)), dict(files or {}))


def _render(template: Path, data: bytes, files: dict[str, bytes]) -> bytes:
    # typst reads bytes that are no text from a folder only, and sees nothing outside it.
    with TemporaryDirectory(prefix="paper-") as name:
        folder = Path(name)
        shutil.copyfile(HERE / "brand.typ", folder / "brand.typ")
        shutil.copyfile(template, folder / "main.typ")
        (folder / "data.json").write_bytes(data)
        for file, content in files.items():
            (folder / Path(file).name).write_bytes(content)
        try:
            made = typst.compile(str(folder / "main.typ"), root=name, font_paths=_fonts(), format="pdf", pdf_standards=["ua-1"], timestamp=0)
        except typst.TypstError as error:
            raise CannotPrint(error.message) from error
    return made


@cache
def _fonts() -> typst.Fonts:
    # No system fonts: a paper looks the same wherever it is made.
    return typst.Fonts(include_system_fonts=False, font_paths=[HERE / "fonts"])
