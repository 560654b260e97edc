"""An attempt to pay by card, from the gateway's page to its end. States are data."""

from enum import StrEnum


class Attempt(StrEnum):
    """Where an attempt stands.

    `started`: the person is at the gateway's page. `ready`: authorised, waits for their confirmation. `submitted`: the capture call is under
    way. `unknown`: nobody can say yet whether money moved. `releasing`: the authorisation is to be let go. `released`: it was; nothing was
    taken. `failed`: the card was declined, or a submitted charge came to nothing.
    """

    STARTED = "started"
    READY = "ready"
    SUBMITTED = "submitted"
    UNKNOWN = "unknown"
    CAPTURED = "captured"
    FAILED = "failed"
    RELEASING = "releasing"
    RELEASED = "released"


A = Attempt
TRANSITIONS: dict[Attempt, frozenset[Attempt]] = {
    A.STARTED: frozenset({A.READY, A.FAILED, A.RELEASING}),
    A.READY: frozenset({A.SUBMITTED, A.FAILED, A.RELEASING}),
    A.SUBMITTED: frozenset({A.UNKNOWN, A.CAPTURED, A.FAILED}),
    A.UNKNOWN: frozenset({A.CAPTURED, A.FAILED}),
    A.RELEASING: frozenset({A.RELEASED, A.FAILED}),
    A.CAPTURED: frozenset(),
    A.FAILED: frozenset(),
    A.RELEASED: frozenset(),
}
OPEN = frozenset({A.STARTED, A.READY})  # nothing submitted yet: may be let go
LIVE = frozenset({A.SUBMITTED, A.UNKNOWN})  # money may move: its invoices and claims are taken


class BadMove(ValueError):
    """A move that is not listed."""


def move(now: Attempt, to: Attempt) -> Attempt:
    """The new state. Raises BadMove."""
    if to not in TRANSITIONS[now]:
        raise BadMove(f"an attempt that is {now} cannot become {to}")
    return to
