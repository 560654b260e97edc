"""`make bench NAME=intake`, or all: the product against its floor, in turn in one run (docs/architecture/measures.md)."""

import subprocess
import sys

from tests.bench import arrival, chain, intake, large, relay

BENCHES = {"intake": intake.run, "relay": relay.run, "chain": chain.run, "arrival": arrival.run, "large": large.run}


def main() -> None:
    named = sys.argv[1:]
    if unknown := [name for name in named if name not in BENCHES]:
        sys.exit(f"bench: there is no {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    if len(named) == 1:
        result = BENCHES[named[0]]()
        result.keep()
        sys.exit(0 if result.held else 1)
    # Each in a process of its own, so that none meets another's memory.
    missed = [name for name in named or BENCHES if subprocess.run([sys.executable, "-m", "tests.bench", name]).returncode]
    count = len(named or BENCHES)
    print(f"bench: {count - len(missed)} of {count} hold" + (f"; missed: {', '.join(missed)}" if missed else ""))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
