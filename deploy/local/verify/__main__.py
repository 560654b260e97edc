"""`python -m deploy.local.verify`: checks the running demo; without one, starts one, plays the tour, checks and stops."""

import asyncio
import json
import sys

from deploy.local import demo, names
from deploy.local.settled import settle
from deploy.local.verify import delivery, invoices, money
from deploy.local.verify.facts import Facts, gather
from deploy.local.visitor import Where

CHECKS = (*money.CHECKS, *invoices.CHECKS, *delivery.CHECKS)
SHOWN = 5


def findings(facts: Facts) -> dict[str, list[str]]:
    """What each check finds; a check that finds nothing is absent."""
    found = {check.__name__.replace("_", " "): list(check(facts)) for check in CHECKS}
    return {name: words for name, words in found.items() if words}


async def verify(where: Where, within: float = 60) -> dict[str, list[str]]:
    """Lets the product come to rest, then checks it."""
    await settle(where, within)
    return findings(await gather(where))


def report(found: dict[str, list[str]]) -> str:
    """The findings in words, a few of each check."""
    lines = []
    for name, words in found.items():
        lines.append(f"{name}: {len(words)}")
        lines += [f"  {each}" for each in words[:SHOWN]]
    return "\n".join(lines)


def main() -> None:
    names.known()
    started = not demo.FILE.exists()
    if started:
        demo.up()
    try:
        where = json.loads(demo.FILE.read_text())
        if started:
            from deploy.local import tour

            asyncio.run(tour.play(where, say=print))
        found = asyncio.run(verify(where))
    finally:
        if started:
            demo.down()
    if found:
        print(report(found))
        sys.exit(f"verify: {sum(map(len, found.values()))} findings in {len(found)} of {len(CHECKS)} checks")
    print(f"verify: clean, {len(CHECKS)} checks")


if __name__ == "__main__":
    main()
