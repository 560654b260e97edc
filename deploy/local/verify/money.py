"""Money rules: the ledger, balances, captures, batches, contract charges."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date
from typing import Any

from deploy.local.verify.facts import Facts, Row

KEY = ("practice_id", "claim_id")


def key(row: Row, *names: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in names or KEY)


def ledger_sums_to_zero(facts: Facts) -> Iterator[str]:
    """Every ledger transaction sums to zero (RP-12)."""
    for row in facts.rows("posting", "unbalanced"):
        yield f"ledger transaction {row['transaction_id']} is off by {row['cents']}"


def balances_equal_entries(facts: Facts) -> Iterator[str]:
    """Each balance is the sum of its entries."""
    entered = {key(row, *KEY, "charge_id", "payer_kind", "payer_id"): row["cents"] for row in facts.rows("posting", "entry_sums")}
    held = {key(row, *KEY, "charge_id", "kind", "payer_id"): row["balance_cents"] for row in facts.rows("posting", "columns")}
    for at in sorted(entered.keys() | held.keys()):
        if entered.get(at, 0) != held.get(at, 0):
            yield f"charge {at[2]} of claim {at[1]}: balance {held.get(at, 0)}, entries {entered.get(at, 0)}"


def receivables_equal_balances(facts: Facts) -> Iterator[str]:
    """The ledger's receivable of a claim is its balance."""
    open_cents: Counter[tuple[Any, ...]] = Counter()
    for row in facts.rows("posting", "columns"):
        open_cents[key(row)] += row["balance_cents"]
    booked = {key(row): row["cents"] for row in facts.rows("posting", "receivables")}
    for at in sorted(open_cents.keys() | booked.keys()):
        if open_cents[at] != booked.get(at, 0):
            yield f"claim {at[1]}: receivable {booked.get(at, 0)}, balance {open_cents[at]}"


def _taken(facts: Facts) -> Counter[tuple[str, int]]:
    return Counter((row["key"], row["amount_cents"]) for row in facts.captures if row["kind"] == "capture")


def captures_are_recorded(facts: Facts) -> Iterator[str]:
    """What the processor took is what portal and contracts recorded, once each (EP-14, CF-08)."""
    taken = _taken(facts)
    recorded = Counter((row["payment_id"], row["amount_cents"]) for row in facts.rows("portal", "payments"))
    recorded += Counter((row["attempt_id"], row["submitted_cents"]) for row in facts.rows("contracts", "charges") if row["status"] == "charged")
    for each, count in sorted((taken - recorded).items()):
        yield f"the processor took {each[1]} under {each[0]} {count} time(s) more than is recorded"
    for each, count in sorted((recorded - taken).items()):
        yield f"{each[1]} is recorded under {each[0]} {count} time(s) more than the processor took"


def captures_are_posted(facts: Facts) -> Iterator[str]:
    """Every capture is posted once, and all of it is applied, credit, or waiting (EP-21)."""
    taken = dict(_taken(facts))
    posted = {row["payment_id"]: row for row in facts.rows("posting", "payments") if row["source"] != "check"}
    shares: Counter[str] = Counter()
    for row in facts.rows("posting", "shares"):
        shares[row["payment_id"]] += row["applied_cents"] + row["waiting_cents"]
    for payment_id, cents in sorted(taken):
        if payment_id not in posted:
            yield f"the capture {payment_id} of {cents} is not posted"
            continue
        row = posted[payment_id]
        if row["amount_cents"] != cents or len(row["parts_posted"]) != row["parts"]:
            yield f"payment {payment_id}: captured {cents}, posted {row['amount_cents']} in {len(row['parts_posted'])} of {row['parts']} parts"
        elif shares[payment_id] + row["credited_cents"] != cents:
            yield f"payment {payment_id} of {cents}: {shares[payment_id]} on claims and {row['credited_cents']} credit"
    for payment_id in sorted(posted.keys() - {each for each, _ in taken}):
        yield f"payment {payment_id} is posted, but the processor took nothing"


def applied_money_equals_entries(facts: Facts) -> Iterator[str]:
    """A payment's share of a claim is what its entries put there."""
    applied: Counter[tuple[Any, ...]] = Counter()
    for row in facts.rows("posting", "applied"):
        applied[key(row, "practice_id", "payment_id", "claim_id")] += row["cents"]
    for row in facts.rows("posting", "shares"):
        at = key(row, "practice_id", "payment_id", "claim_id")
        if applied.pop(at, 0) != row["applied_cents"]:
            yield f"payment {at[1]} on claim {at[2]}: share {row['applied_cents']} is not what is applied"
    for at, cents in applied.items():
        if cents:
            yield f"payment {at[1]} has {cents} on claim {at[2]} and no share there"


def credits_equal_payments(facts: Facts) -> Iterator[str]:
    """A payer's credit is what its money holds beyond what it owed: its payments, and its shares of those that name another first."""
    held: Counter[tuple[Any, ...]] = Counter()
    payers: dict[tuple[Any, ...], tuple[str, str]] = {}
    for row in facts.rows("posting", "payments"):
        payers[key(row, "practice_id", "payment_id")] = row["payer_kind"], row["payer_id"]
        held[row["practice_id"], f"{row['payer_kind']}:{row['payer_id']}"] += row["credited_cents"]
    for row in facts.rows("posting", "shares"):
        kind, payer_id = payers.get(key(row, "practice_id", "payment_id"), ("", ""))
        if row["payer_id"] and kind:
            left = row["given_cents"] - row["applied_cents"] - row["waiting_cents"]
            held[row["practice_id"], f"{kind}:{row['payer_id']}"] += left
            held[row["practice_id"], f"{kind}:{payer_id}"] -= left
    said = {key(row, "practice_id", "holder"): row["credit_cents"] for row in facts.rows("posting", "credits")}
    for at in sorted(held.keys() | said.keys()):
        if held[at] != said.get(at, 0):
            yield f"credit of {at[1]}: {said.get(at, 0)}, its payments hold {held[at]}"


def credit_is_not_asked_again(facts: Facts) -> Iterator[str]:
    """No payment is credit while a claim that it names is open as its payer saw it: the same content, asked of the same payer (EP-21)."""
    claims = {key(row): row for row in facts.rows("posting", "claims") if row["content"]}
    shares = {key(row, "practice_id", "payment_id", "claim_id"): row for row in facts.rows("posting", "shares")}
    open_cents: Counter[tuple[Any, ...]] = Counter()
    for row in facts.rows("posting", "columns"):
        open_cents[key(row, *KEY, "kind", "payer_id")] += row["balance_cents"]
    for fact, named, payer in _named(facts):
        at = fact["practice_id"], named["claim_id"]
        claim, share = claims.get(at), shares.get((at[0], fact["payment_id"], at[1]))
        if claim is None or share is None:
            continue
        same = (claim["content"]["version"], claim["content"]["revision"]) == (named["claim_version"], named["claim_revision"])
        left = named["amount_cents"] - share["applied_cents"] - share["waiting_cents"]
        if same and (claim["current_kind"], claim["current_payer_id"]) == payer and left > 0 and open_cents[*at, *payer] > 0:
            yield f"payment {fact['payment_id']} has {left} for claim {at[1]} as credit, and {open_cents[*at, *payer]} are asked of its payer again"


def _named(facts: Facts) -> Iterator[tuple[Row, Row, tuple[str, str]]]:
    """Each claim that captured money names, with its payer."""
    for fact in facts.told["invoice.payment_captured"]:
        for claim in (claim for invoice in fact["invoices"] for claim in invoice["claims"]):
            yield fact, claim, ("corporate", claim["payer_id"])
    for fact in facts.told["contract.charged"]:
        for claim in fact["claims"]:
            yield fact, claim, ("patient", fact["patient_id"])


def batches_balance(facts: Facts) -> Iterator[str]:
    """Batches hold all that payments brought; a closed or e-payment one is at 0.00; a deposit sums up its batches (RP-01, RP-07, RP-20)."""
    held: Counter[str] = Counter()
    brought: Counter[tuple[Any, ...]] = Counter()
    for row in facts.rows("posting", "batch_payments"):
        held[row["batch_id"]] += row["cents"]
        brought[key(row, "practice_id", "payment_id")] += row["cents"]
    for row in facts.rows("posting", "payments"):
        at = key(row, "practice_id", "payment_id")
        if len(row["parts_posted"]) == row["parts"] and brought[at] != row["amount_cents"]:
            yield f"payment {at[1]} of {row['amount_cents']} brought {brought[at]} into batches"
    totals: Counter[str] = Counter()
    for row in facts.rows("posting", "payment_batches"):
        totals[row["deposit_id"]] += row["target_cents"]
        if row["posted_cents"] != held[row["batch_id"]]:
            yield f"batch {row['number']} says {row['posted_cents']}, its payments are {held[row['batch_id']]}"
        if (row["state"] == "closed" or row["route"] == "epayment") and row["posted_cents"] != row["target_cents"]:
            yield f"batch {row['number']} is out of balance by {row['target_cents'] - row['posted_cents']}"
    for row in facts.rows("posting", "deposits"):
        if totals[row["deposit_id"]] != row["amount_cents"]:
            yield f"deposit {row['number']} of {row['amount_cents']} has batches of {totals[row['deposit_id']]}"


def nothing_is_paid_twice(facts: Facts) -> Iterator[str]:
    """Several payments took no more for a claim than its content charges: nobody was asked for what somebody had paid (EP-14)."""
    contents = {key(row): row["content"] for row in facts.rows("posting", "claims") if row["content"]}
    took: dict[tuple[Any, ...], set[tuple[str, int, int]]] = defaultdict(set)  # a fact may be told twice
    for fact, named, _ in _named(facts):
        at = fact["practice_id"], named["claim_id"]
        if at in contents and all(named[f"claim_{name}"] == contents[at][name] for name in ("version", "revision")):
            took[at].add((fact["payment_id"], fact.get("part", 1), named["amount_cents"]))
    for at, parts in sorted(took.items()):
        payments, taken = {payment_id for payment_id, _, _ in parts}, sum(cents for _, _, cents in parts)
        charged = sum(cents for _, cents in contents[at]["charges"])
        if len(payments) > 1 and taken > charged:
            yield f"claim {at[1]} of {charged} was paid by {len(payments)} payments, {taken} together"


def nothing_is_claimed_twice(facts: Facts) -> Iterator[str]:
    """No claim is in two live attempts, and no live attempt outlives its payment (EP-14)."""
    open_attempts = {row["attempt_id"] for row in facts.rows("portal", "attempts") if row["state"] in ("submitted", "unknown")}
    for table in ("live_invoices", "live_claims"):
        for row in facts.rows("portal", table):
            if row["attempt_id"] not in open_attempts:
                yield f"{table}: attempt {row['attempt_id']} is over but still holds {row.get('invoice_id') or row.get('claim_id')}"


def contracts_keep_their_word(facts: Facts) -> Iterator[str]:
    """Charges stay within notice and limit, are taken five days after a notice that was sent or later, and never after a cancel (CF-05, CF-06)."""
    contracts = {key(row, "practice_id", "contract_id"): row for row in facts.rows("contracts", "contracts")}
    told = {
        (row["practice_id"], row["cause"]["charge_id"], row["cause"]["notice_no"])
        for row in facts.rows("notifier", "mails")
        if row["template"] == "contract_notice" and row["state"] == "sent"
    }
    used: Counter[tuple[Any, ...]] = Counter()
    due: dict[str, date] = {}
    for row in facts.rows("contracts", "charges"):
        if row["status"] in ("submitted", "unknown", "charged"):
            used[key(row, "practice_id", "contract_id")] += row["submitted_cents"]
            due[row["attempt_id"]] = row["due_on"]
            if row["submitted_cents"] > row["noticed_cents"]:
                yield f"charge {row['charge_id']} took {row['submitted_cents']}, its notice said {row['noticed_cents']}"
            if row["notice_sent_on"] is None or (row["due_on"] - row["notice_sent_on"]).days != 5:
                yield f"charge {row['charge_id']} did not wait five days"
            if key(row, "practice_id", "charge_id", "notice_no") not in told:
                yield f"charge {row['charge_id']} was made and its notice was not sent"
    for at, cents in used.items():
        if cents > contracts[at]["limit_cents"]:
            yield f"contract {at[1]} took {cents}, its limit is {contracts[at]['limit_cents']}"
    cancelled: dict[tuple[Any, ...], int] = {}
    for state in facts.told["contract.state"]:
        if state["status"] == "cancelled":
            cancelled.setdefault(key(state, "practice_id", "contract_id"), state["version"])
    for fact in facts.told["contract.charged"]:
        if fact["payment_id"] in due and date.fromisoformat(fact["local_date"]) < due[fact["payment_id"]]:
            yield f"charge {fact['charge_id']} was taken on {fact['local_date']}, it was due on {due[fact['payment_id']]}"
        if fact["contract_version"] > cancelled.get(key(fact, "practice_id", "contract_id"), fact["contract_version"]):
            yield f"charge {fact['charge_id']} was taken after its contract was cancelled"


CHECKS = (
    ledger_sums_to_zero,
    balances_equal_entries,
    receivables_equal_balances,
    captures_are_recorded,
    captures_are_posted,
    applied_money_equals_entries,
    credits_equal_payments,
    credit_is_not_asked_again,
    nothing_is_paid_twice,
    batches_balance,
    nothing_is_claimed_twice,
    contracts_keep_their_word,
)
