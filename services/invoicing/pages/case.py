"""One case of the hold queue as its page shows it, and the form that ends it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicing.domain import hold as rules
from services.invoicing.domain import money
from services.invoicing.domain.claim import corrected
from services.invoicing.domain.hold import Hold
from services.invoicing.handlers.holds import Decision, seen_of
from services.invoicing.store import Key, accounts, claims, contacts, disputes, invoices, lists
from services.invoicing.store.claims import Found
from services.invoicing.store.disputes import Dispute
from services.invoicing.store.practices import Practice
from shared.http import Problem
from shared.money import BadAmount, parse, usd
from shared.web.show import plural, short_day, staff_moment

SOURCES = {"dispute": "from the dispute", "staff": "by staff", "pm": "by the practice's system", "conflict": "by this system"}


@dataclass(frozen=True)
class ChargeShown:
    """A charge of the case; `open_cents` is what is left of it."""

    charge_id: str
    code: str
    text: str
    cents: int
    open_cents: int


@dataclass(frozen=True)
class Turn:
    """One turn of the conversation: `them`, `us`, or `internal`."""

    who: str
    side: str
    when: str
    text: str
    kind: str


@dataclass(frozen=True)
class Case:
    """A claim on HOLD with everything staff need to decide; amounts in cents."""

    claim_id: str
    seen: str
    patient: str
    service_date: date
    holds: tuple[Hold, ...]
    act_by: date | None
    days_left: str
    invoice_id: str
    number: str
    account_id: str
    account: str
    disputed: bool
    disputed_by: str
    topic: str
    talk: list[Turn]
    history: list[tuple[str, str, str, str]]
    charges: list[ChargeShown]
    correction: int
    ladder: list[tuple[str, str, str]]
    others: str
    again: str
    after: str
    reasons: list[tuple[str, str]]


async def case_of(tx: AsyncConnection, practice: Practice, key: Key, now: datetime, form: Mapping[str, str] | None) -> Case:
    """The case of a claim, with the effect of what the form says so far. Problem 404 for a claim that is not there."""
    found = (await claims.load(tx, [key])).get(key)
    if found is None:
        raise Problem(404)
    line = await invoices.live_line(tx, key)
    account = await accounts.of_payer(tx, key[0], found.payer.payer_id) if found.payer.kind == "corporate" else None
    cases = await disputes.of_claim(tx, key)
    names = await contacts.names(tx, key[0], [each.state.contact_id for each in cases])
    notes = await lists.notes(tx, key)
    today, zone = practice.today(now), practice.state.zone
    open_case = next((each for each in cases if any(hold.dispute_id == each.state.dispute_id for hold in found.holds)), None)
    newest = open_case or (cases[0] if cases else None)
    act_by = min((hold.act_by for hold in found.holds), default=None)
    charges = _charges(found)
    correction, write_off = _effect(found, charges, form or {})
    balance = sum(charge.open_cents for charge in charges)
    after = max(0, balance + correction - write_off)
    patient = found.claim.patient
    return Case(
        claim_id=key[1],
        seen=seen_of(found),
        patient=f"{patient.given_name} {patient.family_name}",
        service_date=found.claim.service_date,
        holds=found.holds,
        act_by=act_by,
        days_left=_days_left(today, act_by, practice),
        invoice_id=line.invoice_id if line else "",
        number=line.number if line else "",
        account_id=account[0] if account else "",
        account=account[1] if account else "",
        disputed=open_case is not None,
        disputed_by=names.get(newest.state.contact_id, "the employer") if newest else "",
        topic=f"{newest.state.reason} {rules.REASONS[newest.state.reason][0]}" if newest else (found.holds[0].kick_code if found.holds else ""),
        talk=_talk(cases, found.holds, names, account[1] if account else "the employer", practice),
        history=[(staff_moment(each["at"], zone), each["who"], each["what"], each["move"]) for each in notes],
        charges=charges,
        correction=correction,
        ladder=[
            ("Balance now", usd(balance), ""),
            ("Correction", usd(correction, sign=True), ""),
            ("Write-off", usd(-write_off), ""),
            ("Balance after", usd(after), "sum"),
        ],
        others=_others(found.holds, open_case),
        again=short_day(today + timedelta(days=1)),
        after=_after(found),
        reasons=[(each, each) for each in rules.WRITE_OFF_REASONS],
    )


def typed(case: Case, form: Mapping[str, str] | None) -> dict[str, str]:
    """What stands in the fields: what was typed, else the charges as they are."""
    start = {f"charge-{each.charge_id}": usd(each.cents) for each in case.charges} | {"write_off": "", "reason": "", "answer": ""}
    return start | {name: value for name, value in (form or {}).items() if name in start}


def decision_of(case: Case, form: Mapping[str, str]) -> tuple[Decision, dict[str, str]]:
    """What the form decides, and what is wrong by field. A write-off is taken from the first charges with an open balance."""
    errors: dict[str, str] = {}

    def cents(name: str, empty: int) -> int:
        text = form.get(name, "").strip()
        try:
            return parse(text) if text else empty
        except BadAmount as error:
            errors[name] = str(error)
            return empty

    asked = {each.charge_id: cents(f"charge-{each.charge_id}", each.cents) for each in case.charges}
    corrections = {each.charge_id: asked[each.charge_id] for each in case.charges if asked[each.charge_id] != each.cents}
    write_off, reason = cents("write_off", 0), form.get("reason", "").strip()
    spread: list[tuple[str, int, str]] = []
    left = write_off
    for each in case.charges:
        room = max(0, each.open_cents + asked[each.charge_id] - each.cents)
        if part := min(left, room):
            spread.append((each.charge_id, part, reason))
            left -= part
    if left:
        errors.setdefault("write_off", f"Enter {usd(write_off - left)} or less. That is what is left of the claim")
    if write_off and reason not in rules.WRITE_OFF_REASONS:
        errors["reason"] = "Choose a reason for the write-off"
    answer = form.get("answer", "").strip()
    if len(answer) > 500:
        errors["answer"] = "Use up to 500 characters"
    return Decision(corrections, spread, answer, form.get("seen")), errors


def _charges(found: Found) -> list[ChargeShown]:
    parts = money.by_charge(found.claim, found.payer.payer_id, found.balances)
    return [
        ChargeShown(each.charge_id, each.procedure_code, each.description, each.amount_cents, parts[each.charge_id].balance)
        for each in found.claim.charges
    ]


def _effect(found: Found, charges: list[ChargeShown], form: Mapping[str, str]) -> tuple[int, int]:
    """What corrections and write-off change, as far as their fields can be read."""

    def read(text: str, empty: int) -> int:
        try:
            return parse(text) if text.strip() else empty
        except BadAmount:
            return empty

    asked = {each.charge_id: read(form.get(f"charge-{each.charge_id}", ""), each.cents) for each in charges}
    return corrected(found.claim, asked).total_cents - found.claim.total_cents, read(form.get("write_off", ""), 0)


def _talk(cases: Sequence[Dispute], holds: tuple[Hold, ...], names: Mapping[str, str], account: str, practice: Practice) -> list[Turn]:
    zone = practice.state.zone
    turns: list[tuple[datetime, Turn]] = []
    for each in sorted(cases, key=lambda case: case.state.submitted_at):
        state, at = each.state, staff_moment(each.state.submitted_at, zone)
        words = each.note or rules.REASONS[state.reason][0]
        turns.append((state.submitted_at, Turn(names.get(state.contact_id, "A contact"), account, at, words, "them")))
        if each.answer:
            turns.append((state.submitted_at, Turn(practice.state.display_name, "answer", "", each.answer, "us")))
    for hold in holds:
        note = f" {hold.note}" if hold.note and hold.source != "dispute" else ""
        words = f"{hold.kick_code} {hold.reason}{note}"
        turns.append((hold.held_at, Turn("Claim note", SOURCES[hold.source], staff_moment(hold.held_at, zone), words, "internal")))
    return [turn for _, turn in sorted(turns, key=lambda each: each[0])]


def _others(holds: tuple[Hold, ...], open_case: Dispute | None) -> str:
    others = [hold for hold in holds if open_case is None or hold.dispute_id != open_case.state.dispute_id]
    if open_case is None:
        return f"{plural(len(holds), 'reason')} to hold on this claim; the re-drop closes all."
    words = ", ".join(hold.kick_code for hold in others) or "none"
    return f"Other reasons to hold on this claim: {words}."


def _after(found: Found) -> str:
    if found.redrop is None:
        return "Nothing holds this claim now."
    return f"The invoice is sent again from {short_day(found.redrop.on)}, once posting has the change; until then the claim shows In-Review."


def _days_left(today: date, act_by: date | None, practice: Practice) -> str:
    if act_by is None:
        return ""
    left = rules.business_days_left(today, act_by, practice.state.holidays)
    return f"{plural(-left, 'day')} late" if left < 0 else f"{plural(left, 'business day')} left"
