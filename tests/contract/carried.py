"""The played world on a real broker: the services' relays publish what they say, and their own subscriptions read it."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import kafka
from shared.events import Topic
from shared.events.registry import TOPICS
from shared.kafka import Consumption
from shared.messages import Handler
from shared.relay import Relay
from shared.settings import Kafka
from tests.conftest import Database as Server
from tests.flows.people import People
from tests.flows.play import Flow
from tests.flows.world import REGISTERS, Registrar, World, made
from tests.shared.conftest import envelope

PATIENCE = 120
CHANGES = text("SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_xact_user_tables")
PARTITIONS = [TopicPartition(topic.name, n) for topic in TOPICS.values() for n in range(topic.partitions)]


@dataclass
class Followed(Consumption):
    """A service's own subscription. `at`: up to where it has stored or parked; `taken`: topic → offsets that its handlers took in;
    `changed`: topics whose handler changed a row in its turn."""

    at: dict[TopicPartition, int] = field(default_factory=dict)
    taken: dict[str, set[tuple[int, int]]] = field(default_factory=lambda: defaultdict(set))
    changed: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.handlers = {topic: self._watched(topic, handler) for topic, handler in self.handlers.items()}

    @property
    def paused(self) -> set[TopicPartition]:
        return set(self.subscriber.consumer.paused())

    def _watched(self, topic: Topic[Any], handler: Handler) -> Handler:
        async def watched(tx: AsyncConnection, messages: Sequence[Any]) -> None:
            before = await tx.scalar(CHANGES)
            await handler(tx, messages)
            if await tx.scalar(CHANGES) > before:
                self.changed.add(topic.name)

        return watched

    async def transact(self, records: Sequence[Any]) -> None:
        await super().transact(records)
        for record in records:
            self.taken[record.topic].add((record.partition, record.offset))

    async def store(self, records: Sequence[Any]) -> None:
        await super().store(records)
        for record in records:
            self.at[TopicPartition(record.topic, record.partition)] = record.offset + 1


@asynccontextmanager
async def subscribed(consumptions: Sequence[Consumption], servers: str) -> AsyncIterator[None]:
    """These subscriptions as a service makes them, running. One member by name, so that the next one of its group need not wait for it."""
    broker = kafka.make_broker(Kafka(kafka_servers=servers), "test")
    for consumption in consumptions:
        kafka.subscribe(broker, consumption, member=f"{consumption.group}-test")
    await broker.start()
    try:
        yield
    finally:
        for consumption in consumptions:
            await consumption.finish()
        await broker.stop()


@dataclass
class Carried(World):
    """A world whose records travel. Deliveries are the broker's: nothing is collected, and `drain` waits until all has arrived."""

    servers: str = ""
    producer: Any = None
    looker: Any = None  # fetches nothing, so that its questions do not stand behind a fetch that waits
    unsent: list[tuple[Topic[Any], Any, bytes]] = field(default_factory=list)

    def register(self) -> None:
        """Once: subscriptions stay while worlds come and go."""
        if self.readers:
            return
        for service, registers in REGISTERS.items():
            registrar: Any = Registrar(service, self.worker[service], self.clock, kind=Followed)
            for register in registers:
                register(registrar)
            self.readers |= {each.group: each for each in registrar.consumptions}

    def publish(self, topic: Topic[Any], body: Any) -> None:
        self.unsent.append((topic, body, self.clock.now.isoformat().encode()))

    async def send(self, topic: Topic[Any], key: str, value: bytes, **headers: bytes | None) -> tuple[int, int]:
        """A record of another system; returns partition and offset."""
        sent = await self.producer.send_and_wait(topic.name, value, key=key.encode(), headers=envelope(topic, **headers))
        return sent.partition, sent.offset

    async def collect(self, *services: str) -> None:
        """The relays do that."""

    async def drain(self) -> None:
        """Waits until everything is published and taken in or parked, but for what is read late."""
        for topic, body, time in self.unsent:
            await self.send(topic, topic.key_of(body), topic.encode(body), ce_time=time)
        self.unsent.clear()
        behind: Any = "nothing yet"
        try:
            async with asyncio.timeout(PATIENCE):
                while behind := await self._under_way():
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise TimeoutError(f"not at rest: {behind}") from None

    async def _under_way(self) -> dict[str, Any]:
        """What is not read yet by whom, or not published; nothing only where nothing came while it was looked at."""
        ends = await self.ends()
        late = {
            group: sorted({at.topic for at in ends.keys() - each.paused if at.topic in each.topics and each.at.get(at, 0) < ends[at]})
            for group, each in self.readers.items()
        }
        if late := {group: topics for group, topics in late.items() if topics}:
            return late
        for service, sql in self.sql.items():
            if count := await sql.fetchval("SELECT count(*) FROM outbox"):
                return {service: f"{count} records not published"}
        return {} if await self.ends() == ends else {"topics": "records came meanwhile"}

    @contextmanager
    def late(self, group: str, topic: str) -> Iterator[None]:
        """This reader reads this topic only after all else that is said meanwhile."""
        consumer = self.readers[group].subscriber.consumer
        lanes = [at for at in PARTITIONS if at.topic == topic]
        consumer.pause(*lanes)
        try:
            yield
        finally:
            consumer.resume(*lanes)

    async def ends(self) -> dict[TopicPartition, int]:
        return dict(await self.looker.end_offsets(PARTITIONS))


@asynccontextmanager
async def carried(server: Server, servers: str, journal: Path) -> AsyncIterator[Carried]:
    """The five services on real databases and the broker, whose topics are there and empty."""
    async with made(server, journal) as bare, AsyncExitStack() as stack:
        world = Carried(bare.app, bare.worker, bare.sql, bare.clock, journal, servers=servers)
        world.register()
        world.producer = await stack.enter_async_context(AIOKafkaProducer(bootstrap_servers=servers, enable_idempotence=True))
        world.looker = await stack.enter_async_context(AIOKafkaConsumer(bootstrap_servers=servers))
        await stack.enter_async_context(subscribed(list(world.readers.values()), servers))
        for service, db in world.worker.items():
            relay = asyncio.create_task(Relay(service, Kafka(kafka_servers=servers), db.url).run())
            stack.push_async_callback(_ended, relay)
        yield world


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def opened(world: Carried) -> People:
    """A world that begins anew with a practice, an account, its people and a patient."""
    await world.begin()
    people = People(world)
    await people.open()
    return people


async def play(world: Carried, flow: Flow) -> None:
    """A flow in its order; each step arrives everywhere before the next."""
    people = await opened(world)
    for name, *args in (*flow.start, *(action for thread in flow.threads for action in thread)):
        keywords = args.pop() if args and isinstance(args[-1], dict) else {}
        await getattr(people, name)(*args, **keywords)
        await world.drain()
