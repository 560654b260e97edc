"""What is played so that every topic is used: each service says what it has to say by its own handlers, others send examples and mistakes."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from services.contracts.handlers import copies
from services.invoicing.handlers import practices
from services.portal.contacts import access
from services.portal.contacts.letters import Letters
from services.portal.contacts.status import ContactRole
from services.portal.identity import signin
from services.portal.identity import store as persons
from services.portal.identity.gates import Gates
from services.portal.identity.sessions import Limits
from services.portal.identity.tables import Kind
from shared.events.registry import DEAD_LETTERS, TOPICS, DeadLetter
from shared.parking import BEHIND
from tests.contract.carried import Carried, opened, play
from tests.contract.schemas import EVENTS, records
from tests.flows.flows import ADJUDICATED, BILLED, FLOWS, NOTICED
from tests.flows.play import Flow
from tests.flows.staff import HOUSE, P
from tests.flows.world import REGISTERS, Registrar

INGRESS = sorted(name for name, topic in TOPICS.items() if topic.writer == "ingress")
BROKEN = (*INGRESS, "practice.state")  # so that every service meets one
NO_RECORD_OF_THIS = b'{"practice_id": 5}'
PLAYED = (
    FLOWS["bill"],
    FLOWS["bill, hold and release"],
    FLOWS["dispute"],
    FLOWS["pay"],
    FLOWS["mails, overdue"],
    FLOWS["contract"],
    FLOWS["contract, mails down for four days"],
    Flow(start=NOTICED, threads=((("charge", "declined"),),)),
    Flow(start=BILLED, threads=((("proceed", "Paula"), ("confirm", "Paula", "declined")),)),
    Flow(start=BILLED, threads=((("proceed", "Paula"), ("confirm", "Paula", "lost"), ("check", "c1", 10000), ("ask",)),)),
)


def readings() -> Iterator[tuple[str, str]]:
    """Every (topic, consumer group) of the product."""
    for service, registers in REGISTERS.items():
        registrar: Any = Registrar(service, None, None)  # type: ignore[arg-type]
        for register in registers:
            register(registrar)
        yield from ((topic, each.group) for each in registrar.consumptions for topic in each.topics)


@dataclass(frozen=True)
class Told:
    """What came of the story. `records`: by topic; `taken`: group → topic → the offsets its handlers took in; `changed`: the topics
    (with their groups) whose handler changed a row; `broken`: where our mistakes are."""

    world: Carried
    records: dict[str, list[Any]]
    taken: dict[str, dict[str, set[tuple[int, int]]]]
    changed: set[tuple[str, str]]
    broken: set[tuple[str, int, int]]

    def good(self, topic: str) -> list[Any]:
        return [record for record in self.records[topic] if (topic, record.partition, record.offset) not in self.broken]

    def letters(self, topic: str, group: str) -> list[DeadLetter]:
        """What this reader reported of this topic's records."""
        return [letter for _, letter in self._answers(topic, group)]

    def seconds(self, topic: str, group: str) -> float:
        """From our mistake on this topic to this reader's answer, by the records' own times."""
        (sent,) = [(at.partition, at.offset, at.timestamp) for at in self.records[topic] if (topic, at.partition, at.offset) in self.broken]
        (answer,) = [at for at, letter in self._answers(topic, group) if (letter.partition, letter.offset) == sent[:2]]
        return float(answer.timestamp - sent[2]) / 1000

    def _answers(self, topic: str, group: str) -> list[tuple[Any, DeadLetter]]:
        dead = DEAD_LETTERS[group.split(".")[0]]
        every = [(record, dead.decode(record.value)) for record in self.records[dead.name]]
        return [(record, letter) for record, letter in every if (letter.topic, letter.consumer) == (topic, group)]


async def tell(world: Carried) -> Told:
    """Plays it; AssertionError names each reader and topic where it cannot go on because a reader could not take something in."""
    try:
        await _all(world)
    except Exception as error:
        if refused := [words for service in REGISTERS for words in await _refused(world, service)]:
            raise AssertionError("; ".join(refused)) from error
        raise
    broken = set()
    for name in BROKEN:
        partition, offset = await world.send(TOPICS[name], "195900/broken", NO_RECORD_OF_THIS)
        broken.add((name, partition, offset))
    await world.drain()
    taken = {group: each.taken for group, each in world.readers.items()}
    changed = {(topic, group) for group, each in world.readers.items() for topic in each.changed}
    return Told(world, await records(world.servers), taken, changed, broken)


async def _all(world: Carried) -> None:
    for flow in PLAYED:
        await play(world, flow)
    with world.late("contracts.facts", "claim.balances.state"):  # which otherwise tell of an adjudication before it is said
        await play(world, Flow(start=ADJUDICATED, threads=()))
    await world.drain()
    await persons_and_papers(world)
    await examples(world)


async def _refused(world: Carried, service: str) -> list[str]:
    """What this service's readers could not take in, once for each reader and topic."""
    rows = await world.rows(service, "SELECT DISTINCT ON (consumer, topic) consumer, topic, error, path FROM parked WHERE error <> $1", BEHIND)
    return [f"{row['consumer']} cannot take in {row['topic']}: {row['error']}" + (f" at {row['path']}" if row["path"] else "") for row in rows]


async def persons_and_papers(world: Carried) -> None:
    """An invitation that is mailed, one that is revoked before, a forgotten password, a code, and a receipt by mail."""
    people = await opened(world)
    letters, now = Letters("https://portal.example", world.keys[0]), world.clock.now
    gates = Gates(world.app["portal"], world.clock, letters, "secret", Limits(timedelta(1), timedelta(1)))
    async with gates.db.begin(P) as tx:
        for name in ("Ida", "Ira"):
            wanted = access.Wanted(name, None, f"{name.lower()}@employer.example", None, ContactRole.VIEWER)
            invited = await access.create(tx, now, P, "a1", wanted, "tests")
            await access.invite(tx, now, letters, P, invited.contact_id, "tests")
        await access.revoke(tx, now, P, invited.contact_id, "tests")
    await world.drain()
    await people.mails()
    await world.drain()
    async with gates.db.begin() as tx:
        lee = await persons.add(tx, now, Kind.EMPLOYER, "lee@employer.example", "Lee")
        await persons.registered(tx, now, lee.person_id)
        await persons.start_at(tx, lee.person_id, P, people.here["Lee"].contact_id)
    await signin.forgot(gates, "lee@employer.example")
    await signin.send_code(gates, lee.person_id, "reset", "+15550100142", P)
    await people.sign(50000)
    async with world.app["contracts"].begin(P) as tx:
        await copies.mail_receipt(tx, world.clock, world.keys[0], P, "9901", people.contract.epayment_id, "ana@example.org")
    await world.drain()


async def examples(world: Carried) -> None:
    """Every example of the ingress topics, byte for byte, at a practice that is known."""
    async with world.worker["invoicing"].begin() as tx:
        await practices.set_up(tx, world.clock.now, HOUSE | {"practice_id": "195900"}, None, "https://portal.example/employerportal/login")
    await world.drain()
    for name in INGRESS:
        text = (EVENTS / "examples" / f"{name}.json").read_bytes()
        await world.send(TOPICS[name], TOPICS[name].key_of(TOPICS[name].decode(text)), text)
    await world.drain()
