"""The product in containers: python -m deploy.compose up | data | down | reset. Its state lies in .local/docker, its data in volumes.

`up` leaves `.local/demo.json` as the demo without Docker does, so that tour, verify and trace play against the containers.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from deploy.local import demo, names, seed
from deploy.local import plan as plans
from deploy.local.places import HOME, LOCAL, ROOT, is_free
from deploy.local.plan import OPENED, SERVICES, Plan

STATE = LOCAL / "docker"
# Published on this machine's loopback; each can be set in the environment, as PORTAL_PORT=9000.
PORTS = {"invoicing": 8001, "portal": 8002, "posting": 8003, "contracts": 8004, "notifier": 8005, "oidc": 8006, "gateway": 8007,
         "texts": 8024, "mail": 8025, "grafana": 3000, "telemetry": 4318, "kafka": 29092, "postgres": 25432}
READY_WITHIN = 180
READY = {"oidc": "/.well-known/openid-configuration"}  # which any provider has, in place of our own programs' page
LABEL = "label=com.docker.compose.project="
Say = Callable[[str], None]


def up() -> str:
    """Build what changed, start everything, wait until every service is ready."""
    if demo.runs():
        raise SystemExit("The demo of this checkout is running without Docker: `make demo-down` first.")
    if not _has_state(STATE) and _docker("volume", "ls", "--quiet", "--filter", LABEL + project(STATE)):
        raise SystemExit("The data of earlier containers is there, but not its passwords, which were in .local/docker: `make up-reset` removes it.")
    plan = make_plan(STATE, chosen_ports(os.environ))
    if taken := taken_ports(plan):
        raise SystemExit("\n".join(taken))
    build(plan)
    start(plan)
    demo.tell(plan, "ready", seed.known(plan) if seed.is_done(plan) else {})
    addresses = [f"portal {plan.url('portal')}/employerportal/", *(f"{name} {plan.url(name)}/staff" for name in SERVICES if name != "portal")]
    return " · ".join(["Billfold is up", *addresses, f"sign-in {plan.url('oidc')}/", f"mails {plan.url('mail')}/"])


def data() -> str:
    """Publish the sample: practices, accounts, contacts, claims week by week with their billing runs."""
    plan = kept_plan(STATE)
    if not seed.is_done(plan):
        if seed.is_begun(plan):
            raise SystemExit("The last `make up-data` was not finished: `make up-reset`, `make up`, `make up-data` do it anew.")
        if waiting := [part for part in OPENED if not is_ready(plan, part)]:
            raise SystemExit(f"Not ready: {', '.join(waiting)}. `make up` first.")
        plan.data.mkdir(exist_ok=True)
        names.known()
        demo.tell(plan, "ready", seed.run(plan, lambda line: print(f"  {line}", flush=True)))
    user = seed.known(plan).get("employer")
    return "The sample is there." + (f" {plan.url('portal')}/employerportal/ as {user['email']}, password {user['password']}" if user else "")


def down() -> str:
    """Remove the containers; the data stays in volumes."""
    compose(kept_plan(STATE), "down", "--remove-orphans")
    _untell()
    return "The containers are gone; the data stays. `make up` goes on, `make up-reset` forgets."


def reset() -> str:
    """Remove containers, volumes, settings and secrets; what there is of them, for a new clone has no settings."""
    remove(make_plan(STATE, PORTS))
    _untell()
    return "Containers and data are gone. `make up` starts anew."


def _untell() -> None:
    """`.local/demo.json` goes with the containers; that of a demo without Docker stays."""
    if not demo.runs():
        demo.FILE.unlink(missing_ok=True)


def chosen_ports(env: Mapping[str, str]) -> dict[str, int]:
    """A port for each name: `<NAME>_PORT` of the environment, else its own."""
    chosen = {name: env.get(f"{name.upper()}_PORT", str(port)) for name, port in PORTS.items()}
    if wrong := [f"{name.upper()}_PORT={port}" for name, port in chosen.items() if not (port.isdecimal() and 0 < int(port) < 65536)]:
        raise SystemExit(f"{', '.join(wrong)}: give a port from 1 to 65535.")
    return {name: int(port) for name, port in chosen.items()}


def taken_ports(plan: Plan) -> list[str]:
    """A line for each port that something else than this product's containers holds: which, who, and how to set another."""
    own = {int(port) for port in re.findall(r":(\d+)->", _containers(plan, "{{.Ports}}"))}
    lines = []
    for name, port in plan.ports.items():
        if name in PORTS and port not in own and not is_free(port):
            folder = _docker("ps", "--filter", f"publish={port}", "--format", '{{.Label "com.docker.compose.project.working_dir"}}')
            lines.append(f"Port {port} ({name}) is in use by {f'the containers of {folder}' if folder else 'another program'}: "
                         f"`{name.upper()}_PORT=… make up` takes another.")
    return lines


def make_plan(state: Path, ports: dict[str, int]) -> Plan:
    """The product's plan, with what containers are given of it written to `state`: settings, secrets, clients, folders for clock and spans."""
    plan = plans.make(state / "data", state, {**ports, "smtp": 0}, domain="localhost")
    state.chmod(0o700)
    (state / "ports.json").write_text(json.dumps(ports))
    settings = {"STATE": str(state)} | {f"{name.upper()}_PORT": str(port) for name, port in ports.items()}
    settings |= {f"SECRET_{name.upper()}": secret for name, secret in plan.secrets.items()}
    _env(plan).write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    (state / "clients.json").write_text(json.dumps(plans.clients(plan)))
    (state / "clients.json").chmod(0o644)  # the folder above is closed; in a container another account reads it
    plan.clock.parent.mkdir(mode=0o755, exist_ok=True)
    (state / "spans").mkdir(exist_ok=True)
    (state / "spans").chmod(0o777)
    return plan


def kept_plan(state: Path) -> Plan:
    """The plan of the last `up`."""
    if not _has_state(state):
        raise SystemExit("There is nothing in containers yet: `make up` first.")
    return make_plan(state, json.loads((state / "ports.json").read_text()))


def _has_state(state: Path) -> bool:
    return (state / "ports.json").exists() and (state / "secrets.json").exists()


def build(plan: Plan) -> None:
    compose(plan, "build", "--quiet")


def start(plan: Plan, within: float = READY_WITHIN) -> None:
    """Jobs and services in their order; RuntimeError with the last lines of each job that failed, or service that is not ready in time."""
    try:
        compose(plan, "up", "--detach", "--remove-orphans")
    except RuntimeError as error:
        failed = _containers(plan, '{{.Label "com.docker.compose.service"}}', "--all", "--filter", "exited=1").split()
        raise RuntimeError(f"{error}{compose(plan, 'logs', '--no-color', '--tail=5', *failed) if failed else ''}") from None
    until = time.monotonic() + within
    waiting = list(OPENED)
    while waiting := [part for part in waiting if not is_ready(plan, part)]:
        if time.monotonic() > until:
            raise RuntimeError(f"not ready within {within:.0f} s: {', '.join(waiting)}\n" + compose(plan, "logs", "--tail=20", *waiting))
        time.sleep(0.2)


def is_ready(plan: Plan, part: str) -> bool:
    url = f"http://127.0.0.1:{plan.ports[part]}{READY.get(part, '/health/ready')}"
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=3) as answer:
        return bool(answer.status == 200)
    return False


def remove(plan: Plan) -> None:
    """Everything of a product, with its data."""
    compose(plan, "down", "--volumes", "--remove-orphans", "--timeout", "10")
    shutil.rmtree(plan.state, ignore_errors=True)  # what a telemetry of another account left may stay


def project(state: Path) -> str:
    """The name that Docker knows a product by: the checkout's own, whatever else runs on the machine; others are named as their state's folder."""
    return HOME.name if state == STATE else f"billfold-{state.name}"


def compose(plan: Plan, *words: str) -> str:
    """What docker compose says to these words; RuntimeError with it when it fails."""
    argv = [*_program(), "--project-name", project(plan.state), "--env-file", str(_env(plan)), *words]
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"docker compose {words[0]} failed:\n{done.stdout[-6000:]}")
    return done.stdout


def _containers(plan: Plan, what: str, *words: str) -> str:
    """A line of this for each container of the product that runs, or that `words` ask for."""
    return _docker("ps", "--filter", LABEL + project(plan.state), "--format", what, *words)


def _docker(*words: str) -> str:
    """What docker says to these words; RuntimeError with it when it fails."""
    try:
        done = subprocess.run(["docker", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except FileNotFoundError:
        raise SystemExit("Docker is not installed. `make demo` needs none.") from None
    if done.returncode:
        raise RuntimeError(done.stdout.strip())
    return done.stdout.strip()


def _program() -> list[str]:
    """Compose as Docker's plugin, or the program of its own that older installations have."""
    if shutil.which("docker") and subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    raise SystemExit("Neither `docker compose` nor `docker-compose` is installed. `make demo` needs no Docker.")


def _env(plan: Plan) -> Path:
    file = plan.state / "env"
    file.touch(mode=0o600)
    return file


COMMANDS = {"up": up, "data": data, "down": down, "reset": reset}


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1] not in COMMANDS:
        raise SystemExit(f"usage: python -m deploy.compose {'|'.join(COMMANDS)}")
    try:
        print(COMMANDS[sys.argv[1]]())
    except RuntimeError as error:
        raise SystemExit(f"This did not work: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit("\nInterrupted.") from None


if __name__ == "__main__":
    main()
