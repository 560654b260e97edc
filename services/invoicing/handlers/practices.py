"""Practices: set up by file, their brand and name changed by page (PF-10, EP-19)."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicing.domain.claim import Refused
from services.invoicing.store import practices
from services.invoicing.store.practices import Absent, Practice
from services.invoicing.tables import MEBIBYTE
from shared import outbox, pdf
from shared.events.invoicing import PRACTICE_STATE, PracticeState
from shared.events.practices import Brand
from shared.logo import MOST_PIXELS, Logo, look
from shared.outbox import Outgoing
from shared.web import brand as colours

FIRST_NUMBER = 100001
LONGEST_NAME, LONGEST_LINE = 120, 200
DESCRIBE = "Describe the logo in a few words, for people who do not see it"
OURS = ("colour", "logo", "logo_alt", "first_invoice_number")
TRIAL = Path(__file__).parents[1] / "typst" / "logo.typ"


async def set_up(tx: AsyncConnection, now: datetime, asked: Mapping[str, Any], logo: Logo | None, portal_address: str) -> PracticeState:
    """Creates or updates a practice from its file's entry; the same entry again changes nothing. Raises Refused."""
    practice_id = str(asked.get("practice_id", ""))
    known = await practices.lock(tx, practice_id)
    logo_alt = (asked.get("logo_alt") or "").strip()
    logo_id = await keep_logo(tx, practice_id, logo, logo_alt) if logo else None
    body = {name: value for name, value in asked.items() if name not in OURS}
    body |= {"version": known.state.version if known else 0, "portal_address": asked.get("portal_address", portal_address)}
    body["brand"] = brand(asked["colour"], logo_id, logo_alt)
    try:
        state = msgspec.convert(body, PracticeState)
        ZoneInfo(state.zone)
        if state.digest_at != "now":  # the pattern, which readers know, takes hours up to 29
            hour, minute = map(int, state.digest_at.split(":"))
            time(hour, minute)
    except (msgspec.ValidationError, ZoneInfoNotFoundError, ValueError) as error:
        raise Refused(f"Practice {practice_id or 'without id'}: {error}") from error
    _check_lines(state)
    return await _save(tx, now, known, state, asked["colour"], int(asked.get("first_invoice_number", FIRST_NUMBER)))


async def rebrand(
    tx: AsyncConnection, now: datetime, practice_id: str, version: int, display_name: str, colour: str, logo_id: str | None, logo_alt: str
) -> PracticeState:
    """The name and look that employers see. Raises Absent, and Refused, also when somebody saved since `version` was read."""
    known = await practices.lock(tx, practice_id)
    if known is None:
        raise Absent(f"There is no practice {practice_id}")
    if known.state.version != version:
        raise Refused("Somebody changed these settings since you opened them. Look at them again, then save")
    if not display_name.strip():
        raise Refused("Enter the name that employers see", "display_name")
    if logo_id and logo_id not in {each["document_id"] for each in await practices.logos(tx, practice_id)}:
        raise Refused("Choose one of the practice's logos", "logo_id")
    if logo_id and not logo_alt.strip():
        raise Refused(DESCRIBE, "logo_alt")
    if not _line(display_name.strip(), LONGEST_NAME):
        raise Refused(f"Enter the name as up to {LONGEST_NAME} plain characters on one line", "display_name")
    if not _line(logo_alt.strip()):
        raise Refused(f"Describe the logo in up to {LONGEST_LINE} plain characters on one line", "logo_alt")
    new = replace(known.state, display_name=display_name.strip(), brand=brand(colour, logo_id, logo_alt.strip()))
    return await _save(tx, now, known, new, colour, known.next_number)


def brand(colour: str, logo_id: str | None, logo_alt: str) -> Brand:
    """Four safe values of one colour, and the logo. Raises Refused on no colour."""
    try:
        safe = colours.brand(colour)
    except ValueError as error:
        raise Refused(str(error), "colour") from error
    return Brand(accent=safe.accent, accent_on=safe.on, accent_edge=safe.edge, accent_soft=safe.soft, logo_id=logo_id, logo_alt=logo_alt)


async def read_logo(content: bytes) -> Logo:
    """A logo that papers can carry: PNG or JPEG, up to 1 MB and 2,000 pixels each way, and printed once, outside any transaction.

    Raises Refused.
    """
    logo = look(content)
    if logo is None:
        raise Refused("Not taken: only PNG or JPEG", "file")
    if len(content) > MEBIBYTE:
        raise Refused("Not taken: a logo may have up to 1 MB", "file")
    unreadable = "Not taken: this file cannot be read as an image"
    if not logo.small:
        large = f"Not taken: a logo may have up to {MOST_PIXELS} pixels each way, this one has {logo.width} by {logo.height}"
        raise Refused(large if logo.width and logo.height else unreadable, "file")
    try:
        await pdf.render(TRIAL, {"name": "", "logo": logo.file, "logo_alt": "Logo"}, {logo.file: content})
    except pdf.CannotPrint as error:
        raise Refused(unreadable, "file") from error
    return logo


async def keep_logo(tx: AsyncConnection, practice_id: str, logo: Logo, alt: str) -> str:
    """A logo that was read, as a document; answers its id. Raises Refused without a description: no paper shows a picture without one."""
    if not alt:
        raise Refused(DESCRIBE, "logo_alt")
    document_id = await practices.add_document(tx, practice_id, logo.file, f"image/{logo.kind}", logo.content)
    await practices.add_logo(tx, practice_id, document_id, alt)
    return document_id


def _check_lines(state: PracticeState) -> None:
    """Raises Refused unless names and what else papers and mails show in one line are that: a mail's header takes nothing else."""
    lines = {name: getattr(state, name) for name in ("legal_name", "remit_to_name", "phone", "hours", "portal_address")}
    lines |= {"logo_alt": state.brand.logo_alt} | {f"staff_addresses {name}": address for name, address in state.staff_addresses.items()}
    wrong = [f"{name} takes up to {LONGEST_LINE}" for name, line in lines.items() if not _line(line)]
    if not state.display_name.strip() or not _line(state.display_name, LONGEST_NAME):
        wrong.append(f"display_name takes 1 to {LONGEST_NAME}")
    if wrong:
        raise Refused(f"Practice {state.practice_id}: {', '.join(wrong)} plain characters on one line")


def _line(text: str, longest: int = LONGEST_LINE) -> bool:
    return text.isprintable() and len(text) <= longest


async def _save(tx: AsyncConnection, now: datetime, known: Practice | None, state: PracticeState, colour: str, next_number: int) -> PracticeState:
    if known and state == known.state and colour == known.colour:
        return state
    state = replace(state, version=state.version + 1)
    await practices.save(tx, state, colour, next_number)
    await outbox.append(tx, now, [Outgoing(PRACTICE_STATE, state)])
    return state
