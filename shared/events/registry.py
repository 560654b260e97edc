"""Every topic by name; one dead-letter topic per service beside them."""

from dataclasses import dataclass
from types import ModuleType

from shared.events import Topic, contracts, ingress, invoicing, notifier, portal, posting

SERVICES = ("invoicing", "portal", "posting", "contracts", "notifier")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A record that a service could not take in: where it is, what is wrong, never its payload or a value of it."""

    practice_id: str | None
    parked_id: str
    consumer: str
    topic: str
    partition: int
    offset: int
    event_id: str | None
    path: str | None
    reason: str


def _declared(module: ModuleType) -> list[Topic[object]]:
    return [value for value in vars(module).values() if isinstance(value, Topic)]


DEAD_LETTERS = {name: Topic(f"{name}.dead_letter", DeadLetter, "parked_id", name) for name in SERVICES}
TOPICS: dict[str, Topic[object]] = {
    topic.name: topic
    for module in (ingress, invoicing, portal, posting, contracts, notifier)
    for topic in _declared(module)
} | {topic.name: topic for topic in DEAD_LETTERS.values()}  # type: ignore[misc]
