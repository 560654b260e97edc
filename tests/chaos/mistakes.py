"""Our mistakes in the services' logs: errors that no kill explains. A service that is killed is no reason for another to fail."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

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
ERROR = re.compile(r"^[\w.]+(?:Error|Exception|Timeout)\b.*$", re.MULTILINE)  # what the driver adds below it is no name
CLIENTS = ("aiokafka", "faststream", "opentelemetry")  # what the clients say of connections and groups; they try again by themselves


def mistakes(logs: Path, services: Sequence[str]) -> list[str]:
    """One line in words for each."""
    return [words for service in services for words in _in(service, (logs / f"{service}.log").read_text(errors="replace").splitlines())]


def _in(service: str, lines: list[str]) -> Iterator[str]:
    for line in lines:
        try:
            said: Any = json.loads(line)
        except json.JSONDecodeError:
            if line.startswith("Traceback"):
                yield f"{service} died of an exception of its own"
            continue
        if not isinstance(said, dict) or said.get("level") not in ("error", "critical") or said["logger"].startswith(CLIENTS):
            continue
        errors = ERROR.findall(said.get("error") or "") or [""]
        if not errors[-1].startswith(AWAY):
            yield f"{service}: {said['message'][:120]}: {errors[-1][:160]}"
