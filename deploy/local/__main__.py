"""The commands of the demo: python3 -m deploy.local demo | demo-up | demo-down | demo-day [N] | demo-reset | trace ID | service NAME COMMAND … |
run MODULE …"""

import os
import sys

from deploy.local import bootstrap


def main(words: list[str]) -> str:
    """Do what the words say; the line of result."""
    from deploy.local import demo, trace  # after the bootstrap: they need the packages
    from deploy.local.plan import SERVICES

    match words:
        case ["demo"]:
            return demo.demo()
        case ["demo-up"]:
            return demo.up()
        case ["demo-down"]:
            return demo.down()
        case ["demo-reset"]:
            return demo.reset()
        case ["demo-day"]:
            return demo.day(1)
        case ["demo-day", days] if days.isdecimal() and 1 <= int(days) <= 366:
            return demo.day(int(days))
        case ["demo-day", *_]:
            raise SystemExit("Say how many days, from 1 to 366: make demo-day N=5")
        case ["trace", trace_id]:
            return trace.show(trace_id)
        case ["trace"]:
            raise SystemExit("Say which trace: make trace ID=<its id, or the traceparent that a claim was published with>")
        case ["service", name, _, *_] if name in SERVICES:
            demo.service(words[1:])
    raise SystemExit(__doc__)


if __name__ == "__main__":
    bootstrap.run_in_venv()
    if sys.argv[1:2] == ["run"]:  # any module, in the environment that has the packages
        os.execv(sys.executable, [sys.executable, "-m", *sys.argv[2:]])
    try:
        print(main(sys.argv[1:]))
    except RuntimeError as error:
        raise SystemExit(f"This did not work: {error}") from None
