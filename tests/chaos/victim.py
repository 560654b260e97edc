"""A service that kills itself with SIGKILL at a named point: `python -m tests.chaos.victim <service> <point> <after>`.

The points are wrapped around the product's own functions from outside, so that its code holds nothing for tests.
"""

import os
import runpy
import signal
import sys
from collections.abc import Callable
from typing import Any

from shared import gateway, kafka, outbox, relay


class Countdown:
    """Ends the process at the n-th time that a point is reached."""

    def __init__(self, left: int) -> None:
        self.left = left

    def reach(self) -> None:
        self.left -= 1
        if self.left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str, count: Countdown) -> None:
    """Dies before the function does anything."""
    original = getattr(owner, name)

    async def wrapped(*given: Any, **named: Any) -> Any:
        count.reach()
        return await original(*given, **named)

    setattr(owner, name, wrapped)


def after(owner: Any, name: str, count: Countdown) -> None:
    """Dies after the function did everything, before its caller knows."""
    original = getattr(owner, name)

    async def wrapped(*given: Any, **named: Any) -> Any:
        result = await original(*given, **named)
        count.reach()
        return result

    setattr(owner, name, wrapped)


def _mail(where: Callable[[Any, str, Countdown], None]) -> Callable[[Countdown], None]:
    def install(count: Countdown) -> None:
        from services.notifier.sender import Sender

        where(Sender, "_post", count)

    return install


# point → (services that pass it, how it is installed)
ALL = ("invoicing", "portal", "posting", "contracts", "notifier")
POINTS: dict[str, tuple[tuple[str, ...], Callable[[Countdown], None]]] = {
    "consumption: handled, before the commit": (ALL, lambda count: after(kafka.Consumption, "handle", count)),
    "consumption: committed, before the offsets": (ALL, lambda count: before(kafka.Consumption, "_commit", count)),
    "consumption: read, before the transaction": (ALL, lambda count: before(kafka.Consumption, "transact", count)),
    "outbox: before the events are stored": (ALL, lambda count: before(outbox, "copy", count)),
    "relay: read, before sending": (ALL, lambda count: before(relay.Relay, "_send", count)),
    "relay: sent, before the acknowledgement": (ALL, lambda count: after(relay.Relay, "_send", count)),
    "relay: acknowledged and deleted": (ALL, lambda count: after(relay.Relay, "_settle", count)),
    "payment: before the capture": (("portal",), lambda count: before(gateway.SandboxGateway, "capture", count)),
    "payment: captured, before it is stored": (("portal",), lambda count: after(gateway.SandboxGateway, "capture", count)),
    "payment: asked, before it is stored": (("portal",), lambda count: after(gateway.SandboxGateway, "ask", count)),
    "charge: before the call": (("contracts",), lambda count: before(gateway.SandboxGateway, "charge", count)),
    "charge: taken, before it is stored": (("contracts",), lambda count: after(gateway.SandboxGateway, "charge", count)),
    "mail: before sending": (("notifier",), _mail(before)),
    "mail: sent, before it is stored": (("notifier",), _mail(after)),
}


def main() -> None:
    service, point, count = sys.argv[1:4]
    POINTS[point][1](Countdown(int(count)))
    sys.argv = [f"services.{service}", "serve"]
    runpy.run_module(f"services.{service}", run_name="__main__")


if __name__ == "__main__":
    main()
