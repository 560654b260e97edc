"""What each mail needs to be written, read from the copies when it is sent: a letter, a reason not to send, or a wait."""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier import copies, decide, tables
from services.notifier.settings import Settings
from shared.clock import Clock, local_date
from shared.money import usd
from shared.sealing import open_sealed
from shared.web.show import card, day

MOST_NAMED = 5  # claims in a mail


@dataclass(frozen=True)
class Letter:
    """A mail ready to be written: to whom, which template, with what. `told` are the invoice items it says."""

    to: str
    template: str
    context: dict[str, Any]
    told: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Skip:
    """Not to be sent, and why."""

    reason: str


Decision = Letter | Skip | None  # None: wait


async def decide_mail(tx: AsyncConnection, mail: Any, clock: Clock, settings: Settings) -> Decision:
    """Decides a mail from the state now (BX-01)."""
    practice = await copies.practice(tx, mail.practice_id)
    if practice is None:
        return None
    today = local_date(clock.business(), practice["zone"])
    if mail.expires_at and clock.system() >= mail.expires_at:
        return Skip("expired")
    if mail.template not in ("code", "password_reset") and decide.old(mail.on, today):
        return Skip(decide.OLD_REASON)
    found: Decision = await _DECIDE[mail.template](tx, mail, settings, practice, today)
    return found


async def _digest(tx: AsyncConnection, mail: Any, settings: Settings, practice: dict[str, Any], today: date) -> Decision:
    facts = mail.facts
    contact = await copies.body(tx, tables.contacts, mail.practice_id, facts["contact_id"])
    account = await copies.body(tx, tables.accounts, mail.practice_id, facts["account_id"])
    if contact is None or account is None:
        return None
    if contact["status"] != "registered":
        return Skip("revoked")
    told = tables.told.c
    groups: dict[str, list[dict[str, Any]]] = {"overdue": [], "new": [], "reissued": []}
    said, reasons = [], []
    for item in facts["items"]:
        key = mail.practice_id, item["invoice_id"]
        known = (
            await tx.execute(select(tables.known).where(tables.known.c.practice_id == key[0], tables.known.c.invoice_id == key[1]))
        ).one_or_none()
        invoice = await copies.body(tx, tables.invoices, *key)
        if invoice is None or not copies.caught_up(invoice, known):
            return None
        where = (told.practice_id == key[0], told.invoice_id == key[1], told.kind == item["kind"], told.issue_no == item["issue_no"])
        again = (await tx.execute(select(told.mail_id).where(*where, told.contact_id == facts["contact_id"], told.mail_id != mail.mail_id))).first()
        reason = "told before" if again else decide.invoice_item(item["kind"], item["issue_no"], invoice, today)
        if reason:
            reasons.append(reason)
            continue
        said.append(item)
        kind = "overdue" if item["kind"].startswith("overdue") else item["kind"]
        line = {"number": invoice["number"], "invoice_id": item["invoice_id"], "due_on": date.fromisoformat(invoice["due_on"])}
        if not any(each["invoice_id"] == item["invoice_id"] for each in groups[kind]):
            groups[kind].append(line | {"payable_cents": invoice["payable_cents"]})
    if not said:
        return Skip(reasons[0] if reasons else "nothing to say")
    groups["new"] = [line for line in groups["new"] if line["number"] not in {each["number"] for each in groups["overdue"]}]
    context = _frame(practice, settings) | {"account": account["name"], "name": contact["name"], **groups}
    return Letter(contact["email"], "invoice_digest", context, said)


async def _invited(tx: AsyncConnection, mail: Any, settings: Settings, practice: dict[str, Any], today: date) -> Decision:
    contact = await copies.body(tx, tables.contacts, mail.practice_id, mail.cause["contact_id"])
    account = await copies.body(tx, tables.accounts, mail.practice_id, mail.facts["account_id"])
    if contact is None or account is None or contact["invite_no"] < mail.cause["invite_no"]:
        return None
    if reason := decide.invitation(contact, mail.cause["invite_no"], mail.facts["kind"]):
        return Skip(reason)
    sealed = open_sealed(settings.sealing_private_key, mail.facts["sealed"])
    context = _frame(practice, settings) | {"account": account["name"], "name": contact["name"], "link": sealed["link"]}
    return Letter(sealed["to"], mail.template, context)


async def _code(tx: AsyncConnection, mail: Any, settings: Settings, practice: dict[str, Any], today: date) -> Decision:
    sealed = open_sealed(settings.sealing_private_key, mail.facts["sealed"])
    return Letter(sealed["to"], "code", _frame(practice, settings) | {"code": sealed["code"], "purpose": mail.facts["purpose"]})


async def _reset(tx: AsyncConnection, mail: Any, settings: Settings, practice: dict[str, Any], today: date) -> Decision:
    sealed = open_sealed(settings.sealing_private_key, mail.facts["sealed"])
    return Letter(sealed["to"], "password_reset", _frame(practice, settings) | {"link": sealed["link"]})


async def _receipt(tx: AsyncConnection, mail: Any, settings: Settings, practice: dict[str, Any], today: date) -> Decision:
    contact = await copies.body(tx, tables.contacts, mail.practice_id, mail.facts["contact_id"])
    account = await copies.body(tx, tables.accounts, mail.practice_id, mail.facts["account_id"])
    if contact is None or account is None:
        return None
    invoices = mail.facts["invoices"]
    paid = [(f"Invoice {each['number']}", usd(each["amount_cents"])) for each in invoices]
    if withheld := sum(each.get("withheld_cents", 0) for each in invoices):  # facts of 0.1.0 do not say
        claims = [claim_id for each in invoices for claim_id in each["withheld_claims"]]
        named = f"claim{'s' * (len(claims) > 1)} {', '.join(claims)}" if len(claims) <= MOST_NAMED else f"{len(claims)} claims"
        paid.append(("Withheld, in review", f"{usd(withheld)} · {named}"))
    context = _frame(practice, settings) | _charged(mail.facts) | {"account": account["name"], "name": contact["name"], "paid_rows": paid}
    return Letter(contact["email"], "receipt", context)


async def _notice(tx: AsyncConnection, mail: Any, settings: Settings, practice: dict[str, Any], today: date) -> Decision:
    contract = await copies.body(tx, tables.contracts, mail.practice_id, mail.cause["contract_id"])
    if contract is None or contract["version"] < mail.facts["contract_version"]:
        return None
    if reason := decide.contract_notice(contract, mail.cause["charge_id"], mail.cause["notice_no"]):
        return Skip(reason)
    sealed = open_sealed(settings.sealing_private_key, contract["sealed"])
    context = _frame(practice, settings) | {"name": sealed["name"], "amount_cents": mail.facts["noticed_cents"], "today": today}
    return Letter(sealed["to"], "contract_notice", context | {"card_words": _card(contract["card"])})


async def _contract_receipt(tx: AsyncConnection, mail: Any, settings: Settings, practice: dict[str, Any], today: date) -> Decision:
    contract = await copies.body(tx, tables.contracts, mail.practice_id, mail.cause["contract_id"])
    if contract is None:
        return None
    sealed = open_sealed(settings.sealing_private_key, contract["sealed"])
    return Letter(sealed["to"], "contract_receipt", _frame(practice, settings) | _charged(mail.facts) | {"name": sealed["name"]})


async def _declined(tx: AsyncConnection, mail: Any, settings: Settings, practice: dict[str, Any], today: date) -> Decision:
    facts = mail.facts
    contract = await copies.body(tx, tables.contracts, mail.practice_id, mail.cause["contract_id"])
    if contract is None or contract["version"] < facts["contract_version"]:
        return None
    retry_on = date.fromisoformat(facts["retry_on"]) if facts["retry_on"] else None
    if reason := decide.contract_declined(contract, mail.cause["charge_id"], retry_on, today):
        return Skip(reason)
    context = _frame(practice, settings) | {"retry_on": retry_on}
    if mail.template == "contract_declined_staff":
        to = practice["staff_addresses"].get("contracts")
        context |= {"agreement": contract["contract_id"], "link": _agreement(settings, contract)}
        return Letter(to, mail.template, context) if to else Skip("the practice has no address for contracts")
    sealed = open_sealed(settings.sealing_private_key, contract["sealed"])
    context |= {"name": sealed["name"], "amount_cents": facts["amount_cents"], "card_words": _card(contract["card"])}
    return Letter(sealed["to"], mail.template, context)


def _agreement(settings: Settings, contract: dict[str, Any]) -> str | None:
    """The staff page of an agreement, where staff pages of contracts have an address."""
    base = settings.staff_links.get("contracts")
    return f"{base.rstrip('/')}/staff/{contract['practice_id']}/agreements/{contract['contract_id']}" if base else None


async def _contract_copy(tx: AsyncConnection, mail: Any, settings: Settings, practice: dict[str, Any], today: date) -> Decision:
    facts = mail.facts
    contract = await copies.body(tx, tables.contracts, mail.practice_id, mail.cause["contract_id"])
    if contract is None or contract["version"] < facts["contract_version"]:
        return None
    if reason := decide.contract_copy(contract, facts["copy"]):
        return Skip(reason)
    sealed = open_sealed(settings.sealing_private_key, facts["sealed"])
    rows = [
        ("Agreement number", contract["contract_id"]),
        ("Receipt number", str(facts["epayment_id"])),
        ("Name", sealed["name"]),
        ("Card", _card(contract["card"])),
        ("Maximum in all", f"${usd(contract['limit_cents'])}"),
        ("Ends", day(date.fromisoformat(contract["expires_on"]))),
        ("Status", _status(contract)),
    ]
    context = _frame(practice, settings) | {"name": sealed["name"], "copy": facts["copy"], "copy_rows": rows, "terms": facts["terms"]}
    return Letter(sealed["to"], "contract_copy", context)


def _status(contract: dict[str, Any]) -> str:
    if contract["status"] == "active":
        return f"Active, signed on {day(date.fromisoformat(contract['signed_on']))}"
    words = {"awaiting_signature": "Not signed yet", "cancelled": "Cancelled", "used_up": "Used up", "expired": "Over"}
    return words[contract["status"]]


_DECIDE: dict[str, Any] = {
    "invoice_digest": _digest,
    "invitation": _invited,
    "access_granted": _invited,
    "code": _code,
    "password_reset": _reset,
    "receipt": _receipt,
    "contract_notice": _notice,
    "contract_receipt": _contract_receipt,
    "contract_copy": _contract_copy,
    "contract_declined": _declined,
    "contract_declined_staff": _declined,
}


def _charged(facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "amount_cents": facts["amount_cents"],
        "record_number": facts["record_number"],
        "authorization_number": facts["authorization_number"],
        "card_words": _card(facts["card"]),
        "captured_at": datetime.fromisoformat(facts["captured_at"]),
    }


def _card(kept: dict[str, str]) -> str:
    return card(kept["brand"], kept["last4"])


def _frame(practice: dict[str, Any], settings: Settings) -> dict[str, Any]:
    portal = settings.portal_url.rstrip("/")
    logo = practice["brand"]["logo_id"]
    address = f"{portal}/employerportal/logo/{practice['practice_id']}/{logo}" if logo else None
    return {"practice": practice, "brand": practice["brand"], "portal": f"{portal}/employerportal", "logo": address}
