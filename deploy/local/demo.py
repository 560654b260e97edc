"""The demo on this machine: up, down, another day, forget."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

from deploy.local import clockfile, seed
from deploy.local import plan as plans
from deploy.local.places import LOCAL, LOGS, ROOT, forget, home, kept_ports, ports
from deploy.local.plan import PARTS, Plan
from deploy.local.processes import Product, present, running, where

FILE = LOCAL / "demo.json"
LOCK = LOCAL / "demo.pid"


class Stopped(Exception):
    """Somebody wants the demo to end."""


def demo() -> str:
    """Run the demo until Ctrl-C or SIGTERM."""
    with _only_one():
        try:
            with _stoppable():
                _run()
        except Stopped:
            return "The demo has stopped; its data stays. `make demo` goes on, `make demo-reset` forgets."
        finally:
            FILE.unlink(missing_ok=True)
    return ""


def _run() -> None:
    began = time.monotonic()
    plan = plans.make(home() / "demo", LOCAL, ports(list(PARTS)))
    _say("starting; the first time, Kafka is fetched as well")
    if plan.data.exists() and not seed.is_done(plan):
        _say("the last seeding was not finished: starting anew")
        seed.forget(plan)
    with running(plan, _say) as product:
        tell(plan, "seeding", {})
        users = seed.known(plan) if seed.is_done(plan) else seed.run(plan, _say)
        tell(plan, "ready", users)
        print(_stage(plan, users, time.monotonic() - began), flush=True)
        _watch(product)


def up() -> str:
    """The same in the background; returns when it is ready."""
    if _pid():
        return "The demo is up already. " + _addresses() if _state() == "ready" else "The demo is starting already."
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / "demo.log"
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "deploy.local", "demo"], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out,
                                   stderr=subprocess.STDOUT, start_new_session=True)
    shown = 0
    while process.poll() is None and _state() != "ready":
        time.sleep(0.2)
        shown = _follow(log, shown)
    _follow(log, shown)
    if process.poll() is not None:
        raise SystemExit(f"The demo did not start; {log} has the reasons.")
    return "The demo is up. " + _addresses()


def down() -> str:
    """Stop the demo of this checkout, wherever it was started."""
    pid = _pid()
    if not pid:
        return "The demo is not running."
    os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + 60
    while _pid() and time.monotonic() < until:
        time.sleep(0.1)
    if _pid():
        raise SystemExit(f"The demo (process {pid}) is still running after a minute.")
    return "The demo has stopped; its data stays."


def service(words: list[str]) -> NoReturn:
    """Run a service's own command with the settings it has in the demo, in place of this process: `["invoicing", "parked"]`."""
    if not (kept := kept_ports()):
        raise SystemExit("There is no demo yet; `make demo-up` starts it")
    plan = plans.make(home() / "demo", LOCAL, kept)
    os.execve(sys.executable, [sys.executable, "-m", f"services.{words[0]}", *words[1:]], plans.environment(plan, words[0]))


def reset() -> str:
    """Forget all data of the demo; packages and jars stay."""
    if _pid():
        raise SystemExit("The demo is running: `make demo-down` first.")
    forget()
    return "The demo's data is gone. `make demo` starts anew."


def day(days: int) -> str:
    """Move the business clock of the running demo on."""
    if _state() != "ready":
        raise SystemExit("The demo is not running: `make demo-up` first.")
    now = clockfile.move(Path(json.loads(FILE.read_text())["clock"]), timedelta(days=days))
    return f"{days} {'day' if days == 1 else 'days'} later: it is {now.astimezone(clockfile.NEW_YORK):%A, %B %-d, %Y, %H:%M} in New York."


def _watch(product: Product) -> None:
    """Until somebody stops the demo; a part that ends by itself is started again, as an orchestrator would."""
    again: dict[str, float] = {}
    while True:
        time.sleep(0.5)
        for name, process in list(product.running.items()):
            if process.poll() is not None and time.monotonic() > again.get(name, 0):
                again[name] = time.monotonic() + 10
                _say(f"{name} ended ({process.returncode}) and is started again; see {product.log(name).relative_to(ROOT)}")
                product.start(name)


def tell(plan: Plan, state: str, users: dict[str, Any]) -> None:
    """Write `.local/demo.json`: where everything is, for programs."""
    half = FILE.with_suffix(".half")
    half.touch(mode=0o600)
    half.write_text(json.dumps({"state": state} | where(plan, users), indent=1))
    half.replace(FILE)


def _stage(plan: Plan, users: dict[str, Any], seconds: float) -> str:
    """What a person sees when the demo is up."""
    employer, lines = users.get("employer"), [f"\nBillfold is up ({seconds:.0f} s).\n"]
    if "portal" in present():
        lines += [f"  Employer portal   {plan.url('portal')}/employerportal/"]
        if employer:
            lines += [f"                    {employer['name']}: {employer['email']}, password {employer['password']}"]
    staff = {"invoicing": "Accounts, holds", "portal": "Contacts", "posting": "Money", "contracts": "Agreements", "notifier": "Mails"}
    lines += [f"  {label:<17} {plan.url(name)}/staff" for name, label in staff.items() if name in present()]
    lines += [f"  Sign in as staff  by one click; everyone is on {plan.url('oidc')}/",
              f"  Mails and codes   {plan.url('mail')}/",
              "  Cards             4242 4242 4242 4242 is approved; the card page lists the others",
              "\nTry: dispute a claim as the employer, correct it under Holds, pay the rest, then `make demo-day`.",
              "`make demo-tour` plays it all. Ctrl-C or `make demo-down` stops it; the data stays."]
    return "\n".join(lines)


def _addresses() -> str:
    file = json.loads(FILE.read_text())
    return " · ".join(f"{name} {url}" for name, url in (file["services"] | {"mails": file["mail"]}).items())


def _state() -> str | None:
    """What the running demo says of itself; a file that a killed one left behind does not count."""
    if not _pid():
        return None
    return str(json.loads(FILE.read_text())["state"]) if FILE.exists() else None


def _say(line: str) -> None:
    print(f"  {line}", flush=True)


def _follow(log: Path, shown: int) -> int:
    text = log.read_bytes()
    sys.stdout.write(text[shown:].decode(errors="replace"))
    sys.stdout.flush()
    return len(text)


@contextlib.contextmanager
def _only_one() -> Iterator[None]:
    """One demo per checkout, held by a lock that ends with the process, however it ends."""
    LOCAL.mkdir(exist_ok=True)
    with LOCK.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit("The demo of this checkout is running already: `make demo-down` stops it.") from None
        FILE.unlink(missing_ok=True)  # of a demo that was killed; before the process id, by which others trust it
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
        file.truncate(0)


def runs() -> bool:
    """Whether the demo of this checkout is running."""
    return _pid() is not None


def _pid() -> int | None:
    """The process that runs the demo, if one does."""
    if not LOCK.exists():
        return None
    with LOCK.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(file.read() or 0) or None
    return None


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal end the block by Stopped; a second one does not disturb the stopping."""
    assert threading.current_thread() is threading.main_thread()

    def stop(number: int, frame: object) -> None:
        for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sig, signal.SIG_IGN)
        print("\n  stopping …", flush=True)
        raise Stopped

    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, stop)
    yield
