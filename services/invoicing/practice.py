"""`python -m services.invoicing practice <file.json>`: creates practices, or brings known ones to what the file says (PF-10)."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from services.invoicing.domain.claim import Refused
from services.invoicing.handlers.practices import read_logo, set_up
from services.invoicing.settings import Settings
from shared.clock import Clock, SystemClock
from shared.db import Database
from shared.logo import Logo


def practice(words: Sequence[str]) -> str:
    """The command; exits with what is wrong with the file."""
    if len(words) != 1:
        sys.exit("usage: python -m services.invoicing practice <file.json>")
    settings, file = Settings(), Path(words[0])
    try:
        entries = msgspec.json.decode(file.read_bytes(), type=list[dict[str, Any]])
        count = asyncio.run(_from_file(entries, file.parent, settings))
    except (Refused, KeyError, OSError, msgspec.DecodeError) as error:
        sys.exit(f"{words[0]}: {error}")
    return f"{count} practices are set up"


async def _from_file(entries: Sequence[dict[str, Any]], folder: Path, settings: Settings) -> int:
    db = Database(settings.database_worker_url, "invoicing-practice")
    try:
        return await set_up_all(db, SystemClock(settings.clock_file), entries, folder, settings.portal_address)
    finally:
        await db.close()


async def set_up_all(db: Database, clock: Clock, entries: Sequence[dict[str, Any]], folder: Path, portal_address: str) -> int:
    """Each entry of a file in a transaction of its own; logos are found beside the file. Raises Refused."""
    for entry in entries:
        logo = await _logo(entry["logo"], (folder / entry["logo"]).read_bytes()) if entry.get("logo") else None
        async with db.begin(entry["practice_id"]) as tx:
            await set_up(tx, clock.business(), entry, logo, portal_address)
    return len(entries)


async def _logo(name: str, content: bytes) -> Logo:
    try:
        return await read_logo(content)
    except Refused as error:
        raise Refused(f"{name}: {error}") from error
