"""What a mail says, decided at the moment it is sent. Pure rules (events: mail; BX-01, NT-03)."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

OLD = timedelta(days=3)  # a mail about something older than this by the business clock is not sent
OLD_REASON = "old"


def old(on: date, today: date) -> bool:
    """Whether it is too late to say this."""
    return today - on > OLD


def invoice_item(kind: str, issue_no: int, invoice: Mapping[str, Any], today: date) -> str | None:
    """None: the digest says it. Otherwise why not."""
    status, payable = invoice["status"], invoice["payable_cents"]
    if status == "closed":
        return "paid"
    if kind == "reissued":
        return "superseded" if issue_no < invoice["issues"][-1]["no"] else None
    if status == "pending":
        return "payment pending"
    if payable <= 0:
        return "in review" if invoice["held_cents"] else "nothing to pay"
    if kind in ("overdue", "overdue_again") and not today > date.fromisoformat(invoice["due_on"]):
        return "not overdue"
    return None


def invitation(contact: Mapping[str, Any], invite_no: int, kind: str) -> str | None:
    """An invitation goes out while it is open; word of added access while access is there."""
    if contact["status"] == "revoked":
        return "revoked"
    if kind == "access_granted":
        return None if contact["status"] == "registered" else "not registered"
    if contact["status"] == "registered":
        return "registered"
    open_one = contact["status"] == "invited" and contact["invite_open"] and contact["invite_no"] == invite_no
    return None if open_one else "superseded"


def contract_notice(contract: Mapping[str, Any], charge_id: str, notice_no: int) -> str | None:
    """A notice goes out while the contract is active and this notice is still the one that is scheduled."""
    if contract["status"] != "active":
        return "withdrawn"
    charge = next((each for each in contract["charges"] if each["charge_id"] == charge_id), None)
    wanted = charge is not None and charge["status"] == "scheduled" and charge["notice_no"] == notice_no
    return None if wanted else "withdrawn"


def contract_declined(contract: Mapping[str, Any], charge_id: str, retry_on: date | None, today: date) -> str | None:
    """Word of a decline goes out before the next try that it names, while that one is planned; that there is none stays true."""
    if retry_on is None:
        return None
    if contract["status"] != "active":
        return "withdrawn"
    charge = next((each for each in contract["charges"] if each["charge_id"] == charge_id), None)
    return None if charge is not None and charge["status"] == "due" and today < retry_on else "superseded"


def contract_copy(contract: Mapping[str, Any], copy: str) -> str | None:
    """An agreement goes out while it holds or waits for its signature; the copy of a receipt says what became of it."""
    live = contract["status"] in ("awaiting_signature", "active")
    return None if live or copy == "receipt" else "withdrawn"
