"""Where people may work: practices and accounts by name, from the portal's copies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.portal.frame import visitor
from services.portal.identity.addresses import show_phone
from services.portal.identity.invitations import Place
from services.portal.invoices.tables import accounts, practices
from shared.db import enter
from shared.service import Service
from shared.web import set_cookie, use
from shared.web.frame import Visitor

COOKIE = "portal_practice"
REMEMBERED = 365 * 86_400


@dataclass(frozen=True)
class Choice:
    """One account a person may work for, by name."""

    practice_id: str
    practice: str
    contact_id: str
    account_id: str
    account: str


@dataclass(frozen=True)
class Home:
    """A practice as a visitor knows it, before logging in."""

    practice_id: str
    name: str
    phone: str
    zone: str
    body: dict[str, Any]

    @property
    def call(self) -> str:
        return f"{self.name}, {self.phone}" if self.phone else self.name


NOBODY = Home("", "", "", "America/New_York", {})


async def choices(tx: AsyncConnection, places: Sequence[Place]) -> list[Choice]:
    """The places by name, sorted by practice and account; one whose copies have not arrived yet is left out."""
    found = []
    for practice_id in sorted({place.practice_id for place in places}):
        await enter(tx, practice_id)
        here = [place for place in places if place.practice_id == practice_id]
        practice = (await tx.execute(select(practices.c.display_name).where(practices.c.practice_id == practice_id))).scalar_one_or_none()
        wanted = accounts.c.practice_id == practice_id, accounts.c.account_id.in_([place.account_id for place in here])
        names = {row.account_id: row.name for row in await tx.execute(select(accounts.c.account_id, accounts.c.name).where(*wanted))}
        found += [
            Choice(practice_id, practice, place.contact_id, place.account_id, names[place.account_id])
            for place in here
            if practice is not None and place.account_id in names
        ]
    return sorted(found, key=lambda each: (each.practice, each.account, each.contact_id))


async def home(tx: AsyncConnection, practice_id: str) -> Home:
    """The practice; NOBODY where it is not known."""
    await enter(tx, practice_id)
    row = (await tx.execute(select(practices).where(practices.c.practice_id == practice_id))).one_or_none()
    return Home(practice_id, row.display_name, show_phone(row.body["phone"]), row.zone, row.body) if row else NOBODY


async def welcome(request: Request, practice_id: str | None = None) -> Home:
    """Dresses a page before log-in in a practice's brand: the given one, the address's `practice`, or the one this browser used last."""
    service: Service = request.app.state.service
    known = practice_id or request.query_params.get("practice") or request.cookies.get(COOKIE, "")
    async with service.app.begin() as tx:
        found = await home(tx, known) if known else NOBODY
    use(request, visitor(found.body) if found.practice_id else Visitor("Employer Portal", home="/employerportal/login"))
    return found


def remember(request: Request, practice_id: str) -> None:
    """So that the log-in page of this browser has the practice's brand the next time."""
    set_cookie(request, COOKIE, practice_id, max_age=REMEMBERED)
