"""What of a service's log is a mistake of ours, and what a kill around it explains."""

import json
from pathlib import Path

from tests.chaos.mistakes import mistakes


def line(level: str, logger: str, message: str, error: str | None = None) -> str:
    return json.dumps({"level": level, "logger": logger, "message": message} | ({"error": error} if error else {}))


def test_errors_of_ours_are_told_from_peers_that_were_away(tmp_path: Path) -> None:
    lines = (
        line("info", "shared.service", "well"),
        line("warning", "shared.kafka", "parks a record", "Traceback …\nValueError: x"),
        line("error", "aiokafka.consumer", "the group moves"),
        line("error", "shared.service", "job papers failed", "Traceback …\nhttpx.ConnectError: All connection attempts failed"),
        line("error", "shared.service", "job days failed", "Traceback …\nx.DeadlockDetectedError: deadlock detected\nHINT:  See server log."),
        line("critical", "shared.service", "portal.read-model stands still"),
        '{"level": "error", "mess',  # killed while it wrote
        "Traceback (most recent call last):",
    )
    (tmp_path / "portal.log").write_text("\n".join(lines))
    assert mistakes(tmp_path, ("portal",)) == [
        "portal: job days failed: x.DeadlockDetectedError: deadlock detected",
        "portal: portal.read-model stands still: ",
        "portal died of an exception of its own",
    ]
