"""Where the local parts keep their things: small state in the checkout, data of servers under /var/tmp."""

import hashlib
import json
import os
import shutil
import socket
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / ".local"
LOGS = LOCAL / "logs"
SAMPLE = Path(__file__).resolve().parent / "sample"
HOME = Path("/var/tmp") / f"billfold-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:10]}"


def home() -> Path:
    """The directory of this checkout's servers. It is outside the checkout because PostgreSQL refuses root, and another account cannot
    enter a private clone. A directory that somebody else made there is refused."""
    HOME.mkdir(mode=0o755, exist_ok=True)
    if HOME.is_symlink() or HOME.stat().st_uid != os.geteuid():
        raise SystemExit(f"{HOME} belongs to another account. Remove it, or run as that account.")
    HOME.chmod(0o755)  # whatever the umask: PostgreSQL's account has to pass
    return HOME


def forget() -> None:
    """Remove all data of the demo. What tests and other runs of this checkout use beside it stays."""
    shutil.rmtree(home() / "demo", ignore_errors=True)
    shutil.rmtree(LOGS, ignore_errors=True)
    for name in ("clients.json", "clock", "demo.json", "ports.json", "secrets.json", "spans.jsonl", "spans.old.jsonl"):
        (LOCAL / name).unlink(missing_ok=True)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def is_free(port: int) -> bool:
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def ports(names: list[str]) -> dict[str, int]:
    """A port for each name: `<NAME>_PORT` of the environment, else the one of the last run, else a free one. Kept for the next run, so that
    the addresses in a browser's history stay true."""
    kept, chosen = kept_ports(), dict[str, int]()
    for name in names:
        wanted = os.environ.get(f"{name.upper()}_PORT")
        port = int(wanted) if wanted else kept.get(name, 0)
        if wanted and not is_free(port):
            raise SystemExit(f"{name.upper()}_PORT={port} is in use by another program.")
        while not port or not is_free(port) or port in chosen.values():
            port = free_port()
        chosen[name] = port
    LOCAL.mkdir(exist_ok=True)
    (LOCAL / "ports.json").write_text(json.dumps(kept | chosen, indent=1))
    return chosen


def kept_ports() -> dict[str, int]:
    """The ports of the last run, or of the one that goes on; none before the first."""
    file = LOCAL / "ports.json"
    found: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    return found
