"""Claims with their charges, marks, holds and what posting says of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import msgspec
from sqlalchemy import insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicing.domain.claim import Claim, Marks
from services.invoicing.domain.hold import Hold, Redrop
from services.invoicing.store import WANT, Key, as_json, joined, keyed, rewriting
from services.invoicing.tables import charge, claim, claim_mark, claim_note, hold, write_off
from shared.db import copy, fetch, recordset
from shared.events.ingress import ClaimBilled, Payer
from shared.events.posting import ClaimBalances

ROW = ("practice_id", "claim_id", "version", "revision", "service_date", "billed_on", "charges")
CHARGE = ("charge_id", "procedure_code", "code_system", "modifiers", "description", "units", "amount_cents", "diagnosis_codes", "service_date")


@dataclass(frozen=True, slots=True)
class Found:
    """A claim as it stands in the database, with everything that decides about it."""

    claim: Claim
    marks: Marks
    holds: tuple[Hold, ...]
    redrop: Redrop | None
    balances: ClaimBalances | None
    payment_ids: tuple[str, ...]
    left_out: bool
    trace: str | None

    @property
    def payer(self) -> Payer:
        return self.claim.payer


async def lock(tx: AsyncConnection, claims: Iterable[Key], invoices: Iterable[Key] = ()) -> set[Key]:
    """Locks, in key order, these invoices and those the claims are on, then the claims: the one order in which anybody locks them.

    A transaction calls it once, with all it is about. Answers those of the claims that are known.
    """
    wanted, named = keyed(claims), keyed(invoices)
    rows = await fetch(tx, LOCK, {**wanted, "invoice_practices": named["practices"], "invoice_ids": named["ids"]})
    before = {(row.practice_id, row.invoice_id) for row in rows if row.invoice_id}
    # A run may have put a claim on an invoice while we waited for that claim; from here on nobody can.
    there = await fetch(tx, f"SELECT l.practice_id, l.invoice_id FROM {WANT}{joined('invoice_line', 'l', 'claim_id')}", wanted)
    if late := {(row.practice_id, row.invoice_id) for row in there} - before:
        await fetch(tx, f"SELECT FROM {WANT}{joined('invoice', 'i', 'invoice_id')} ORDER BY {INVOICE_ORDER} FOR NO KEY UPDATE OF i", keyed(late))
    return {(row.practice_id, row.claim_id) for row in rows if row.claim_id}


INVOICE_ORDER = "i.practice_id, i.invoice_id"
# One statement, since every batch begins with it. That the invoices are counted before the first claim is looked at locks them first.
LOCK = f"""
WITH locked_invoices AS MATERIALIZED (
  SELECT i.practice_id, i.invoice_id FROM invoice i WHERE (i.practice_id, i.invoice_id) IN (
    SELECT l.practice_id, l.invoice_id FROM {WANT}{joined("invoice_line", "l", "claim_id")}
    UNION ALL SELECT * FROM unnest(CAST(:invoice_practices AS text[]), CAST(:invoice_ids AS text[])))
  ORDER BY {INVOICE_ORDER} FOR NO KEY UPDATE),
locked_claims AS MATERIALIZED (
  SELECT c.practice_id, c.claim_id FROM {WANT}{joined("claim", "c", "claim_id")}
  WHERE (SELECT count(*) FROM locked_invoices) >= 0 ORDER BY c.practice_id, c.claim_id FOR NO KEY UPDATE OF c)
SELECT practice_id, invoice_id, NULL AS claim_id FROM locked_invoices UNION ALL SELECT practice_id, NULL, claim_id FROM locked_claims
"""


LOAD = f"""
SELECT c.*, m.void_version, m.hold_version, m.redrop_version AS pm_redrop_version, b.state AS balances,
  (SELECT jsonb_agg(to_jsonb(ch) ORDER BY ch.position) FROM charge ch WHERE ch.practice_id = c.practice_id AND ch.claim_id = c.claim_id) AS charges,
  (SELECT jsonb_agg(to_jsonb(h) ORDER BY h.hold_no) FROM hold h
     WHERE h.practice_id = c.practice_id AND h.claim_id = c.claim_id AND h.closed_at IS NULL) AS holds,
  (SELECT array_agg(p.payment_id ORDER BY p.payment_id) FROM payment_claim p
     WHERE p.practice_id = c.practice_id AND p.claim_id = c.claim_id) AS payment_ids
FROM {WANT}
{joined("claim", "c", "claim_id")}
LEFT JOIN claim_mark m ON m.practice_id = c.practice_id AND m.claim_id = c.claim_id
LEFT JOIN balance b ON b.practice_id = c.practice_id AND b.claim_id = c.claim_id
"""


async def load(tx: AsyncConnection, keys: Iterable[Key]) -> dict[Key, Found]:
    """The claims as they stand; lock them first to change them."""
    rows = await fetch(tx, LOAD, keyed(keys))
    return {(row.practice_id, row.claim_id): _found(row) for row in rows}


def _found(row: Any) -> Found:
    body = row.rest | {name: getattr(row, name) for name in ROW[:-1]}
    body["charges"] = [{name: found[name] for name in CHARGE} for found in row.charges]
    return Found(
        claim=msgspec.convert(body, Claim),
        marks=Marks(row.void_version or 0, row.hold_version or 0, row.pm_redrop_version or 0),
        holds=tuple(msgspec.convert(row.holds, list[Hold])) if row.holds else (),
        redrop=Redrop((row.redrop_version, row.redrop_revision), tuple(row.redrop_write_offs), row.reissue_on) if row.reissue_on else None,
        balances=msgspec.convert(row.balances, ClaimBalances) if row.balances else None,
        payment_ids=tuple(row.payment_ids or ()),
        left_out=row.left_out,
        trace=row.trace,
    )


def row_of(body: ClaimBilled, revision: int) -> dict[str, Any]:
    """A claim's own columns."""
    payer, patient = body.payer, body.patient
    return {
        "practice_id": body.practice_id,
        "claim_id": body.claim_id,
        "version": body.version,
        "revision": revision,
        "service_date": body.service_date,
        "billed_on": body.billed_on,
        "payer_kind": payer.kind,
        "payer_id": payer.payer_id,
        "total_cents": body.total_cents,
        "given_name": patient.given_name,
        "family_name": patient.family_name,
        "rest": {
            "service_to": body.service_to,
            "department_id": body.department_id,
            "provider_group_id": body.provider_group_id,
            "appointment_id": body.appointment_id,
            "rendering_provider": body.rendering_provider,
            "patient": patient,
            "payers": body.payers,
            "billed_to": body.billed_to,
            "place_of_service": body.place_of_service,
            "authorization_number": body.authorization_number,
            "purchase_order_number": body.purchase_order_number,
            "patient_control_number": body.patient_control_number,
        },
    }


def charge_rows(body: ClaimBilled) -> list[dict[str, Any]]:
    """A claim's charges as rows."""
    return [
        {
            "practice_id": body.practice_id,
            "claim_id": body.claim_id,
            "charge_id": line.charge_id,
            "position": position,
            "procedure_code": line.procedure_code,
            "code_system": line.code_system,
            "modifiers": line.modifiers,
            "description": line.description,
            "units": line.units,
            "amount_cents": line.amount_cents,
            "diagnosis_codes": line.diagnosis_codes,
            "service_date": line.service_date,
        }
        for position, line in enumerate(body.charges)
    ]


async def add(tx: AsyncConnection, new: Sequence[tuple[ClaimBilled, str | None]]) -> None:
    """New claims, each with the trace that brought it (worker role)."""
    await copy(tx, claim, [row_of(body, 0) | {"trace": trace} for body, trace in new])
    await copy(tx, charge, [row for body, _ in new for row in charge_rows(body)])


CHARGES = tuple(column.name for column in charge.columns)
NEW = recordset(charge, CHARGES, "charges")
OTHER = CHARGES[3:]  # all but the key
# Most charges of a changed claim are as they were: those are not written again.
CHANGE = f"""
WITH gone AS (
  DELETE FROM charge USING {WANT} WHERE charge.practice_id = want.practice_id AND charge.claim_id = want.id
    AND NOT EXISTS (
      SELECT FROM {NEW}
      WHERE charges.practice_id = charge.practice_id AND charges.claim_id = charge.claim_id AND charges.charge_id = charge.charge_id)),
kept AS (
  INSERT INTO charge ({", ".join(CHARGES)}) SELECT {", ".join(CHARGES)} FROM {NEW}
  ON CONFLICT (practice_id, claim_id, charge_id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in OTHER)}
  WHERE ({", ".join(f"charge.{name}" for name in OTHER)}) IS DISTINCT FROM ({", ".join(f"excluded.{name}" for name in OTHER)}))
{{claims}}
"""


async def change(tx: AsyncConnection, changed: Sequence[Claim]) -> None:
    """Other content of known claims. The trace that brought a claim stays with it."""
    if not changed:
        return
    rows = [row_of(body, body.revision) for body in changed]
    keys = keyed((row["practice_id"], row["claim_id"]) for row in rows)
    charges = as_json([row for body in changed for row in charge_rows(body)])
    await fetch(tx, CHANGE.format(claims=rewriting(claim, tuple(rows[0]))), {"rows": as_json(rows), "charges": charges, **keys})


async def marks(tx: AsyncConnection, keys: Iterable[Key]) -> dict[Key, Marks]:
    """The other system's marks, locked; a row is made for claims not heard of, so that two writers wait for each other."""
    wanted = keyed(keys)
    await fetch(tx, f"INSERT INTO claim_mark (practice_id, claim_id) SELECT * FROM {WANT} ORDER BY 1, 2 ON CONFLICT DO NOTHING", wanted)
    rows = await fetch(
        tx,
        f"SELECT m.* FROM {WANT}{joined('claim_mark', 'm', 'claim_id')} ORDER BY 1, 2 FOR UPDATE OF m",
        wanted,
    )
    return {(row.practice_id, row.claim_id): Marks(row.void_version, row.hold_version, row.redrop_version) for row in rows}


async def save_marks(tx: AsyncConnection, changed: Mapping[Key, Marks]) -> None:
    for (practice_id, claim_id), new in sorted(changed.items()):
        await tx.execute(
            update(claim_mark)
            .where(claim_mark.c.practice_id == practice_id, claim_mark.c.claim_id == claim_id)
            .values(void_version=new.void_version, hold_version=new.hold_version, redrop_version=new.redrop_version)
        )


async def open_holds(tx: AsyncConnection, key: Key) -> tuple[tuple[Hold, ...], int]:
    """A claim's open holds, known claim or not, and the highest number any of its holds has had."""
    rows = list(await tx.execute(hold.select().where(hold.c.practice_id == key[0], hold.c.claim_id == key[1]).order_by(hold.c.hold_no)))
    found = [
        Hold(r.hold_id, r.hold_no, r.source, r.dispute_id, r.pm_version, r.kick_code, r.reason, r.note, r.held_at, r.act_by)
        for r in rows
        if r.closed_at is None
    ]
    return tuple(found), max((r.hold_no for r in rows), default=0)


async def add_hold(tx: AsyncConnection, key: Key, new: Hold) -> None:
    values = {name: getattr(new, name) for name in Hold.__slots__}
    await tx.execute(insert(hold).values(practice_id=key[0], claim_id=key[1], **values))


async def close_holds(tx: AsyncConnection, key: Key, closed: Sequence[Hold], at: Any) -> None:
    await tx.execute(
        update(hold)
        .where(hold.c.practice_id == key[0], hold.c.claim_id == key[1], hold.c.hold_no.in_([each.hold_no for each in closed]))
        .values(closed_at=at)
    )


async def set_redrop(tx: AsyncConnection, keys: Sequence[Key], waits: Redrop | None) -> None:
    """What the re-issue of these claims waits for, or that it waits no longer."""
    if keys:
        await tx.execute(
            update(claim)
            .where(tuple_(claim.c.practice_id, claim.c.claim_id).in_(keys))
            .values(
                redrop_version=waits.content[0] if waits else None,
                redrop_revision=waits.content[1] if waits else None,
                redrop_write_offs=list(waits.write_offs) if waits else None,
                reissue_on=waits.on if waits else None,
            )
        )


async def due_reissues(tx: AsyncConnection, practice_id: str, today: date) -> list[Key]:
    """Claims whose invoice may be sent again today."""
    rows = await fetch(
        tx,
        "SELECT claim_id FROM claim WHERE practice_id = :practice_id AND reissue_on <= :today ORDER BY claim_id",
        {"practice_id": practice_id, "today": today},
    )
    return [(practice_id, row.claim_id) for row in rows]


async def set_left_out(tx: AsyncConnection, key: Key, left_out: bool) -> None:
    await tx.execute(update(claim).where(claim.c.practice_id == key[0], claim.c.claim_id == key[1]).values(left_out=left_out))


async def add_note(tx: AsyncConnection, key: Key, note_id: str, at: Any, who: str, what: str, move: str = "") -> None:
    """One line of a claim's history."""
    await tx.execute(insert(claim_note).values(practice_id=key[0], claim_id=key[1], note_id=note_id, at=at, who=who, what=what, move=move))


async def add_write_off(tx: AsyncConnection, values: Mapping[str, Any]) -> None:
    await tx.execute(insert(write_off).values(**values))


async def write_off_ids(tx: AsyncConnection, key: Key) -> tuple[str, ...]:
    """All write-offs of a claim, of whichever re-drop."""
    mine = select(write_off.c.write_off_id).where(write_off.c.practice_id == key[0], write_off.c.claim_id == key[1])
    return tuple((await tx.execute(mine.order_by(write_off.c.write_off_id))).scalars())
