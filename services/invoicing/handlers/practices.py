"""Practices: set up by file, their brand and name changed by page (PF-10, EP-19)."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicing.domain.claim import Refused
from services.invoicing.store import practices
from services.invoicing.store.practices import Absent, Practice
from services.invoicing.tables import MEBIBYTE
from shared import outbox
from shared.events.invoicing import PRACTICE_STATE, PracticeState
from shared.events.practices import Brand
from shared.outbox import Outgoing
from shared.web import brand as colours

FIRST_NUMBER = 100001
OURS = ("colour", "logo", "logo_alt", "first_invoice_number")
KINDS = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


async def set_up(tx: AsyncConnection, now: datetime, asked: Mapping[str, Any], logo: bytes | None, portal_address: str) -> PracticeState:
    """Creates or updates a practice from its file's entry; the same entry again changes nothing. Raises Refused."""
    practice_id = str(asked.get("practice_id", ""))
    known = await practices.lock(tx, practice_id)
    logo_id = await keep_logo(tx, practice_id, logo, asked["logo_alt"]) if logo else None
    body = {name: value for name, value in asked.items() if name not in OURS}
    body |= {"version": known.state.version if known else 0, "portal_address": asked.get("portal_address", portal_address)}
    body["brand"] = brand(asked["colour"], logo_id, asked.get("logo_alt") or "")
    try:
        state = msgspec.convert(body, PracticeState)
        ZoneInfo(state.zone)
        if state.digest_at != "now":  # the pattern, which readers know, takes hours up to 29
            hour, minute = map(int, state.digest_at.split(":"))
            time(hour, minute)
    except (msgspec.ValidationError, ZoneInfoNotFoundError, ValueError) as error:
        raise Refused(f"Practice {practice_id or 'without id'}: {error}") from error
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
        raise Refused("Enter the name that employers see")
    if logo_id and logo_id not in {each["document_id"] for each in await practices.logos(tx, practice_id)}:
        raise Refused("Choose one of the practice's logos")
    if logo_id and not logo_alt.strip():
        raise Refused("Describe the logo in a few words, for people who do not see it")
    new = replace(known.state, display_name=display_name.strip(), brand=brand(colour, logo_id, logo_alt.strip()))
    return await _save(tx, now, known, new, colour, known.next_number)


def brand(colour: str, logo_id: str | None, logo_alt: str) -> Brand:
    """Four safe values of one colour, and the logo. Raises Refused on no colour."""
    try:
        safe = colours.brand(colour)
    except ValueError as error:
        raise Refused(str(error)) from error
    return Brand(accent=safe.accent, accent_on=safe.on, accent_edge=safe.edge, accent_soft=safe.soft, logo_id=logo_id, logo_alt=logo_alt)


async def keep_logo(tx: AsyncConnection, practice_id: str, content: bytes, alt: str) -> str:
    """A logo as a document: PNG or JPEG by its first bytes, up to 1 MB. Raises Refused."""
    kind = next((kind for start, kind in KINDS.items() if content.startswith(start)), None)
    if kind is None:
        raise Refused("Not taken: only PNG or JPEG")
    if len(content) > MEBIBYTE:
        raise Refused("Not taken: a logo may have up to 1 MB")
    document_id = await practices.add_document(tx, practice_id, f"logo.{kind.removeprefix('image/')}", kind, content)
    await practices.add_logo(tx, practice_id, document_id, alt)
    return document_id


async def _save(tx: AsyncConnection, now: datetime, known: Practice | None, state: PracticeState, colour: str, next_number: int) -> PracticeState:
    if known and state == known.state and colour == known.colour:
        return state
    state = replace(state, version=state.version + 1)
    await practices.save(tx, state, colour, next_number)
    await outbox.append(tx, now, [Outgoing(PRACTICE_STATE, state)])
    return state
