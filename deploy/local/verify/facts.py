"""What the oracle looks at, read as it is now: rows of every database, the newest state on each topic, captures, mails."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
import msgspec
from aiokafka import AIOKafkaConsumer

from deploy.local.visitor import Where

Row = dict[str, Any]
DATABASES = ("invoicing", "portal", "posting", "contracts", "notifier")
HUGE = ("outbox", "inbox", "document", "documents", "idempotency", "entries", "legs", "sessions", "passwords")


@dataclass
class Facts:
    """`tables[service][table]` are rows, `newest[topic][key]` what a topic ends with, `captures` the processor's journal, `mails` the mailbox."""

    tables: dict[str, dict[str, list[Row]]] = field(default_factory=dict)
    newest: dict[str, dict[str, "Newest"]] = field(default_factory=dict)
    captures: list[Row] = field(default_factory=list)
    mails: list[Row] = field(default_factory=list)

    def rows(self, service: str, table: str) -> list[Row]:
        return self.tables.get(service, {}).get(table, [])


@dataclass
class Newest:
    """The last record of a key on a versioned topic, and the highest version any of its records has."""

    body: Row | None
    highest: int


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
    "invoicing": {"documents": "SELECT practice_id, document_id, octet_length(bytes) AS size FROM document"},
}


async def gather(where: Where) -> Facts:
    """Reads everything. The product should be at rest, or some copies are still on their way."""
    facts = Facts()
    loaded = await asyncio.gather(*(_database(where, service) for service in DATABASES if service in where["services"]))
    facts.tables = dict(loaded)
    facts.newest = await _topics(where["kafka"])
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {where['operator']['gateway_secret']}"}, timeout=60) as http:
        facts.captures = (await http.get(f"{where['gateway']}/ledger")).raise_for_status().json()["entries"]
        facts.mails = (await http.get(where["mail_api"], params={"limit": 100_000})).raise_for_status().json()
    return facts


async def _database(where: Where, service: str) -> tuple[str, dict[str, list[Row]]]:
    url = where["operator"]["postgres"].replace("+asyncpg", "").rsplit("/", 1)[0] + f"/{service}"
    connection = await asyncpg.connect(url)
    try:
        await connection.set_type_codec("jsonb", encoder=str, decoder=msgspec.json.decode, schema="pg_catalog")
        # One moment for all tables of a database.
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            names = [row["tablename"] for row in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
            queries = {name: f'SELECT * FROM "{name}"' for name in names if name not in HUGE}
            queries["outbox"] = "SELECT topic, key FROM outbox"
            queries |= SUMS.get(service, {})
            return service, {name: [dict(row) for row in await connection.fetch(query)] for name, query in queries.items()}
    finally:
        await connection.close()


async def _topics(kafka: str) -> dict[str, dict[str, Newest]]:
    from shared.events.registry import TOPICS

    consumer = AIOKafkaConsumer(*(topic.name for topic in TOPICS.values() if topic.versioned), bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    found: dict[str, dict[str, Newest]] = {}
    try:
        ends = await consumer.end_offsets(list(consumer.assignment()))
        left = {partition for partition, end in ends.items() if end}
        while left:
            for partition, records in (await consumer.getmany(timeout_ms=1000, max_records=5000)).items():
                for record in records:
                    _note(found.setdefault(partition.topic, {}), record)
            left = {partition for partition in left if await consumer.position(partition) < ends[partition]}
    finally:
        await consumer.stop()
    return found


def _note(keys: dict[str, Newest], record: Any) -> None:
    try:
        body = msgspec.json.decode(record.value) if record.value else None
        version = body["version"] if body else 0
    except (msgspec.DecodeError, KeyError, TypeError):
        return  # a bad record from outside: its readers have parked it
    key = (record.key or b"").decode(errors="replace")
    seen = keys.get(key)
    keys[key] = Newest(body, max(version, seen.highest if seen else 0))
