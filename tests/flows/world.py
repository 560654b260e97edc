"""Five services with their real handlers on real databases, and a broker that is played: it delivers in any order, again, and into crashes.

What the services put into their outboxes goes to a log per topic and key. Every reader (a consumer group) has a position in every log.
`deliver` hands the next records to `Consumption`, as the real subscriber does.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
from aiokafka import ConsumerRecord

from services.contracts import consumers as contracts
from services.invoicing import consumers as invoicing
from services.notifier import consumers as notifier
from services.portal import consumers as portal
from services.portal.contacts import consumers as contacts
from services.posting import consumers as posting
from shared import sealing
from shared.clock import FixedClock
from shared.db import Database, asyncpg_url
from shared.events import Topic
from shared.events.registry import TOPICS
from shared.kafka import Consumption
from shared.messages import read
from tests.conftest import Database as Server
from tests.flows.gateway import Desk

REGISTERS = {
    "invoicing": [invoicing.register],
    "portal": [portal.register, contacts.register],
    "posting": [posting.register],
    "contracts": [contracts.register],
    "notifier": [notifier.register],
}
NOON = datetime(2026, 11, 4, 17, tzinfo=UTC)  # a Wednesday, noon in New York
Log = tuple[str, str]  # topic, key
Place = tuple[str, str, str]  # reader, topic, key


class Broken(AssertionError):
    """A promise that was broken, in words."""


class Crash(Exception):
    """The process is gone before its transaction was committed."""


@dataclass(frozen=True)
class Entry:
    """A record in a log; `again` where it was sent a second time by a slow sender."""

    event_id: str
    time: datetime
    value: bytes
    again: bool = False


@dataclass
class Registrar:
    """Collects what a service's `register` asks for, as consumptions of this kind."""

    name: str
    worker: Database
    clock: FixedClock
    kind: type[Consumption] = Consumption
    consumptions: list[Consumption] = field(default_factory=list)

    def consume(self, group: str, handlers: Any, *, batch: int = 500, lock: Any = None) -> None:
        self.consumptions.append(self.kind(self.name, f"{self.name}.{group}", self.worker, self.clock, handlers, lock=lock))


@dataclass
class World:
    """`app`, `worker`: the roles by service. `sql`: an administrator's connection by service. `readers`: consumer groups by name."""

    app: dict[str, Database]
    worker: dict[str, Database]
    sql: dict[str, asyncpg.Connection]
    clock: FixedClock
    journal: Path
    keys: tuple[str, str] = field(default_factory=sealing.new_keys)
    readers: dict[str, Consumption] = field(default_factory=dict)
    of_topic: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    gateway: Desk = field(init=False)
    logs: dict[Log, list[Entry]] = field(init=False)
    at: dict[Place, int] = field(init=False)
    heard: dict[Place, int] = field(init=False)  # as far as ever, whatever was rewound since
    ready: dict[Place, None] = field(init=False)
    steps: list[str] = field(init=False)
    box: list[Any] = field(init=False)
    ids: int = field(init=False)
    collecting: asyncio.Lock = field(default_factory=asyncio.Lock)
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)
    delivered: int = 0

    def register(self) -> None:
        """Builds the consumers anew, so that they use whatever the code now says."""
        self.readers, self.of_topic = {}, defaultdict(list)
        for service, registers in REGISTERS.items():
            registrar: Any = Registrar(service, self.worker[service], self.clock)
            for register in registers:
                register(registrar)
            self.readers |= {each.group: each for each in registrar.consumptions}
        for group, consumption in self.readers.items():
            for topic in consumption.handlers:
                self.of_topic[topic.name].append(group)

    async def begin(self) -> None:
        """An empty world at noon."""
        for connection in self.sql.values():
            names = [row["tablename"] for row in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
            # Quicker than TRUNCATE for a few rows; foreign keys are not asked.
            emptied = "; ".join(f'DELETE FROM "{name}"' for name in names if name != "alembic_version")
            await connection.execute(f"SET session_replication_role = replica; {emptied}; SET session_replication_role = origin")
        self.journal.unlink(missing_ok=True)
        self.gateway = Desk(self.journal)
        self.clock.now = NOON
        self.logs, self.at, self.heard, self.ready, self.steps, self.box, self.ids = defaultdict(list), {}, {}, {}, [], [], 0
        self.register()

    def new_id(self) -> str:
        """Stands in for `shared.ids.new`, so that a seed repeats to the last id: UUIDv7 of a moment to come, one after the other."""
        self.ids += 1
        return f"01ffffff-ffff-7000-8000-{self.ids:012d}"

    # --- sending

    def publish(self, topic: Topic[Any], body: Any) -> None:
        """What a practice's system or another service says."""
        self._append((topic.name, topic.key_of(body)), Entry(f"e{self.new_id()}", self.clock.now, topic.encode(body)))

    def _append(self, log: Log, entry: Entry) -> None:
        self.logs[log].append(entry)
        for reader in self.of_topic[log[0]]:
            self.ready[reader, *log] = None

    async def collect(self, *services: str) -> None:
        """Takes what these services (all, where none is named) have said since."""
        for service in services or self.sql:
            async with self.collecting:
                await self._collect(service)

    async def _collect(self, service: str) -> None:
        rows = await self.sql[service].fetch("DELETE FROM outbox RETURNING id, topic, key, event_id, time, value")
        for row in sorted(rows, key=lambda row: row["id"]):
            self._append((row["topic"], row["key"]), Entry(row["event_id"], row["time"], row["value"]))

    # --- delivering

    def record(self, place: Place, offset: int) -> "ConsumerRecord[bytes, bytes]":
        """The record of a log as the broker hands it over."""
        _, topic, key = place
        entry = self.logs[topic, key][offset]
        headers = (
            ("ce_specversion", b"1.0"),
            ("ce_id", entry.event_id.encode()),
            ("ce_type", topic.encode()),
            ("ce_source", b"/tests"),
            ("ce_time", entry.time.isoformat().encode()),
        )
        return ConsumerRecord(topic, 0, offset, 0, 0, key.encode(), entry.value, None, 0, len(entry.value), headers)

    async def deliver(self, places: Iterable[Place], *, skip: bool = False, crash: bool = False) -> None:
        """One batch of a reader: the next record of each of these places. `skip`: compaction left only the newest of a versioned topic.

        `crash`: the handlers run, and the process dies before the commit. A handler that fails breaks a promise.
        """
        places = list(places)
        records, after = [], dict[Place, int]()
        for place in places:
            log = self.logs[place[1:]]
            offset = after.get(place, self.at.get(place, 0))
            if skip and TOPICS[place[1]].versioned:
                offset = max(offset, max(n for n, entry in enumerate(log) if not entry.again))
            records.append(self.record(place, offset))
            after[place] = offset + 1
        consumption = self.readers[places[0][0]]
        self.delivered += len(records)
        try:
            if crash:
                async with consumption.db.begin() as tx:
                    batch = [(record, read(record, consumption.topics[record.topic])[0]) for record in records]
                    await consumption.handle(tx, batch)
                    raise Crash
            await consumption.transact(records)
        except Crash:
            return
        except Exception as error:
            raise Broken(f"{places[0][0]} cannot take in {[place[1:] for place in places]}: {error!r}") from error
        for place, offset in after.items():
            self.at[place], self.heard[place] = offset, max(offset, self.heard.get(place, 0))
            if offset >= len(self.logs[place[1:]]):
                self.ready.pop(place, None)
        await self.collect(consumption.service)

    def again(self, log: Log, offset: int) -> bool:
        """The same record once more, later, from a slow old sender."""
        entries = self.logs[log]
        if offset >= len(entries) or entries[offset].again:
            return False
        entry = entries[offset]
        self._append(log, Entry(entry.event_id, entry.time, entry.value, again=True))
        return True

    def rewind(self, place: Place, by: int) -> bool:
        """The process died after a transaction and before its offsets were committed."""
        if not self.at.get(place):
            return False
        self.at[place] = max(0, self.at[place] - by)
        self.ready[place] = None
        return True

    async def drain(self) -> None:
        """Delivers everything, in order."""
        while self.ready:
            first = next(iter(self.ready))
            await self.deliver([place for place in self.ready if place[0] == first[0]])

    # --- looking

    def said(self, topic: Topic[Any], key: str | None = None) -> list[Any]:
        """What was said on a topic, by key in its order, without repeats."""
        logs = [self.logs[topic.name, key]] if key else [log for (name, _), log in self.logs.items() if name == topic.name]
        return [topic.decode(entry.value) for log in logs for entry in log if not entry.again]

    async def rows(self, service: str, query: str, *values: Any) -> list[Any]:
        """Rows of a service's database, past all roles; one question at a time, as a connection takes no more."""
        async with self.looking:
            return list(await self.sql[service].fetch(query, *values))


@asynccontextmanager
async def made(server: Server, journal: Path) -> AsyncIterator[World]:
    """The five databases, migrated; they are the run's own until the next world is made."""
    app, worker, sql = {}, {}, {}
    for service in REGISTERS:
        urls = await server.migrated(service)
        app[service], worker[service] = Database(urls.app, "flows-app"), Database(urls.worker, "flows-worker")
        sql[service] = await asyncpg.connect(asyncpg_url(server.admin_url).rsplit("/", 1)[0] + f"/{service}")
        await sql[service].set_type_codec("jsonb", encoder=str, decoder=msgspec.json.decode, schema="pg_catalog")
    # A digest waits some real minutes for copies that lag; the played days have no real minutes.
    await sql["notifier"].execute("ALTER TABLE items ALTER since SET DEFAULT '2026-01-01'")
    yield World(app, worker, sql, FixedClock(NOON), journal)
    for database in (*app.values(), *worker.values()):
        await database.close()
    for connection in sql.values():
        await connection.close()
