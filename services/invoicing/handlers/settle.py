"""Settling: after anything changed, lines and invoices are worked out anew, and what differs is published once per key and transaction.

Whoever settles has locked the claims and their invoices, in that module's one order (`store.claims.lock`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicing.domain import invoice as rules
from services.invoicing.domain.claim import is_void
from services.invoicing.domain.invoice import SENDINGS, Fact, Paid
from services.invoicing.domain.line import Case, line_state, renumbered
from services.invoicing.domain.money import covers_redrop
from services.invoicing.store import Key, accounts, claims, invoices, payments, practices
from services.invoicing.store.claims import Found
from services.invoicing.store.invoices import LineRow, Whole
from services.invoicing.store.practices import Practice
from shared import outbox
from shared.events.invoicing import (
    INVOICE_CLOSED,
    INVOICE_ISSUED,
    INVOICE_LINE_STATE,
    INVOICE_OVERDUE,
    INVOICE_REISSUED,
    INVOICE_STATE,
    InvoiceFact,
    InvoiceLineState,
    InvoiceState,
    LinePayment,
)
from shared.outbox import Outgoing

TOPIC_OF = {
    Fact.NEW: INVOICE_ISSUED,
    Fact.REISSUED: INVOICE_REISSUED,
    Fact.OVERDUE: INVOICE_OVERDUE,
    Fact.OVERDUE_AGAIN: INVOICE_OVERDUE,
    Fact.CLOSED: INVOICE_CLOSED,
}


@dataclass
class Settled:
    """What settling found: the newest version of each line and invoice it looked at, for whoever names them; `events` to publish."""

    lines: dict[Key, int] = field(default_factory=dict)
    invoices: dict[Key, int] = field(default_factory=dict)
    events: list[Outgoing] = field(default_factory=list)


async def settle(
    tx: AsyncConnection,
    now: datetime,
    touched: Iterable[Key],
    *,
    headers: Iterable[Key] = (),
    facts: Mapping[Key, Fact] | None = None,
    remind: bool = False,
    traces: Mapping[Key, str | None] | None = None,
    loaded: dict[Key, Found] | None = None,
) -> Settled:
    """Works out the lines of these claims, their invoices and `headers`; appends what changed to the outbox.

    `loaded` are the touched claims where the caller has them as they now stand.

    `facts` are things that happen to invoices in this transaction; with `remind`, invoices past due are told overdue when it is time.
    """
    traces = traces or {}
    found = loaded or await claims.load(tx, touched)
    known = await practices.of(tx, {key[0] for key in [*found, *headers]})
    today = {practice_id: each.today(now) for practice_id, each in known.items()}
    lines = [_withdrawn(line, found[line.claim]) for line in await invoices.lines_of(tx, found)]
    redo = await _reissues(tx, lines, found, today)
    if restarted := await _restarted(tx, redo, today):
        # Every line of such an invoice has the new day. The invoice's lock keeps the other claims on it as they are.
        others = await claims.load(tx, await invoices.claims_on(tx, restarted) - set(found))
        found |= others
        lines += [_withdrawn(line, others[line.claim]) for line in await invoices.lines_of(tx, others) if line.invoice in restarted]
        lines = [replace(line, due_on=restarted.get(line.invoice, line.due_on)) for line in lines]
        lines.sort(key=lambda line: (line.practice_id, line.line_id))  # rows are written in key order, whoever writes them
    done = Settled()
    await _lines(tx, lines, found, today, traces, done)
    wanted = {line.invoice for line in lines} | set(headers)
    first_trace = {line.invoice: traces[line.claim] for line in reversed(lines) if traces.get(line.claim)}
    told = dict(facts or {}) | {key: Fact.REISSUED for key in redo}
    await _invoices(tx, await invoices.whole(tx, wanted), known, now, told, remind, first_trace, done)
    await outbox.append(tx, now, done.events)
    return done


def _withdrawn(line: LineRow, found: Found) -> LineRow:
    """A line whose claim is void or asked of somebody else is withdrawn, for good."""
    payer = found.payer
    gone = is_void(found.claim, found.marks) or payer.kind != "corporate" or payer.payer_id != line.payer_id
    return replace(line, withdrawn=True) if gone else line


async def _reissues(tx: AsyncConnection, lines: Sequence[LineRow], found: dict[Key, Found], today: Mapping[str, date]) -> set[Key]:
    """Ends the waiting of re-dropped claims that have come to their re-issue, or to none; answers the invoices to send again."""
    live = {line.claim: line for line in lines if not line.withdrawn}
    over, redo = [], set()
    for key, each in found.items():
        if each.redrop is None:
            continue
        line = live.get(key)
        if line is None:
            over.append(key)  # the next run takes the claim, if anybody is to be asked
        elif not each.holds and today[key[0]] >= each.redrop.on and covers_redrop(each.balances, each.redrop.content, each.redrop.write_offs):
            over.append(key)
            redo.add(line.invoice)
    await claims.set_redrop(tx, over, None)
    for key in over:
        found[key] = replace(found[key], redrop=None)
    return redo


async def _restarted(tx: AsyncConnection, redo: Iterable[Key], today: Mapping[str, date]) -> dict[Key, date]:
    """The day by which to pay of those invoices to send again whose account restarts the terms."""
    known = await invoices.find(tx, redo) if redo else {}
    return {key: rules.due_after_reissue(each, today[key[0]]) for key, each in known.items() if each.restart_days is not None}


async def _lines(
    tx: AsyncConnection,
    lines: Sequence[LineRow],
    found: Mapping[Key, Found],
    today: Mapping[str, date],
    traces: Mapping[Key, str | None],
    done: Settled,
) -> None:
    stands = await payments.standings(tx, {(key[0], payment_id) for key, each in found.items() for payment_id in each.payment_ids})
    changed = []
    for line in lines:
        each = found[line.claim]
        held = not line.withdrawn and bool(each.holds or each.redrop)
        case = Case(
            line_id=line.line_id,
            invoice_id=line.invoice_id,
            payer_id=line.payer_id,
            withdrawn=line.withdrawn,
            held=held,
            dispute_id=next((hold.dispute_id for hold in each.holds if hold.dispute_id and not line.withdrawn), line.dispute_id),
            claim=each.claim,
            balances=each.balances,
            payments=tuple(
                LinePayment(payment_id=payment_id, state=stands[line.practice_id, payment_id].standing) for payment_id in each.payment_ids
            ),
            due_on=line.due_on,
            mask=line.mask,
        )
        new = renumbered(line_state(case, 0, today[line.practice_id]), line.state)
        if new is not None:
            done.events.append(Outgoing(INVOICE_LINE_STATE, new, traces.get(line.claim) or each.trace))
        if new is not None or held != line.held:
            changed.append((replace(line, held=held), new or _published(line)))
        done.lines[line.practice_id, line.line_id] = (new or _published(line)).version
    await invoices.save_lines(tx, changed)


def _published(line: LineRow) -> InvoiceLineState:
    assert line.state is not None, "a line is published when it is made"
    return line.state


async def _invoices(
    tx: AsyncConnection,
    found: dict[Key, Whole],
    known: Mapping[str, Practice],
    now: datetime,
    told: Mapping[Key, Fact],
    remind: bool,
    traces: Mapping[Key, str | None],
    done: Settled,
) -> None:
    if closing := [key for key, each in found.items() if each.invoice.status != "closed" and each.totals.money.balance == 0]:
        await invoices.stop_reissues(tx, closing)
        found |= await invoices.whole(tx, closing)
    stands = await payments.standings(tx, {(key[0], named.payment_id) for key, each in found.items() for named in each.named})
    turns = {}
    for key, each in found.items():
        paid = [(named, stands[key[0], named.payment_id]) for named in each.named]
        counted = [Paid(named.payment_id, named.asked_cents, named.applied_cents, stand.standing, stand.on) for named, stand in paid]
        turn = rules.turn(each.invoice, each.totals, counted, told.get(key), remind, known[key[0]].today(now))
        if turn is None:
            done.invoices[key] = each.invoice.state.version if each.invoice.state else 0
            continue
        turns[key] = turn
        done.invoices[key] = turn.state.version
    await invoices.save(tx, list(turns.values()))
    for key, turn in turns.items():
        if any(fact in SENDINGS for fact in turn.facts):
            await _freeze(tx, key, turn.state, known[key[0]])
        trace = traces.get(key) or found[key].invoice.trace
        done.events.append(Outgoing(INVOICE_STATE, turn.state, trace))
        done.events += [Outgoing(TOPIC_OF[fact], _fact(turn.state, fact, known[key[0]].today(now)), trace) for fact in turn.facts]


async def _freeze(tx: AsyncConnection, key: Key, state: InvoiceState, practice: Practice) -> None:
    """Keeps what this sending shows: practice, employer, header and lines as they are now."""
    account = await accounts.get(tx, (key[0], state.account_id))
    await invoices.freeze(tx, key, state.issues[-1], {"practice": practice.state, "account": account, "invoice": state})


def _fact(state: InvoiceState, fact: Fact, on: date) -> InvoiceFact:
    return InvoiceFact(
        practice_id=state.practice_id,
        invoice_id=state.invoice_id,
        state_version=state.version,
        account_id=state.account_id,
        number=state.number,
        kind=fact.value,
        issue_no=len(state.issues),
        closing_no=state.closing_no,
        on=on,
        due_on=state.due_on,
        total_cents=state.issues[-1].total_cents,
        balance_cents=state.balance_cents,
    )
