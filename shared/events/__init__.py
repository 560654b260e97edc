"""Events: what services say to each other and other systems to us (docs/architecture/events.md).

`Topic` declares one topic beside the model of its body; `TOPICS` in `shared.events.registry` lists them all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

import msgspec

Body = TypeVar("Body")

DAY_MS = 86_400_000
MAX_BYTES = 1024 * 1024  # what a consumer accepts
MAX_INGRESS_BYTES = 8 * 1024 * 1024  # what the broker takes from outside, so that a too-large record can be answered


@dataclass(frozen=True)
class Topic(Generic[Body]):
    """One topic: its name is its event's type, its key is `practice_id/<key field>`, and one service writes it.

    `versioned` topics carry the thing at a rising version and are compacted; others carry facts for 14 days.
    `restricted` topics may hold personal data and are closed to other systems.
    """

    name: str
    body: type[Body]
    key: str
    writer: str
    versioned: bool = False
    restricted: bool = False
    partitions: int = 6
    major: int = 1

    @property
    def deletable(self) -> bool:
        """A null value deletes on a state topic; a claim is withdrawn only by `claim.voided`."""
        return self.name.endswith(".state")

    @property
    def schema_id(self) -> str:
        return f"urn:billfold:{self.name}:{self.major}"

    @cached_property
    def decode(self) -> Callable[[bytes], Body]:
        """Body from JSON; raises msgspec.ValidationError with the JSON path of what is wrong."""
        return msgspec.json.Decoder(self.body).decode

    @staticmethod
    def encode(body: object) -> bytes:
        """JSON of a body."""
        return ENCODER.encode(body)

    def key_of(self, body: Body) -> str:
        """The record key of a body: its practice and its own id."""
        return f"{body.practice_id}/{getattr(body, self.key)}"  # type: ignore[attr-defined]

    @property
    def config(self) -> dict[str, str]:
        """The broker's settings of this topic."""
        size = {"max.message.bytes": str(MAX_INGRESS_BYTES if self.writer == "ingress" else MAX_BYTES)}
        if not self.versioned:
            return size | {"cleanup.policy": "delete", "retention.ms": str(14 * DAY_MS)}
        return size | {
            "cleanup.policy": "compact",
            "min.compaction.lag.ms": str(DAY_MS),
            "max.compaction.lag.ms": str(7 * DAY_MS),
            "delete.retention.ms": str(30 * DAY_MS),
        }


ENCODER = msgspec.json.Encoder(decimal_format="number")
