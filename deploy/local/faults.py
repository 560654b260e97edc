"""Trouble on demand for the sandbox processor: named for the next calls, or drawn at seeded rates."""

from collections import deque
from random import Random
from typing import Annotated, Literal

from pydantic import BaseModel, Field

Fault = Literal["late", "lost", "doubled", "declined"]
Rate = Annotated[float, Field(ge=0, le=1)]


class Control(BaseModel, extra="forbid"):
    """What to change; a field that is absent stays as it was. `next` replaces the queue, and comes before the rates."""

    next: list[Fault | None] | None = None
    rates: dict[Fault, Rate] | None = None
    seed: int | None = None
    latency_ms: int | None = Field(default=None, ge=0, le=60_000)
    late_ms: int | None = Field(default=None, ge=0, le=600_000)


class Faults:
    """*late*: answers a timeout, acts later. *lost*: acts, cuts the connection. *doubled*: acts twice. *declined*: the bank says no."""

    def __init__(self) -> None:
        self.queue: deque[Fault | None] = deque()
        self.rates: dict[Fault, float] = {}
        self.random = Random(0)
        self.latency_ms = 0
        self.late_ms = 3000

    def set(self, control: Control) -> None:
        if control.next is not None:
            self.queue = deque(control.next)
        if control.rates is not None:
            self.rates = dict(control.rates)
        if control.seed is not None:
            self.random = Random(control.seed)
        self.latency_ms = self.latency_ms if control.latency_ms is None else control.latency_ms
        self.late_ms = self.late_ms if control.late_ms is None else control.late_ms

    def draw(self) -> Fault | None:
        """The fault of this call: the head of the queue (None there = no fault), else one by chance."""
        if self.queue:
            return self.queue.popleft()
        point = self.random.random() if self.rates else 1.0
        for fault, rate in self.rates.items():
            if point < rate:
                return fault
            point -= rate
        return None
