"""How contacts look to staff: what can be done with each, what is missing, and when what happened."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.portal.contacts import store
from services.portal.contacts.status import Move, Status, may
from services.portal.contacts.store import Contact, Moved
from services.portal.identity import store as people
from services.portal.identity.addresses import show_phone, wrong_with
from services.portal.identity.places import Home, home
from services.portal.invoices.tables import accounts, invoices
from shared.clock import local_date
from shared.money import usd
from shared.web.show import address, short_day, staff_day, staff_moment

STATUS_WORDS = {
    Status.NOT_INVITED: "Not invited",
    Status.INVITED: "Invited",
    Status.REGISTERED: "Registered",
    Status.REVOKED: "Revoked",
}
BUTTONS = {Move.INVITE: "Send Invite", Move.RESEND: "Resend Invite", Move.GRANT: "Grant Access", Move.REVOKE: "Revoke Access"}
NEEDS_BUSINESS = "needs a business e-mail"


@dataclass(frozen=True)
class Row:
    """A contact on the page: its buttons, or what is missing for an invitation."""

    contact: Contact
    status: str
    phone: str
    moves: tuple[Move, ...]
    missing: str
    advice: str
    moved: str
    by: str


@dataclass(frozen=True)
class Account:
    """The head of an account's pages, from the portal's copies."""

    account_id: str
    name: str
    standing: str
    lead: str
    figures: list[tuple[str, str, str]]
    home: Home


async def account(tx: AsyncConnection, practice_id: str, account_id: str, now: datetime) -> Account | None:
    """The account as far as the portal knows it, as it stands at this business time; none where no copy has arrived."""
    wanted = accounts.c.practice_id == practice_id, accounts.c.account_id == account_id
    row = (await tx.execute(select(accounts).where(*wanted))).one_or_none()
    if row is None:
        return None
    open_sum = func.coalesce(func.sum(invoices.c.balance_cents), 0)
    overdue = func.coalesce(func.sum(invoices.c.balance_cents).filter(invoices.c.status == "overdue"), 0)
    mine = invoices.c.practice_id == practice_id, invoices.c.account_id == account_id
    sums = (await tx.execute(select(open_sum.label("balance"), overdue.label("overdue")).where(*mine))).one()
    here = await home(tx, practice_id)
    figures = _figures(row.body, int(sums.balance), int(sums.overdue))
    return Account(account_id, row.name, _standing(row.body, local_date(now, here.zone)), _lead(row.body), figures, here)


async def rows(tx: AsyncConnection, practice_id: str, account_id: str, zone: str) -> list[Row]:
    """The contacts of an account with what can be done with each."""
    listed = await store.of_account(tx, practice_id, account_id)
    last = await store.last_moves(tx, practice_id, account_id)
    emails = [each.email for each in listed]
    patients = await people.patients_among(tx, emails)
    employers = await people.employers_among(tx, emails)
    return [row(each, last.get(each.contact_id), each.address in patients, each.address in employers, zone) for each in listed]


def row(contact: Contact, last: Moved | None, is_patient: bool, has_login: bool, zone: str) -> Row:
    missing, advice = _missing(contact, is_patient)
    wanted = [Move.RESEND, Move.REVOKE, Move.GRANT if has_login or contact.status is not Status.NOT_INVITED else Move.INVITE]
    moves = tuple(move for move in wanted if may(contact.status, move) and (not missing or move is Move.REVOKE))
    when = f"{staff_day(last.at.astimezone(ZoneInfo(zone)))}, {last.words}" if last else ""
    by = f"by {last.by}" if last else ""
    sent = _sent(contact, zone)
    phone = show_phone(contact.phone or "")
    return Row(contact, STATUS_WORDS[contact.status], phone, moves, missing, advice, when, "; ".join(filter(None, (by, sent))))


def timeline(moves: list[Moved], zone: str) -> list[tuple[str, str, str, None]]:
    """The audit timeline of a contact."""
    return [(staff_moment(each.at, zone), each.by, _change(each), None) for each in moves]


def _change(move: Moved) -> str:
    before, after = STATUS_WORDS[move.from_status], STATUS_WORDS[move.to_status]
    change = f"{before} → {after}" if before != after else after
    return change if move.words.casefold() == after.casefold() else f"{change}: {move.words}"


def _missing(contact: Contact, is_patient: bool) -> tuple[str, str]:
    """What keeps a contact from being invited: for the list at the top, and beside the contact."""
    if contact.status is Status.REGISTERED:
        return "", ""
    if not contact.address:
        return "has no e-mail", "No e-mail yet."
    if words := wrong_with(contact.email):
        return "needs another e-mail", f"{words}."
    if is_patient:
        return NEEDS_BUSINESS, f"{people.NOT_HERE}."
    return "", ""


def _sent(contact: Contact, zone: str) -> str:
    """How the newest mail ended (EP-25)."""
    if not contact.invite_no or contact.status not in (Status.INVITED, Status.REGISTERED):
        return ""
    if contact.sent_outcome is None or contact.sent_at is None:
        return "mail on its way" if contact.status is Status.INVITED else ""
    at = _clock(contact.sent_at, zone)
    match contact.sent_outcome:
        case "sent":
            return f"delivered {at}" if contact.status is Status.INVITED else ""
        case "skipped":
            return f"mail not needed any more, {at}"
        case "bounced":
            return f"mail came back {at}; check the e-mail"
        case _:
            return f"mail could not be sent, {at}; try again"


def _clock(at: datetime, zone: str) -> str:
    return staff_moment(at, zone).partition(" ")[2]


def _standing(body: Mapping[str, Any], today: date) -> str:
    if body["effective_on"] and today < date.fromisoformat(body["effective_on"]):
        return "Not yet effective"
    if body["expires_on"] and today > date.fromisoformat(body["expires_on"]):
        return "Expired"
    return "Active"


def _lead(body: Mapping[str, Any]) -> str:
    lead = [address(body["address"]), show_phone(body["phone"]) if body["phone"] else ""]
    return " · ".join(part for part in [*lead, f"payer id {', '.join(body['payer_ids'])}" if body["payer_ids"] else ""] if part)


def _figures(body: Mapping[str, Any], balance: int, overdue: int) -> list[tuple[str, str, str]]:
    run = body.get("next_run_on")
    when = f"{short_day(date.fromisoformat(run))}, {body['frequency']}" if run else body["frequency"]
    return [
        ("Account balance", usd(balance), ""),
        ("Overdue", usd(overdue), "overdue" if overdue else ""),
        ("Next billing run", when, "plain"),
        ("Terms", f"Net {body['net_days']}", "plain"),
    ]
