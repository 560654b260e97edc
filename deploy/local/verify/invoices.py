"""Rules of what is asked: claims are known as they were published, on one line each, for what posting says; invoices are their lines."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from deploy.local.verify.facts import Facts, Row

Key = tuple[str, str]  # practice and claim
PARTS = ("charged_cents", "paid_cents", "adjusted_cents", "transferred_in_cents", "transferred_out_cents", "balance_cents")
LONGEST_RUN = timedelta(seconds=10)


def _key(row: Row) -> Key:
    return row["practice_id"], row["claim_id"]


def claims_are_as_published(facts: Facts) -> Iterator[str]:
    """Invoicing and posting have every claim at the newest content and the highest void that were published."""
    contents: dict[Key, tuple[int, int, int]] = {}
    for topic in ("claim.billed", "claim.corrected.state"):
        for body in facts.states(topic):
            new = body["version"], body.get("revision", 0), sum(charge["amount_cents"] for charge in body["charges"])
            contents[_key(body)] = max(new, contents.get(_key(body), new), key=lambda each: each[:2])
    voids = {_key(body): body["version"] for body in facts.states("claim.voided")}
    asked = {_key(row): (row["version"], row["revision"], row["total_cents"]) for row in facts.rows("invoicing", "claim")}
    posted = {
        _key(row): (row["content"]["version"], row["content"]["revision"], sum(cents for _, cents in row["content"]["charges"]))
        for row in facts.rows("posting", "claims")
        if row["content"]
    }
    for service, kept in (("invoicing", asked), ("posting", posted)):
        for at in sorted(contents.keys() | kept.keys()):
            if kept.get(at) != contents.get(at):
                yield f"content of {at[1]} differs: (version, revision, cents) is {contents.get(at)} as published, {kept.get(at)} in {service}"
    for service, table in (("invoicing", "claim_mark"), ("posting", "claims")):
        withdrawn = {_key(row): row["void_version"] for row in facts.rows(service, table) if row["void_version"]}
        for at in sorted(voids.keys() | withdrawn.keys()):
            if withdrawn.get(at) != voids.get(at):
                yield f"claim {at[1]}: {service} knows a void at {withdrawn.get(at)}, published is {voids.get(at)}"


def claims_are_on_one_line(facts: Facts) -> Iterator[str]:
    """A claim is on at most one live line, for its payer and content, a void one on none; what an account owed when last billed is on one (EP-32)."""
    live: dict[Key, list[Row]] = defaultdict(list)
    for line in facts.states("invoice.line.state"):
        if line["status"] != "withdrawn":
            live[_key(line)].append(line)
    due = _due(facts)
    voids = {_key(row): row["void_version"] for row in facts.rows("invoicing", "claim_mark")}
    for row in facts.rows("invoicing", "claim"):
        lines = live.pop(_key(row), [])
        if lines and voids.get(_key(row), 0) > row["version"]:
            yield f"claim {row['claim_id']} is void and on a live line"
        if len(lines) > 1:
            yield f"claim {row['claim_id']} is on {len(lines)} live lines"
        elif not lines and _key(row) in due:
            yield f"claim {row['claim_id']} is on no invoice, and its account was billed since"
        for line in lines:
            if (line["payer_id"], line["claim_version"], line["claim_revision"]) != (row["payer_id"], row["version"], row["revision"]):
                yield f"claim {row['claim_id']} is {row['version']}.{row['revision']} for {row['payer_id']}, its line shows something else"
    for at in live:
        yield f"claim {at[1]} is on a line and not known"


def _due(facts: Facts) -> set[Key]:
    """Claims that have to be on an invoice: an account owes for them, nobody holds them, and the account was billed after all of that was so.

    When it was billed is told by the newest invoice's id, a UUIDv7; a run takes all that waits, so whatever was stored well before is on a line.
    A run writes its account's rows itself, after the invoice.
    """
    accounts = {(row["practice_id"], row["account_id"]): row for row in facts.rows("invoicing", "account")}
    payers = {(row["practice_id"], row["payer_id"]): row for row in facts.rows("invoicing", "account_payer")}
    newest: dict[Any, Row] = {}
    for invoice in sorted(facts.rows("invoicing", "invoice"), key=lambda row: str(row["invoice_id"])):
        newest[invoice["practice_id"], invoice["account_id"]] = invoice
    marks = {_key(row): row for row in facts.rows("invoicing", "claim_mark")}
    holds: dict[Key, list[Row]] = defaultdict(list)
    for hold in facts.rows("invoicing", "hold"):
        holds[_key(hold)].append(hold)
    balances = {_key(row): row for row in facts.rows("invoicing", "balance")}
    found = set()
    for row in facts.rows("invoicing", "claim"):
        at = _key(row)
        payer = payers.get((at[0], row["payer_id"]))
        mark, balance = marks.get(at), balances.get(at)
        held = row["left_out"] or any(hold["closed_at"] is None for hold in holds[at])
        if row["payer_kind"] != "corporate" or payer is None or held or (mark and mark["void_version"] > row["version"]):
            continue
        account = accounts[at[0], payer["account_id"]]
        billed = newest.get((at[0], payer["account_id"]))
        if billed is None or balance is None or not sum(line["balance_cents"] for line in _column(balance["state"], row["payer_id"])):
            continue
        if not (account["effective_on"] or date.min) <= row["service_date"] <= (account["expires_on"] or date.max):
            continue
        since = max(each["stored_at"] for each in (row, balance, *([mark] if mark else []), *holds[at]))
        terms = max(account["stored_at"], payer["stored_at"])
        made = datetime.fromtimestamp((UUID(billed["invoice_id"]).int >> 80) / 1000, UTC)
        if row["billed_on"] <= billed["first_billed_on"] and since + LONGEST_RUN < made and terms < made + LONGEST_RUN:
            found.add(at)
    return found


def _column(balances: Row, payer_id: str) -> list[Row]:
    return [line for line in balances["lines"] if line["kind"] == "corporate" and line["payer_id"] == payer_id]


def lines_equal_posting(facts: Facts) -> Iterator[str]:
    """A live line shows what posting says of its claim and payer, amount by amount; a withdrawn one shows nothing."""
    balances = {_key(body): body for body in facts.states("claim.balances.state")}
    for line in facts.states("invoice.line.state"):
        withdrawn = line["status"] == "withdrawn"
        owner = balances.get(_key(line))
        if owner is None and not withdrawn:
            yield f"claim {line['claim_id']} is asked for, and posting does not know it"
            continue
        column = [] if withdrawn or owner is None else _column(owner, line["payer_id"])
        for part in PARTS:
            if line[part] != sum(each[part] for each in column):
                yield f"claim {line['claim_id']}: its line has {part} {line[part]}, posting says {sum(each[part] for each in column)}"


def invoices_equal_lines(facts: Facts) -> Iterator[str]:
    """An invoice's totals are its lines', its payable what is neither held nor pending, its status what EP-12 says of these."""
    lines: dict[str, list[Row]] = defaultdict(list)
    for line in facts.states("invoice.line.state"):
        if line["status"] != "withdrawn":
            lines[line["invoice_id"]].append(line)
    held = Counter(row["invoice_id"] for row in facts.rows("invoicing", "invoice_line") if row["held"])
    practices = {row["practice_id"]: row for row in facts.rows("invoicing", "practice")}
    for invoice in facts.states("invoice.state"):
        own = lines[invoice["invoice_id"]]
        wanted = {part: sum(line[part] for line in own) for part in PARTS}
        wanted |= {"claims": len(own), "held_claims": held[invoice["invoice_id"]]}
        wanted["held_cents"] = sum(line["balance_cents"] for line in own if line["status"] == "in_review")
        wanted["pending_cents"] = sum(payment["asked_cents"] for payment in invoice["payments"] if payment["state"] == "pending")
        wanted["payable_cents"] = max(0, wanted["balance_cents"] - wanted["held_cents"] - wanted["pending_cents"])
        for name, value in wanted.items():
            if invoice[name] != value:
                yield f"invoice {invoice['number']}: {name} is {invoice[name]}, should be {value}"
        if invoice["status"] not in (allowed := _statuses(invoice, wanted, practices[invoice["practice_id"]], facts.now)):
            yield f"invoice {invoice['number']} is {invoice['status']}, should be {' or '.join(sorted(allowed))}"


def _statuses(invoice: Row, sums: Mapping[str, int], practice: Row, now: datetime) -> set[str]:
    """What an invoice may be called: the day on which it becomes overdue begins when the practice's daily run comes to it."""
    if not sums["balance_cents"]:
        return {"closed"}
    if sums["pending_cents"]:
        return {"pending"}
    if sums["held_claims"]:
        return {"in_review"}
    due_on = date.fromisoformat(invoice["due_on"])
    late = {"overdue"} if now.astimezone(ZoneInfo(practice["zone"])).date() > due_on else set()
    return late | ({"due"} if practice["ran_on"] is None or practice["ran_on"] <= due_on else set())


def numbers_have_no_gaps(facts: Facts) -> Iterator[str]:
    """Invoice numbers and payment record numbers rise without gaps per practice (EP-32)."""
    for service, table, column in (("invoicing", "invoice", "number"), ("portal", "payments", "record_no")):
        numbers: dict[str, Counter[int]] = defaultdict(Counter)
        for row in facts.rows(service, table):
            numbers[row["practice_id"]][row[column]] += 1
        for practice_id, found in sorted(numbers.items()):
            if sorted(found.elements()) != list(range(min(found), min(found) + len(found))):
                yield f"the {table} numbers of practice {practice_id} have gaps or repeats"


CHECKS = (
    claims_are_as_published,
    claims_are_on_one_line,
    lines_equal_posting,
    invoices_equal_lines,
    numbers_have_no_gaps,
)
