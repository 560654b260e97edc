"""Delivery rules: copies equal their owners, nothing is stuck, every mail is true and goes out once."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from deploy.local.verify.facts import Facts

# topic → (service, table, key column) of the owner and of every copy by version
HOLDERS = {
    "practice.state": (("portal", "practices", "practice_id"), ("posting", "practices", "practice_id"), ("contracts", "practices", "practice_id"),
                       ("notifier", "practices", "practice_id"), ("invoicing", "practice", "practice_id")),
    "account.state": (("invoicing", "account", "account_id"), ("portal", "accounts", "account_id"), ("notifier", "accounts", "account_id")),
    "invoice.state": (("portal", "invoices", "invoice_id"), ("notifier", "invoices", "invoice_id")),
    "invoice.line.state": (("portal", "lines", "line_id"),),
    "dispute.state": (("portal", "cases", "dispute_id"),),
    "contact.state": (("portal", "contacts", "contact_id"), ("notifier", "contacts", "contact_id")),
    "claim.balances.state": (("posting", "claims", "claim_id"), ("invoicing", "balance", "claim_id"), ("contracts", "balances", "claim_id")),
    "payment.state": (("posting", "payments", "payment_id"), ("portal", "postings", "payment_id"), ("invoicing", "payment_posting", "payment_id"),
                      ("contracts", "payment_states", "payment_id")),
    "credit.state": (("posting", "credits", "holder"), ("portal", "credits", "holder")),
    "contract.state": (("contracts", "contracts", "contract_id"), ("notifier", "contracts", "contract_id")),
    "patient.state": (("posting", "patients", "patient_id"), ("contracts", "patients", "patient_id")),
    "department.state": (("contracts", "departments", "department_id"),),
    "appointment.state": (("contracts", "appointments", "appointment_id"),),
}  # fmt: skip
# Copies that keep only some keys on purpose.
PARTIAL = {("contracts", "payment_states"), ("invoicing", "payment_posting"), ("portal", "postings"), ("posting", "payments"), ("posting", "claims")}


def the_last_record_is_the_newest(facts: Facts) -> Iterator[str]:
    """On our own state topics the last record of a key has its highest version, so compaction keeps the newest."""
    for topic in HOLDERS:
        if topic in ("patient.state", "department.state", "appointment.state"):
            continue
        for key, newest in facts.newest.get(topic, {}).items():
            if newest.body and newest.body["version"] != newest.highest:
                yield f"{topic} {key} ends at version {newest.body['version']} after {newest.highest}"


def copies_equal_owners(facts: Facts) -> Iterator[str]:
    """Every copy has the version that its owner published last, and no key is missing."""
    for topic, holders in HOLDERS.items():
        said = {key: newest.highest for key, newest in facts.newest.get(topic, {}).items() if newest.body}
        for service, table, column in holders:
            held = {f"{row['practice_id']}/{row[column]}": row["version"] for row in facts.rows(service, table)}
            for key in sorted(held.keys() & said.keys()):
                if held[key] != said[key]:
                    yield f"{service} has {topic} {key} at version {held[key]}, the topic at {said[key]}"
            if (service, table) not in PARTIAL and service in facts.tables:
                for key in sorted(said.keys() - held.keys())[:5]:
                    yield f"{service} has no copy of {topic} {key}"


def nothing_is_stuck(facts: Facts) -> Iterator[str]:
    """No event unpublished, no message waiting, no payment pending for ever, no charge or attempt unknown."""
    for service, tables in facts.tables.items():
        for table, words in (("outbox", "not published"), ("waiting", "waiting for a counterpart")):
            if rows := tables.get(table):
                yield f"{service}: {len(rows)} messages {words}, the first on {rows[0]['topic']} {rows[0]['key']}"
    for row in facts.rows("portal", "attempts"):
        if row["state"] in ("submitted", "unknown"):
            yield f"portal: payment {row['attempt_id']} is still {row['state']}"
    for row in facts.rows("contracts", "charges"):
        if row["status"] in ("submitted", "unknown"):
            yield f"contracts: charge {row['charge_id']} is still {row['status']}"
    for invoice in (each.body for each in facts.newest.get("invoice.state", {}).values() if each.body):
        if invoice["pending_cents"] or any(payment["state"] == "pending" for payment in invoice["payments"]):
            yield f"invoice {invoice['number']} waits for a payment to be posted"
    for table in ("payment_marks", "dispute_marks"):
        if rows := facts.rows("portal", table):
            yield f"portal: {len(rows)} {table} that the owner has not named"


def nothing_is_parked(facts: Facts) -> Iterator[str]:
    """No record is parked but those whose envelope or body was wrong from the start."""
    for service, tables in facts.tables.items():
        for row in tables.get("parked", []):
            if row["error"].startswith("the handler failed") or row["error"].startswith("behind"):
                yield f"{service} parked {row['topic']}/{row['partition']}/{row['offset']}: {row['error'][:120]}"


def mails_are_sent_once(facts: Facts) -> Iterator[str]:
    """Every mail that is marked as sent is in the mailbox, and no key is there under two Message-IDs (NT-02)."""
    there: dict[str, set[str]] = {}
    for mail in facts.mails:
        headers = {name.lower(): value for name, value in mail["headers"].items()} if isinstance(mail.get("headers"), dict) else {}
        if key := headers.get("x-billfold-key"):
            there.setdefault(key, set()).add(headers.get("message-id", ""))
    for key, ids in sorted(there.items()):
        if len(ids) > 1:
            yield f"a mail went out {len(ids)} times under key {key}"
    texts = {message_id.strip("<>").partition("@")[0] for ids in there.values() for message_id in ids}
    for row in facts.rows("notifier", "mails"):
        if row["state"] == "sent" and row["channel"] == "email" and row["mail_id"] not in texts:
            yield f"mail {row['mail_id']} ({row['template']}) is marked as sent and is not in the mailbox"


def mails_do_not_wait(facts: Facts) -> Iterator[str]:
    """No mail has waited for more than ten minutes."""
    for row in facts.rows("notifier", "mails"):
        if row["state"] == "waiting" and datetime.now(UTC) - row["created_at"] > timedelta(minutes=10):
            yield f"mail {row['mail_id']} ({row['template']}) waits since {row['created_at']:%H:%M}"


def payments_have_receipts(facts: Facts) -> Iterator[str]:
    """Every captured payment and charge has its receipt by mail, sent or on its way."""
    about = Counter(row["cause"].get("payment_id") for row in facts.rows("notifier", "mails") if row["template"] in ("receipt", "contract_receipt"))
    ids = [row["payment_id"] for row in facts.rows("portal", "payments")]
    ids += [row["attempt_id"] for row in facts.rows("contracts", "charges") if row["status"] == "charged"]
    for payment_id in ids:
        if about[payment_id] != 1:
            yield f"payment {payment_id} has {about[payment_id]} receipts"


def disputes_have_holds(facts: Facts) -> Iterator[str]:
    """An open dispute has an open hold on its claim, and only one dispute of a claim is open (EP-16, EP-17)."""
    held = {(row["practice_id"], row["dispute_id"]) for row in facts.rows("invoicing", "hold") if row.get("closed_at") is None}
    open_ones: Counter[tuple[str, str]] = Counter()
    for each in facts.newest.get("dispute.state", {}).values():
        if each.body and each.body["status"] == "open":
            open_ones[each.body["practice_id"], each.body["claim_id"]] += 1
            if (each.body["practice_id"], each.body["dispute_id"]) not in held:
                yield f"dispute {each.body['dispute_id']} is open with no hold"
    for at, count in open_ones.items():
        if count > 1:
            yield f"claim {at[1]} has {count} open disputes"


CHECKS = (
    the_last_record_is_the_newest,
    copies_equal_owners,
    nothing_is_stuck,
    nothing_is_parked,
    mails_are_sent_once,
    mails_do_not_wait,
    payments_have_receipts,
    disputes_have_holds,
)
