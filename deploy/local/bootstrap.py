"""Makes `.venv` from the pinned requirements. It is the only module here that must run with Python alone."""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
REQUIREMENTS = ROOT / "requirements" / "dev.txt"


def run_in_venv() -> None:
    """Go on in the project's virtual environment, which is made, or brought up to date, first. Returns only when we are in it."""
    if sys.version_info < (3, 11):  # noqa: UP036 - people try with what they have
        raise SystemExit(f"Billfold needs Python 3.11 or newer; this is {sys.version.split()[0]}. Try: make PYTHON=python3.12 demo")
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    stamp = VENV / "requirements.sha256"
    if not PYTHON.exists() or not stamp.exists() or stamp.read_text() != wanted:
        _install()
        stamp.write_text(wanted)
    if Path(sys.prefix).resolve() != VENV.resolve():
        os.execv(PYTHON, [str(PYTHON), "-m", "deploy.local", *sys.argv[1:]])


def _install() -> None:
    began = time.monotonic()
    if not PYTHON.exists():
        print("Making a virtual environment in .venv …", flush=True)
        if subprocess.run([sys.executable, "-m", "venv", str(VENV)]).returncode:
            raise SystemExit("Python could not make a virtual environment. On Debian and Ubuntu: apt install python3-venv")
    print("Installing the pinned packages, about a minute the first time …", flush=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--require-hashes", "-r", str(REQUIREMENTS)]
    if subprocess.run(pip).returncode:
        raise SystemExit("The packages could not be installed; what pip says is above.")
    print(f"Packages are installed ({time.monotonic() - began:.0f} s)", flush=True)
