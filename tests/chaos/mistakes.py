"""Our mistakes in the services' logs: errors that no kill explains. A service that is killed is no reason for another to fail."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from deploy.local.processes import BEFORE

# Peers that are gone for a moment: the error at the end of a traceback is one of these.
AWAY = (
    "ConnectionRefusedError",
    "ConnectionResetError",
    "BrokenPipeError",
    "httpx.ConnectError",
    "httpx.ReadError",
    "httpx.WriteError",
    "httpx.RemoteProtocolError",
    "httpx.ConnectTimeout",
    "httpx.ReadTimeout",
)
ERROR = re.compile(r"^Traceback .*\n(?: .*\n)+(.+)", re.MULTILINE)  # the line below the frames: an error's words go on below it
CLIENTS = ("aiokafka", "faststream", "opentelemetry")  # what the clients say of connections and groups; they try again by themselves


def mistakes(logs: Path, services: Sequence[str]) -> list[str]:
    """One line in words for each, of this code and of the release beside it."""
    found = [words for service in services for words in _in(service, logs / f"{service}.log")]
    found += [words for service in services for words in _in(f"{service} of the release before", logs / f"{service}{BEFORE}.log")]
    return [words[:320] for words in found]


def _in(service: str, log: Path) -> Iterator[str]:
    for line in log.read_text(errors="replace").splitlines() if log.exists() else ():
        try:
            said: Any = json.loads(line)
        except json.JSONDecodeError:
            if line.startswith("Traceback"):
                yield f"{service} died of an exception of its own"
            continue
        if not isinstance(said, dict) or said.get("level") not in ("error", "critical") or said["logger"].startswith(CLIENTS):
            continue
        error = _last(said.get("error") or "")
        if not error.startswith(AWAY):
            yield f"{service}: {said['message']}: {error}"


def _last(traceback: str) -> str:
    """The line that names the error at the end of a traceback."""
    return (ERROR.findall(traceback) or traceback.splitlines()[-1:] or [""])[-1]
