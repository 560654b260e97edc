"""Invoices on paper: each sending is printed once from its frozen data, outside any transaction, and kept (EP-27)."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from services.invoicing.store import practices
from shared.db import Database, passing
from shared.logo import print_with
from shared.web.show import address, address_lines, day, phone

log = logging.getLogger(__name__)
TEMPLATE = Path(__file__).parent / "typst" / "invoice.typ"
BATCH = 20
RECENT = timedelta(days=30)
WIDE, ZERO_WIDTH = 13, "\u200b"
HOW = {"payment": "Card", "check": "Check"}
TOTALS = ("charged", "paid", "adjusted", "transferred_in", "transferred_out", "balance", "held")
CORRECTIONS = ("claim_version", "claim_revision", "adjusted_cents")


async def print_next(db: Database) -> int:
    """Prints all sendings that have no paper yet, past those that cannot be printed; returns how many it printed."""
    done, last = 0, ("", "", 0)
    while due := await _unprinted(db, last):
        for row in due:
            try:
                await paper(db, row.practice_id, row.invoice_id, row.no)
                done += 1
            except Exception as error:  # the others are printed; this one is tried again
                if passing(error):
                    raise
                log.exception("sending %s of invoice %s cannot be printed", row.no, row.invoice_id)
        last = due[-1].practice_id, due[-1].invoice_id, due[-1].no
    return done


async def _unprinted(db: Database, last: tuple[str, str, int]) -> list[Any]:
    """The next sendings without a paper after this (practice, invoice, number)."""
    next_ones = text(
        "SELECT practice_id, invoice_id, no FROM issue"
        " WHERE document_id IS NULL AND (practice_id, invoice_id, no) > (:practice_id, :invoice_id, :no)"
        " ORDER BY practice_id, invoice_id, no LIMIT :limit"
    )
    async with db.begin() as tx:
        return list(await tx.execute(next_ones, dict(zip(("practice_id", "invoice_id", "no"), last, strict=True)) | {"limit": BATCH}))


async def paper(db: Database, practice_id: str, invoice_id: str, no: int) -> practices.Document | None:
    """The PDF of a sending, printed now if the job has not come to it yet; None where there is no such sending."""
    where = {"practice_id": practice_id, "invoice_id": invoice_id, "no": no}
    async with db.begin(practice_id) as tx:
        found = text(
            "SELECT i.frozen, i.document_id, before.frozen->'lines' AS lines_before FROM issue i"
            " LEFT JOIN issue before ON before.practice_id = i.practice_id AND before.invoice_id = i.invoice_id AND before.no = i.no - 1"
            " WHERE i.practice_id = :practice_id AND i.invoice_id = :invoice_id AND i.no = :no"
        )
        row = (await tx.execute(found, where)).one_or_none()
        if row is None:
            return None
        if row.document_id:
            return await practices.get_document(tx, practice_id, row.document_id)
        logo_id = row.frozen["practice"]["brand"]["logo_id"]
        kept = await practices.get_document(tx, practice_id, logo_id) if logo_id else None

    def shown(logo: str | None) -> dict[str, Any]:
        return contents(row.frozen, no, logo, row.lines_before or ())

    content = await print_with(TEMPLATE, shown, kept.bytes if kept else None)
    name = f"invoice-{row.frozen['invoice']['number']}-{no}.pdf"
    async with db.begin(practice_id) as tx:
        document_id = await practices.add_document(tx, practice_id, name, "application/pdf", content)
        # Whoever printed first wins; the same data give the same bytes.
        keep = text(
            "UPDATE issue SET document_id = coalesce(document_id, :document_id)"
            " WHERE practice_id = :practice_id AND invoice_id = :invoice_id AND no = :no RETURNING document_id"
        )
        chosen = (await tx.execute(keep, where | {"document_id": document_id})).scalar_one()
        return await practices.get_document(tx, practice_id, chosen)


def contents(frozen: Mapping[str, Any], no: int, logo: str | None, lines_before: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """What the typst source prints, in words and cents: pure, so that a paper can be tried without a database.

    `lines_before` are those of the sending before.
    """
    practice, account, invoice = frozen["practice"], frozen["account"], frozen["invoice"]
    issue = next(each for each in invoice["issues"] if each["no"] == no)
    on = date.fromisoformat(issue["on"])
    lines = frozen["lines"]
    return {
        "practice": {
            "name": practice["display_name"],
            "address": address(practice["postal_address"]),
            "phone": phone(practice["phone"]),
            "accent": practice["brand"]["accent"],
            "logo": logo,
            "logo_alt": practice["brand"]["logo_alt"],
        },
        "remit_to": [practice["remit_to_name"], *address_lines(practice["remit_to_address"]), phone(practice["phone"])],
        "bill_to": [account["name"], *address_lines(account["address"])],
        "account": account["name"],
        "number": invoice["number"],
        "no": no,
        "corrected": issue["kind"] == "reissued",
        "change": corrected_since(lines, lines_before, no - 1),
        "overdue": issue["kind"] == "overdue_again",
        "facts": [
            ["First billed", day(date.fromisoformat(invoice["first_billed_on"]))],
            ["Last billed", day(date.fromisoformat(invoice["last_billed_on"]))],
            ["Due by", day(date.fromisoformat(invoice["due_on"]))],
            ["Terms", f"Net {account['net_days']}"],
            *([["PO number", account["po_number"]]] if account["po_number"] else []),
        ],
        "cover_sheet": account["cover_sheet"],
        "show_adjustments": account["show_adjustments"],
        "totals": {name: invoice[f"{name}_cents"] for name in TOTALS},
        "claims": [_claim(line) for line in lines],
        "payments": recent_payments(lines, on),
        "portal": practice["portal_address"].removeprefix("https://").removeprefix("http://"),
        "sent_on": day(on),
    }


def _claim(line: Mapping[str, Any]) -> dict[str, Any]:
    person = line["patient"]
    extra = [f"born {day(date.fromisoformat(person['birth_date']))}"] if person["birth_date"] else []
    extra += [f"employee {person['employee_id']}"] if person["employee_id"] else []
    return {
        "claim_id": breakable(line["claim_id"]),
        "patient": f"{person['given_name']} {person['family_name']}",
        "extra": ", ".join(extra),
        "on": day(date.fromisoformat(line["service_date"])),
        "charged": line["charged_cents"] + line["transferred_in_cents"] - line["transferred_out_cents"],
        "paid": line["paid_cents"],
        "adjusted": line["adjusted_cents"],
        "balance": line["balance_cents"],
        "status": "In review" if line["status"] == "in_review" else "",
        "procedures": [
            {
                "text": " ".join(filter(None, [each["procedure_code"], *each["modifiers"], each["description"]]))
                + (f" ({', '.join(each['diagnosis_codes'])})" if each["diagnosis_codes"] else ""),
                "charged": each["charged_cents"],
            }
            for each in line["charges"]
        ],
    }


def corrected_since(lines: Sequence[Mapping[str, Any]], before: Sequence[Mapping[str, Any]], no: int) -> str:
    """Which claims have other content or adjustments than on sending `no`, in words; nothing where there are none."""
    then = {line["line_id"]: line for line in before}
    pairs = [(line, then[line["line_id"]]) for line in lines if line["line_id"] in then]
    changed = [line["claim_id"] for line, old in pairs if any(line[name] != old[name] for name in CORRECTIONS)]
    if not changed:
        return ""
    who = f"Claim {changed[0]} was" if len(changed) == 1 else f"{len(changed)} claims were"
    return f"{who} corrected after sending {no}."


def breakable(claim_id: str) -> str:
    """A number too long for its column with places where it may break."""
    return ZERO_WIDTH.join(claim_id[n : n + WIDE] for n in range(0, len(claim_id), WIDE))


def recent_payments(lines: list[dict[str, Any]], on: date) -> list[dict[str, Any]]:
    """Payments on these claims in the 30 days up to the sending, newest first; one row for all procedures of a claim."""
    found: Counter[tuple[str, str, str]] = Counter()
    for line in lines:
        for entry in line["entries"]:
            if entry["kind"] == "payment" and date.fromisoformat(entry["on"]) >= on - RECENT:
                found[entry["on"], line["claim_id"], HOW.get(entry["cause"] or "", "Payment")] -= entry["change_cents"]
    rows = sorted(found.items(), reverse=True)
    return [{"on": day(date.fromisoformat(paid)), "how": how, "claim": claim, "cents": cents} for (paid, claim, how), cents in rows if cents]
