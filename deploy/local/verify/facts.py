"""What the oracle looks at, read as it is now: rows of every database, the newest state on each topic, captures, mails."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import msgspec
from aiokafka import AIOKafkaConsumer

from deploy.local import clockfile
from deploy.local.visitor import Where
from shared.events.registry import DEAD_LETTERS, TOPICS
from shared.messages import Unreadable, read

Row = dict[str, Any]
DATABASES = ("invoicing", "portal", "posting", "contracts", "notifier")
HUGE = ("outbox", "inbox", "document", "documents", "idempotency", "entries", "legs", "sessions", "passwords")
# A row of a time when PostgreSQL kept no commit times was written long ago.
STORED_AT = "coalesce(pg_xact_commit_timestamp(xmin), to_timestamp(0)) AS stored_at"
HISTORIES = ("contract.state", "contract.charged", "invoice.payment_captured")  # topics of which more than the newest of a key counts


@dataclass
class Facts:
    """`tables[service][table]` are rows, each with `stored_at`, the system time at which it was last written; `newest[topic][key]` what a versioned
    topic says of a key; `told[topic]` all bodies of the HISTORIES; `unreadable` the records of our own topics that no reader can take in;
    `captures` the processor's journal; `mails` the mailbox; `now` the business time."""

    tables: dict[str, dict[str, list[Row]]] = field(default_factory=dict)
    newest: dict[str, dict[str, "Newest"]] = field(default_factory=lambda: defaultdict(dict))
    told: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    unreadable: list[str] = field(default_factory=list)
    captures: list[Row] = field(default_factory=list)
    mails: list[Row] = field(default_factory=list)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def rows(self, service: str, table: str) -> list[Row]:
        return self.tables.get(service, {}).get(table, [])

    def states(self, topic: str) -> list[Row]:
        """The newest bodies of a versioned topic."""
        return [each.body for each in self.newest[topic].values() if each.body]

    def hear(self, topic: str, key: str, body: Row | None) -> None:
        """Takes in a readable record of a topic, in the order of its partition."""
        if topic in HISTORIES and body:
            self.told[topic].append(body)
        if TOPICS[topic].versioned:
            self.newest[topic][key] = _newer(self.newest[topic].get(key), body)


@dataclass
class Newest:
    """What a versioned topic says of a key: the body at the highest version (of equal ones the later), None where the key was deleted since;
    and the version of the last record."""

    body: Row | None
    last: int


def _newer(known: Newest | None, body: Row | None) -> Newest:
    if body is None:
        return Newest(None, 0)
    older = known and known.body and known.body["version"] > body["version"]
    return Newest(known.body if known and older else body, body["version"])


# What the oracle needs of tables that are too long to read whole.
SUMS = {
    "posting": {
        "entry_sums": """SELECT practice_id, claim_id, charge_id, payer_kind, payer_id, sum(change_cents)::bigint AS cents,
            sum(amount_cents) FILTER (WHERE kind = 'payment')::bigint AS paid_cents FROM entries GROUP BY 1, 2, 3, 4, 5""",
        "unbalanced": """SELECT practice_id, transaction_id, sum(amount_cents)::bigint AS cents FROM legs
            GROUP BY 1, 2 HAVING sum(amount_cents) <> 0""",
        "receivables": """SELECT practice_id, claim_id, sum(amount_cents)::bigint AS cents FROM legs
            WHERE account = 'receivable' GROUP BY 1, 2""",
        "accounts": "SELECT practice_id, account, sum(amount_cents)::bigint AS cents FROM legs GROUP BY 1, 2",
    },
}
# Tables that keep something at a version, with their keys: what a topic's copy looks like.
VERSIONED = """SELECT k.table_name::text AS table, array_agg(k.column_name::text ORDER BY k.ordinal_position) AS key
    FROM information_schema.table_constraints t JOIN information_schema.key_column_usage k USING (constraint_schema, constraint_name)
    WHERE t.constraint_type = 'PRIMARY KEY' AND k.table_schema = 'public' AND
        (SELECT count(*) FILTER (WHERE c.column_name = 'version') - count(*) FILTER (WHERE c.column_name = 'revision')
         FROM information_schema.columns c WHERE c.table_schema = 'public' AND c.table_name = k.table_name) = 1
    GROUP BY 1"""


async def gather(where: Where) -> Facts:
    """Reads everything. The product should be at rest, or some copies are still on their way."""
    facts = Facts()
    loaded = await asyncio.gather(*(_database(where, service) for service in DATABASES if service in where["services"]))
    facts.tables = dict(loaded)
    await _topics(where["kafka"], facts)
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {where['operator']['gateway_secret']}"}, timeout=60) as http:
        facts.captures = (await http.get(f"{where['gateway']}/ledger")).raise_for_status().json()["entries"]
        facts.mails = (await http.get(where["mail_api"], params={"limit": 100_000})).raise_for_status().json()
    facts.now = clockfile.now(Path(where["clock"]))
    return facts


async def _database(where: Where, service: str) -> tuple[str, dict[str, list[Row]]]:
    url = where["operator"]["postgres"].replace("+asyncpg", "").rsplit("/", 1)[0] + f"/{service}"
    connection = await asyncpg.connect(url)
    try:
        await connection.set_type_codec("jsonb", encoder=str, decoder=msgspec.json.decode, schema="pg_catalog")
        # One moment for all tables of a database.
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            names = [row["tablename"] for row in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
            queries = {name: f'SELECT *, {STORED_AT} FROM "{name}"' for name in names if name not in HUGE}
            queries |= {"outbox": "SELECT topic, key FROM outbox", "versioned": VERSIONED}
            queries |= SUMS.get(service, {})
            return service, {name: [dict(row) for row in await connection.fetch(query)] for name, query in queries.items()}
    finally:
        await connection.close()


async def _topics(kafka: str, facts: Facts) -> None:
    # All that services say to each other; a dead letter is for operators, under the key of the record that it is about.
    names = TOPICS.keys() - {topic.name for topic in DEAD_LETTERS.values()}
    consumer = AIOKafkaConsumer(*names, bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        ends = await consumer.end_offsets(list(consumer.assignment()))
        left = {partition for partition, end in ends.items() if end}
        while left:
            for partition, records in (await consumer.getmany(timeout_ms=1000, max_records=5000)).items():
                for record in records:
                    _note(facts, partition.topic, record)
            left = {partition for partition in left if await consumer.position(partition) < ends[partition]}
    finally:
        await consumer.stop()


def _note(facts: Facts, topic: str, record: Any) -> None:
    """Reads a record as every reader does. Only what others publish may be malformed: its readers have parked it."""
    try:
        message, span = read(record, TOPICS[topic])
    except Unreadable as wrong:
        if TOPICS[topic].writer != "ingress":
            facts.unreadable.append(f"{topic}/{record.partition}/{record.offset}: {wrong}")
        return
    span.end()
    facts.hear(topic, message.key, msgspec.json.decode(record.value) if record.value else None)
