"""Delivery rules: copies equal their owners, nothing is stuck, every mail is true and goes out once."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from deploy.local.verify.facts import Facts
from shared.events import Topic
from shared.events.registry import TOPICS
from shared.parking import BEHIND

# Copies that keep only some keys on purpose, and the owners' own tables of things that not each is told of.
PARTIAL = {("contracts", "payment_states"), ("invoicing", "payment_posting"), ("portal", "postings"), ("posting", "payments"), ("posting", "claims")}
NO_COPY = {("notifier", "known")}  # versions that somebody named


def holders(facts: Facts) -> Iterator[tuple[Topic[Any], str, str]]:
    """Every topic with each service and its table that is the owner's or a copy: known by its shape, a version under the topic's key.

    Corrected claims have none: they are ordered by `(version, revision)` and become content (`claims_are_as_published`).
    """
    for topic in TOPICS.values():
        if topic.versioned and topic.deletable and not hasattr(topic.body, "revision"):
            shape = list(dict.fromkeys(("practice_id", topic.key)))
            for service in facts.tables:
                for row in facts.rows(service, "versioned"):
                    if row["key"] == shape and (service, row["table"]) not in NO_COPY:
                        yield topic, service, row["table"]


def our_records_can_be_read(facts: Facts) -> Iterator[str]:
    """Every record on a topic of ours is one that its readers can take in; only what others publish may be malformed (PF-02)."""
    yield from facts.unreadable


def the_last_record_is_the_newest(facts: Facts) -> Iterator[str]:
    """On our own state topics the last record of a key has its highest version, so compaction keeps the newest."""
    for name, keys in facts.newest.items():
        for key, newest in keys.items() if TOPICS[name].writer != "ingress" else ():
            if newest.body and newest.body["version"] != newest.last:
                yield f"{name} {key} ends at version {newest.last} after {newest.body['version']}"


def copies_equal_owners(facts: Facts) -> Iterator[str]:
    """Every copy has the version that its owner published last, and no key is missing."""
    for topic, service, table in holders(facts):
        said = {key: newest.body["version"] for key, newest in facts.newest[topic.name].items() if newest.body}
        held = {f"{row['practice_id']}/{row[topic.key]}": row["version"] for row in facts.rows(service, table)}
        for key in sorted(held.keys() & said.keys()):
            if held[key] != said[key]:
                yield f"{service} has {topic.name} {key} at version {held[key]}, the topic at {said[key]}"
        if (service, table) not in PARTIAL:
            for key in sorted(said.keys() - held.keys())[:5]:
                yield f"{service} has no copy of {topic.name} {key}"


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
    for invoice in facts.states("invoice.state"):
        if invoice["pending_cents"] or any(payment["state"] == "pending" for payment in invoice["payments"]):
            yield f"invoice {invoice['number']} waits for a payment to be posted"
    for table in ("payment_marks", "dispute_marks"):
        if rows := facts.rows("portal", table):
            yield f"portal: {len(rows)} {table} that the owner has not named"


def nothing_is_parked(facts: Facts) -> Iterator[str]:
    """No record is parked but those of other publishers whose envelope or body was wrong from the start."""
    for service, tables in facts.tables.items():
        for row in tables.get("parked", []):
            ours = TOPICS[row["topic"]].writer != "ingress"
            if ours or row["error"].startswith("the handler failed") or row["error"] == BEHIND:
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
    for dispute in facts.states("dispute.state"):
        if dispute["status"] == "open":
            open_ones[dispute["practice_id"], dispute["claim_id"]] += 1
            if (dispute["practice_id"], dispute["dispute_id"]) not in held:
                yield f"dispute {dispute['dispute_id']} is open with no hold"
    for at, count in open_ones.items():
        if count > 1:
            yield f"claim {at[1]} has {count} open disputes"


CHECKS = (
    our_records_can_be_read,
    the_last_record_is_the_newest,
    copies_equal_owners,
    nothing_is_stuck,
    nothing_is_parked,
    mails_are_sent_once,
    mails_do_not_wait,
    payments_have_receipts,
    disputes_have_holds,
)
