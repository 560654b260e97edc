"""Child processes that never outlive their parent."""

import ctypes
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

Process = subprocess.Popen[bytes]
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _before_exec(account: str | None, sig: int) -> Callable[[], None]:
    entry = pwd.getpwnam(account) if account else None

    def run() -> None:
        if entry:
            os.setgroups([])
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
        if _libc:  # after setuid, which clears it
            _libc.prctl(PR_SET_PDEATHSIG, sig)

    return run


def spawn(argv: Sequence[str | Path], log: Path, env: dict[str, str] | None = None, cwd: Path | str | None = None,
          account: str | None = None, dies_by: signal.Signals = signal.SIGTERM) -> Process:
    """Start a program in a session of its own (a Ctrl-C in the terminal reaches only the parent, which ends its children in order); what it
    prints is appended to `log`. On Linux the kernel sends it `dies_by` when the thread that called this ends, however it ends."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        return subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=env, cwd=cwd,
                                start_new_session=True, preexec_fn=_before_exec(account, dies_by))


def run(argv: Sequence[str | Path], env: dict[str, str] | None = None, cwd: Path | str | None = None, account: str | None = None) -> str:
    """Run a program to its end and return what it printed; a failure raises RuntimeError with it."""
    done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=env, cwd=cwd, preexec_fn=_before_exec(account, signal.SIGTERM))
    text = done.stdout.decode(errors="replace")
    if done.returncode:
        raise RuntimeError(f"{Path(str(argv[0])).name} failed ({done.returncode}):\n{text[-4000:]}")
    return text


def end(process: Process, sig: signal.Signals = signal.SIGTERM, within: float = 20) -> None:
    """Ask a program to stop, wait `within` seconds, then kill it."""
    if process.poll() is None:
        process.send_signal(sig)
        try:
            process.wait(within)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(ready: Callable[[], bool], what: str, process: Process, log: Path, within: float = 60) -> None:
    """Poll `ready` until it says yes. A program that ends meanwhile, or takes longer, raises RuntimeError with the tail of its log."""
    until = time.monotonic() + within
    while not ready():
        ended = process.poll() is not None
        if ended or time.monotonic() > until:
            tail = log.read_text(errors="replace")[-3000:] if log.exists() else ""
            raise RuntimeError(f"{what} {'stopped at once' if ended else f'was not ready within {within:.0f} s'}; {log} ends:\n{tail}")
        time.sleep(0.05)
