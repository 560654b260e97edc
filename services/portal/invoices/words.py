"""Words and sums of an invoice as employers read them: pure."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from shared.events.invoicing import InvoiceLineState, InvoiceState, LineCharge, LineEntry
from shared.money import usd
from shared.web.show import plural

STATUS = {"due": "Due", "overdue": "Overdue", "in_review": "In-Review", "pending": "Pending", "closed": "Closed", "withdrawn": "Withdrawn"}
ENTRY = {"charge": "Charge", "payment": "Payment", "adjustment": "Adjustment", "transfer": "Transfer", "void": "Taken back"}
CAUSE = {
    "check": "by check",
    "payment": "by card",
    "write_off": "given up by the practice",
    "correction": "corrected",
    "payer_change": "to another payer",
}
CODES = {
    "CO 45": "CO 45 means: the charge exceeds the agreed fee.",
    "CO 253": "CO 253 means: a reduction set by law.",
    "OA 23": "OA 23 means: what an earlier payer paid or took off.",
    "PR 1": "PR 1 means: the deductible.",
    "PR 2": "PR 2 means: the coinsurance.",
    "PR 3": "PR 3 means: the copay.",
}


def late(status: str, due_on: date, today: date) -> str:
    """`6 days` beside Overdue."""
    return plural((today - due_on).days, "day") if status == "overdue" and today > due_on else ""


def ladder(state: InvoiceState, own_held_cents: int, payable_cents: int, pending: bool) -> list[tuple[str, str, str]]:
    """From the original total to what can be paid now; each step that is not zero, so that the list adds up (EP-11)."""
    remaining = state.balance_cents
    changed = state.charged_cents - state.original_cents
    steps = [
        ("Corrections of charges", changed),
        ("Payments", -state.paid_cents),
        ("Transfers in", state.transferred_in_cents),
        ("Transfers out", -state.transferred_out_cents),
        ("Adjustments", -state.adjusted_cents),
    ]
    rows = [("Invoice Total (original)", usd(state.original_cents), "")]
    rows += [(label, usd(cents, sign=cents > 0), "") for label, cents in steps if cents or label == "Payments"]
    rows.append(("Remaining Total", usd(remaining), "sum"))
    held = state.held_cents + own_held_cents
    waiting = remaining - held - payable_cents
    if held and remaining:
        rows.append(("In review", usd(-held), ""))
    if waiting > 0:
        rows.append(("Payment being posted" if pending else "Being updated", usd(-waiting), ""))
    rows.append(("Payable now", usd(payable_cents, symbol=True), "tot"))
    return rows


def lead(status: str, why: str, state: InvoiceState, disputed: int) -> str:
    """What the page says under its head: what happens next, in one or two sentences."""
    held = state.held_claims + disputed
    if status == "closed":
        return "Nothing is left to pay."
    if status == "pending":
        return "A payment of this invoice is being processed. It cannot be paid a second time."
    if why == "updating":
        return "The amounts of this invoice are being updated. It can be paid again in a moment."
    if status == "in_review":
        of = f"{held} of {plural(state.claims, 'claim')} {'is' if held == 1 else 'are'} in review." if state.claims > 1 else "Its claim is in review."
        return f"{of} You can pay the rest now." if not why else f"{of} Nothing else is open."
    return ""


def procedures(line: InvoiceLineState) -> str:
    """`99455 Work-related evaluation and 2 more`."""
    if not line.charges:
        return "–"
    first = line.charges[0]
    more = len(line.charges) - 1
    return f"{first.procedure_code} {first.description}".strip() + (f" and {more} more" if more else "")


def story(line: InvoiceLineState) -> tuple[list[tuple[date, str, str, int, int]], str]:
    """Why the amount is what it is (BX-07): (day, what happened, code, change, balance after it), and a sentence on codes and what did not happen.

    Posting sends the newest entries only, so what came before them stands in a first row of its own.
    """
    by_charge = {charge.charge_id: f"{charge.procedure_code} {charge.description}".strip() for charge in line.charges}
    entries = sorted(line.entries, key=lambda entry: (entry.on, entry.entry_id))
    before = line.balance_cents - sum(entry.change_cents for entry in entries)
    if not entries:
        entries = [_charged(line, charge) for charge in line.charges]
        before = line.balance_cents - sum(entry.change_cents for entry in entries)
    rows = [(line.service_date, "Before these entries", "", before, before)] if before else []
    balance = before
    for entry in entries:
        balance += entry.change_cents
        code = f"{entry.group} {entry.code}" if entry.group and entry.code else ""
        what = " ".join(filter(None, (ENTRY.get(entry.kind, entry.kind), CAUSE.get(entry.cause or "", ""))))
        rows.append((entry.on, f"{what}: {by_charge.get(entry.charge_id or '', '')}".rstrip(": "), code, entry.change_cents, balance))
    return rows, _codes(entries)


def _charged(line: InvoiceLineState, charge: LineCharge) -> LineEntry:
    """A charge before posting has told of it."""
    return LineEntry(
        entry_id=charge.charge_id,
        on=line.service_date,
        kind="charge",
        change_cents=charge.charged_cents,
        group=None,
        code=None,
        charge_id=charge.charge_id,
    )


def _codes(entries: Sequence[LineEntry]) -> str:
    kinds = {entry.kind for entry in entries}
    absent = [word for kind, word in (("payment", "payments"), ("adjustment", "adjustments"), ("transfer", "transfers")) if kind not in kinds]
    used = sorted({f"{entry.group} {entry.code}" for entry in entries if entry.group and entry.code})
    listed = " and ".join(filter(None, (", ".join(f"no {word}" for word in absent[:-1]), f"no {absent[-1]}"))) if absent else ""
    nothing = f"N{listed[1:]} on this claim." if listed else ""
    return " ".join(filter(None, (nothing, *(CODES.get(code, f"{code} is the payer's reason code.") for code in used))))


def open_points(row: Any) -> list[tuple[str, str, str, str, str]]:
    """The open points of Home in words: (tone, before, link, address, amount)."""
    home = "/employerportal/?status="
    points = []
    if row.overdue:
        words = f"{plural(row.overdue, 'invoice')} {'is' if row.overdue == 1 else 'are'} overdue"
        points.append(("overdue", "", words, f"{home}overdue", usd(row.overdue_cents)))
    if row.in_review:
        words = f"answer due by {row.act_by:%b} {row.act_by.day}" if row.act_by else "see them"
        points.append(("review", f"{plural(row.in_review, 'invoice')} in review,", words, f"{home}in_review", usd(row.in_review_cents)))
    if row.pending:
        words = f"payment of {plural(row.pending, 'invoice')} is processing"
        points.append(("pending", "", words[0].upper() + words[1:], f"{home}pending", usd(row.pending_cents)))
    return points
