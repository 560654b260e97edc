"""Every topic by name; one dead-letter topic per service beside them."""

from dataclasses import dataclass
from typing import Any

from shared.events import Topic, contracts, ingress, invoicing, notifier, portal, posting

SERVICES = ("invoicing", "portal", "posting", "contracts", "notifier")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A record that a service could not take in, or (with no parked id) took in with a warning. Never its payload or a value of it."""

    practice_id: str | None
    parked_id: str | None
    consumer: str
    topic: str
    partition: int | None
    offset: int | None
    event_id: str | None
    path: str | None
    reason: str


DEAD_LETTERS: dict[str, Topic[Any]] = {name: Topic(f"{name}.dead_letter", DeadLetter, "parked_id", name) for name in SERVICES}
_MODULES = (ingress, invoicing, portal, posting, contracts, notifier)
_DECLARED: list[Topic[Any]] = [value for module in _MODULES for value in vars(module).values() if isinstance(value, Topic)]
TOPICS: dict[str, Topic[Any]] = {topic.name: topic for topic in (*_DECLARED, *DEAD_LETTERS.values())}
