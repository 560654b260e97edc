"""What the desk uploads: a signed receipt is a PDF that can be read (CF-04)."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

from services.contracts.domain.contract import Refused

MAX_FILE = 10 * 1024 * 1024
SECONDS = 10
COUNT_PAGES = Path(__file__).parent / "pdf_pages.py"


async def check_pdf(data: bytes, turns: asyncio.Semaphore) -> None:
    """Raises Refused unless this is a PDF of at most 10 MB that can be read; `turns` are the readers that may run at once."""
    if len(data) > MAX_FILE:
        raise Refused("attachmentcontents has more than 10 MB", 413)
    async with turns:
        pages = await _pages(data)
    if pages is None:
        raise Refused("attachmentcontents is not a PDF that can be read")
    if not pages:
        raise Refused("attachmentcontents is a PDF without a page")


async def _pages(data: bytes) -> int | None:
    # A bare environment: what a hostile file may make of its reader finds no secret there.
    command = (sys.executable, "-I", str(COUNT_PAGES), str(SECONDS))
    reader = await asyncio.create_subprocess_exec(*command, env={}, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
    try:
        said, _ = await asyncio.wait_for(reader.communicate(data), SECONDS)
    except TimeoutError as error:
        raise Refused("attachmentcontents takes too long to read. Print it as a PDF again and send that") from error
    finally:
        if reader.returncode is None:
            reader.kill()
            await reader.wait()
    return int(said) if reader.returncode == 0 else None
