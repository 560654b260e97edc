"""Things broken in the running product, each with the check of the oracle that has to find it."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from deploy.local.settled import settle
from deploy.local.verify.facts import DATABASES, Facts, Row
from shared.events.registry import TOPICS
from tests.whole import Played


@dataclass(frozen=True)
class Fault:
    """Something broken in a service's database, and the check that has to find it. `table` is put back afterwards."""

    what: str
    service: str
    table: str
    breaks: str
    found_by: str
    undo: str = "SELECT 1"


ABOVE = "never_above_the_notice"
FAULTS = (
    Fault("a ledger leg", "posting", "legs", "UPDATE legs SET amount_cents = amount_cents + 1 WHERE ctid = (SELECT ctid FROM legs LIMIT 1)",
          "ledger sums to zero"),
    Fault("an entry", "posting", "entries", "UPDATE entries SET change_cents = change_cents + 1 WHERE ctid = (SELECT ctid FROM entries LIMIT 1)",
          "balances equal entries"),
    Fault("a balance", "posting", "columns", "UPDATE columns SET charged_cents = charged_cents + 1 WHERE ctid = (SELECT ctid FROM columns LIMIT 1)",
          "receivables equal balances"),
    Fault("a captured payment", "portal", "payments", "DELETE FROM payments WHERE ctid = (SELECT ctid FROM payments ORDER BY record_no LIMIT 1)",
          "captures are recorded"),
    Fault("a posted payment", "posting", "payments",
          "DELETE FROM payments WHERE ctid = (SELECT ctid FROM payments WHERE source = 'portal' LIMIT 1)", "captures are posted"),
    Fault("a payment's share", "posting", "shares",
          "UPDATE shares SET applied_cents = applied_cents + 1 WHERE ctid = (SELECT ctid FROM shares LIMIT 1)",
          "applied money equals entries"),
    Fault("a payer's credit", "posting", "credits",
          "INSERT INTO credits (practice_id, holder, version, credit_cents) SELECT practice_id, 'corporate:x', 1, 1 FROM practices LIMIT 1",
          "credits equal payments"),
    Fault("credit for what is still asked", "posting", "shares",
          "UPDATE columns SET charged_cents = charged_cents + 1; UPDATE shares SET applied_cents = applied_cents - 1 WHERE applied_cents > 0",
          "credit is not asked again", "UPDATE columns SET charged_cents = charged_cents - 1"),
    Fault("a copy's version", "portal", "invoices", "UPDATE invoices SET version = version + 1 WHERE ctid = (SELECT ctid FROM invoices LIMIT 1)",
          "copies equal owners"),
    Fault("a batch total", "posting", "payment_batches",
          "UPDATE payment_batches SET posted_cents = posted_cents + 1, target_cents = target_cents + 1"
          " WHERE ctid = (SELECT ctid FROM payment_batches LIMIT 1)", "batches balance"),
    Fault("an invoice's number", "invoicing", "invoice",
          "UPDATE invoice SET number = number + 100 WHERE number = (SELECT max(number) FROM invoice)", "numbers have no gaps"),
    Fault("a live attempt left", "portal", "live_invoices",
          "INSERT INTO live_invoices SELECT i.practice_id, i.invoice_id, a.attempt_id FROM invoices i JOIN attempts a USING (practice_id)"
          " WHERE a.state = 'captured' LIMIT 1", "nothing is claimed twice"),
    Fault("a mail marked sent that was not", "notifier", "mails",
          "UPDATE mails SET mail_id = mail_id || 'x' WHERE ctid = (SELECT ctid FROM mails WHERE state = 'sent' AND channel = 'email' LIMIT 1)",
          "mails are sent once"),
    Fault("a receipt", "notifier", "mails", "DELETE FROM mails WHERE template = 'receipt'", "payments have receipts"),
    Fault("a contract charge above its notice", "contracts", "charges", f"ALTER TABLE charges DROP CONSTRAINT ck_charges_{ABOVE};"
          " UPDATE charges SET noticed_cents = submitted_cents - 1 WHERE status = 'charged'", "contracts keep their word",
          f"ALTER TABLE charges ADD CONSTRAINT ck_charges_{ABOVE} CHECK (submitted_cents <= noticed_cents)"),
    Fault("a contract charge without a notice", "notifier", "mails", "DELETE FROM mails WHERE template = 'contract_notice'",
          "contracts keep their word"),
    Fault("a contract charge before its day", "contracts", "charges",
          "UPDATE charges SET notice_sent_on = notice_sent_on + 90, due_on = due_on + 90 WHERE status = 'charged'", "contracts keep their word"),
    Fault("a claim's content", "invoicing", "claim", "UPDATE claim SET total_cents = total_cents + 1 WHERE ctid = (SELECT ctid FROM claim LIMIT 1)",
          "claims are as published"),
    Fault("a void claim asked for", "invoicing", "claim_mark",
          "INSERT INTO claim_mark (practice_id, claim_id, void_version)"
          " SELECT practice_id, claim_id, 99 FROM invoice_line WHERE NOT withdrawn LIMIT 1"
          " ON CONFLICT (practice_id, claim_id) DO UPDATE SET void_version = 99", "claims are on one line"),
    Fault("a void nobody heard of", "posting", "claims",
          "UPDATE claims SET void_version = 99 WHERE ctid = (SELECT ctid FROM claims LIMIT 1)", "claims are as published"),
    Fault("a mail that waits", "notifier", "mails",
          "UPDATE mails SET state = 'waiting', created_at = now() - interval '1 hour', next_try_at = now() + interval '1 day'"
          " WHERE ctid = (SELECT ctid FROM mails WHERE state = 'sent' LIMIT 1)", "mails do not wait"),
    Fault("a message left waiting", "posting", "waiting",
          "INSERT INTO waiting (consumer, event_id, need, topic, key, time, value) VALUES ('x', 'x', 'claim/0/0', 'claim.voided', '0/0', now(), '')",
          "nothing is stuck"),
    Fault("a record the handler refused", "posting", "parked",
          "INSERT INTO parked (consumer, topic, partition, \"offset\", parked_id, headers, error)"
          " VALUES ('x', 'claim.voided', 0, 0, 'x', '[]', 'the handler failed: ValueError')", "nothing is parked"),
    Fault("a record of ours that was parked", "portal", "parked",
          "INSERT INTO parked (consumer, topic, partition, \"offset\", parked_id, headers, error)"
          " VALUES ('x', 'invoice.state', 0, 0, 'x', '[]', 'the body is not JSON')", "nothing is parked"),
)  # fmt: skip


@dataclass(frozen=True)
class Lie:
    """Something said on a topic that is not so: the first body that `of` chooses, with `changes`. No reader takes it in: its version is known."""

    what: str
    topic: str
    of: Callable[[Row], bool]
    changes: Callable[[Row], Row]
    found_by: str


LIES = (
    Lie("a line's money", "invoice.line.state", lambda line: line["status"] != "withdrawn",
        lambda line: {"charged_cents": line["charged_cents"] + 1, "balance_cents": line["balance_cents"] + 1}, "lines equal posting"),
    Lie("a line's payer", "invoice.line.state", lambda line: line["status"] != "withdrawn", lambda _: {"payer_id": "x"}, "claims are on one line"),
    Lie("what is payable", "invoice.state", lambda _: True, lambda body: {"payable_cents": body["payable_cents"] + 1}, "invoices equal lines"),
    Lie("an invoice's total", "invoice.state", lambda _: True, lambda body: {"paid_cents": body["paid_cents"] + 1}, "invoices equal lines"),
    Lie("an invoice's status", "invoice.state", lambda body: body["status"] == "overdue", lambda _: {"status": "due"}, "invoices equal lines"),
    Lie("an older version last", "account.state", lambda body: body["version"] > 1, lambda body: {"version": body["version"] - 1},
        "the last record is the newest"),
    Lie("an open dispute", "dispute.state", lambda body: body["status"] != "open", lambda _: {"status": "open"}, "disputes have holds"),
)  # fmt: skip


@asynccontextmanager
async def said(played: Played, facts: Facts, lie: Lie) -> AsyncIterator[None]:
    """A lie for as long as the block runs; then the topic says again what is so."""
    true = next(body for body in facts.states(lie.topic) if lie.of(body))
    await tell(played, lie.topic, true | lie.changes(true))
    try:
        yield
    finally:
        await tell(played, lie.topic, true)


async def tell(played: Played, name: str, body: Row, gone: bool = False) -> None:
    """Says something on a topic as if its owner had, and lets it arrive."""
    topic: Any = TOPICS[name]
    headers = {"ce_specversion": "1.0", "ce_id": f"test-{time.time_ns()}", "ce_type": name, "ce_source": "/test", "ce_time": "2026-11-22T12:00:00Z"}
    async with AIOKafkaProducer(bootstrap_servers=played.at["kafka"]) as producer:
        at = f"{body['practice_id']}/{body[topic.key]}".encode()
        value = None if gone else topic.encode(body)
        await producer.send_and_wait(name, value, key=at, headers=[(header, words.encode()) for header, words in headers.items()])
    await settle(played.at)


@asynccontextmanager
async def unreadable(played: Played) -> AsyncIterator[str]:
    """A record of ours that nobody can read, for as long as the block runs; its place. Then it is gone, and what its readers parked too.

    It has a partition to itself, as what came before it in one would go with it.
    """
    name = "notification.failed"
    async with AIOKafkaConsumer(name, bootstrap_servers=played.at["kafka"]) as consumer:
        ends = await consumer.end_offsets(list(consumer.assignment()))
    empty = next(at.partition for at, end in ends.items() if end == 0)
    async with AIOKafkaProducer(bootstrap_servers=played.at["kafka"]) as producer:
        at = await producer.send_and_wait(name, b"{", key=b"7/x", partition=empty)
    await settle(played.at)
    try:
        yield f"{at.topic}/{at.partition}/{at.offset}"
    finally:
        admin = AIOKafkaAdminClient(bootstrap_servers=played.at["kafka"])
        await admin.start()
        await admin.delete_records({TopicPartition(at.topic, at.partition): RecordsToDelete(before_offset=1)})
        await admin.close()
        for service in DATABASES:
            connection = await asyncpg.connect(played.product.plan.admin_url.replace("+asyncpg", "").rsplit("/", 1)[0] + f"/{service}")
            await connection.execute("DELETE FROM parked WHERE topic = $1", at.topic)
            await connection.close()


@asynccontextmanager
async def broken(played: Played, fault: Fault) -> AsyncIterator[None]:
    """A fault for as long as the block runs; the table is as before afterwards."""
    connection = await asyncpg.connect(played.product.plan.admin_url.replace("+asyncpg", "").rsplit("/", 1)[0] + f"/{fault.service}")
    try:
        await connection.execute("SET session_replication_role = replica")  # neither triggers nor references are in the way
        await connection.execute(f"CREATE TEMP TABLE before_it AS SELECT * FROM {fault.table}")
        await connection.execute(fault.breaks)
        yield
    finally:
        own = "SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 AND attgenerated = '' AND NOT attisdropped"
        names = ", ".join(f'"{row[0]}"' for row in await connection.fetch(own, fault.table))
        async with connection.transaction():
            await connection.execute(f"DELETE FROM {fault.table}")
            await connection.execute(f"INSERT INTO {fault.table} ({names}) OVERRIDING SYSTEM VALUE SELECT {names} FROM before_it")
        await connection.execute(fault.undo)
        await connection.close()
