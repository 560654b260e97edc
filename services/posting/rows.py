"""Posting's rows: how accounts, entries and payments are stored."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from services.posting.domain.claim import Claim, Content, Entry, Payer
from services.posting.domain.payment import Payment, Share

Key = tuple[str, str]


def content_of(stored: Mapping[str, Any] | None) -> Content | None:
    """Content from its JSON."""
    if stored is None:
        return None
    payers = tuple(Payer(*each) for each in stored["payers"])
    facts = {name: stored[name] for name in ("version", "revision", "patient_id", "appointment_id", "department_id", "provider_group_id")}
    return Content(
        **facts,
        service_date=date.fromisoformat(stored["service_date"]),
        payers=payers,
        billed_to=Payer(*stored["billed_to"]),
        charges=dict(stored["charges"]),
        procedures=procedures_of(stored),
    )


def procedures_of(stored: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Code and text by charge, from content's JSON; 0.1.0 wrote none."""
    return {charge_id: (code, words) for charge_id, (code, words) in stored.get("procedures", {}).items()}


def claim_row(claim: Claim, entries_total: int, trace: str | None = None) -> dict[str, Any]:
    """A claim's account without its columns."""
    content = claim.content
    as_json = content and {
        "version": content.version,
        "revision": content.revision,
        "patient_id": content.patient_id,
        "appointment_id": content.appointment_id,
        "service_date": content.service_date,
        "department_id": content.department_id,
        "provider_group_id": content.provider_group_id,
        "payers": [list(payer) for payer in content.payers],
        "billed_to": list(content.billed_to),
        "charges": list(content.charges.items()),
        "procedures": {charge_id: list(each) for charge_id, each in content.procedures.items()},
    }
    return {
        "practice_id": claim.practice_id,
        "claim_id": claim.claim_id,
        "content": as_json,
        "void_version": claim.void_version,
        "current_kind": claim.current and claim.current.kind,
        "current_payer_id": claim.current and claim.current.payer_id,
        "answered": sorted(list(payer) for payer in claim.answered),
        "adjudicated": claim.adjudicated,
        "adjudication_no": claim.adjudication_no,
        "version": claim.version,
        "write_offs": list(claim.write_offs),
        "entries_total": entries_total,
        "patient_id": content and content.patient_id,
        "trace": trace,
    }


def column_rows(claim: Claim) -> dict[tuple[Any, ...], dict[str, Any]]:
    """A claim's columns by primary key."""
    return {
        (*claim.key, charge_id, *payer): {
            "practice_id": claim.practice_id,
            "claim_id": claim.claim_id,
            "charge_id": charge_id,
            "kind": payer.kind,
            "payer_id": payer.payer_id,
            "charged_cents": sums.charged_cents,
            "paid_cents": sums.paid_cents,
            "adjusted_cents": sums.adjusted_cents,
            "transferred_in_cents": sums.transferred_in_cents,
            "transferred_out_cents": sums.transferred_out_cents,
        }
        for (charge_id, payer), sums in claim.columns.items()
    }


def applied_rows(claim: Claim) -> dict[tuple[Any, ...], dict[str, Any]]:
    """What of which payment is applied to a claim, by primary key, in the order it was."""
    return {
        (*claim.key, payment_id, charge_id, *payer): {
            "practice_id": claim.practice_id,
            "claim_id": claim.claim_id,
            "payment_id": payment_id,
            "charge_id": charge_id,
            "kind": payer.kind,
            "payer_id": payer.payer_id,
            "cents": cents,
            "no": number,
        }
        for number, ((payment_id, charge_id, payer), cents) in enumerate(claim.applied.items())
    }


def entry_row(key: Key, entry_id: str, entry: Entry, batch_id: str | None, number: int, on: date) -> dict[str, Any]:
    """An entry as it is stored; `number` counts the claim's entries."""
    return {
        "practice_id": key[0],
        "entry_id": entry_id,
        "claim_id": key[1],
        "no": number,
        "charge_id": entry.charge_id,
        "payer_kind": entry.payer.kind,
        "payer_id": entry.payer.payer_id,
        "kind": entry.kind,
        "amount_cents": entry.amount_cents,
        "change_cents": entry.change_cents,
        "group_code": entry.group,
        "reason_code": entry.code,
        "cause_kind": entry.cause.kind,
        "cause_id": entry.cause.id,
        "payment_id": entry.payment_id,
        "batch_id": batch_id,
        "on": on,
    }


def payment_row(payment: Payment, details: Mapping[str, Any]) -> dict[str, Any]:
    """A payment; `details` are what the rules do not look at."""
    told = ("posted_on", "record_number", "authorization_number", "user_name", "transaction_type", "card_brand", "card_last4")
    return {
        "practice_id": payment.practice_id,
        "payment_id": payment.payment_id,
        "source": payment.source,
        "payer_kind": payment.payer.kind,
        "payer_id": payment.payer.payer_id,
        "amount_cents": payment.amount_cents,
        "parts": payment.parts,
        "parts_posted": sorted(payment.parts_posted),
        "credited_cents": payment.credited_cents,
        "version": payment.version,
        "batch_id": payment.batch_id,
    } | {name: details[name] for name in told}


def share_rows(shares: Mapping[Key, Mapping[str, Share]]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Payments' shares by primary key."""
    return {
        (*key, claim_id): {
            "practice_id": key[0],
            "payment_id": key[1],
            "claim_id": claim_id,
            "applied_cents": share.applied_cents,
            "waiting_cents": share.waiting_cents,
            "seen_version": share.seen[0],
            "seen_revision": share.seen[1],
            "balances_version": share.balances_version,
            "payer_id": share.payer_id,
            "given_cents": share.given_cents or None,
        }
        for key, found in shares.items()
        for claim_id, share in found.items()
    }
