"""Starts, kills and stops the parts of one product. The demo, the chaos tests and the benches use the same functions.

`with running(plan) as product:` gives a product with all services ready; `product.kill("posting")`, `product.start("posting")` and
`product.wait("posting")` are what a chaos test needs. Call them from one thread: on Linux a child ends with the thread that started it.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.local import children, kafka, postgres
from deploy.local import plan as plans
from deploy.local.places import ROOT, SAMPLE
from deploy.local.plan import DATABASE_ROLES, SERVICES, TOOLS, Plan, service_of
from shared.db import setup
from shared.migrate import migrate
from shared.settings import Kafka
from shared.topics import create

Say = Callable[[str], None]
BEFORE = ".before"  # in the name of a log of another checkout's code: that of the release before


@dataclass
class Product:
    """One product's running processes."""

    plan: Plan
    running: dict[str, children.Process] = field(default_factory=dict)
    code: dict[str, Path] = field(default_factory=dict)  # the checkout that each part was last started from
    database: postgres.Postgres | None = None
    broker: kafka.Kafka | None = None

    def start(self, name: str, code: Path = ROOT, module: Sequence[str] = (), **env: str) -> children.Process:
        """Start one instance of a service, or a tool, without waiting; `env` is added to its environment.

        `code` is the checkout that it runs from, `module` with its words what runs in the service's place.
        """
        argv = [sys.executable, "-m", *module] if module else _command(self.plan, name)
        env = _environment(self.plan, name) | {"PYTHONPATH": str(code)} | env
        self.code[name] = code
        self.running[name] = children.spawn(argv, self.log(name), env=env, cwd=code)
        return self.running[name]

    def wait(self, name: str, within: float = 60) -> None:
        """Until one service or tool says that it is ready; RuntimeError with the end of its log if it stops or takes longer."""
        children.wait_until(lambda: self.is_ready(name), name, self.running[name], self.log(name), within)

    def is_ready(self, name: str) -> bool:
        try:
            with urllib.request.urlopen(f"{self.plan.url(name)}/health/ready", timeout=3) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def kill(self, name: str) -> None:
        """SIGKILL, at whatever it was doing."""
        self.running[name].kill()
        self.running[name].wait()

    def stop(self, name: str) -> None:
        """SIGTERM, and time to finish."""
        children.end(self.running.pop(name))

    def instances(self) -> list[str]:
        """Every process of every service."""
        return [instance for service in present() for instance in plans.instances(service, self.plan.replicas)]

    def log(self, name: str) -> Path:
        """Where a part writes now: what another checkout's code says is kept apart from what this one's says."""
        return self.plan.logs / f"{name}{'' if self.code.get(name, ROOT) == ROOT else BEFORE}.log"

    def start_servers(self) -> None:
        """PostgreSQL and Kafka, with their data of last time."""
        self.start_database()
        self.start_broker()

    def start_database(self) -> None:
        """PostgreSQL, on its port and its data; waits until it accepts connections."""
        data, ports = self.plan.data / "postgres", self.plan.ports
        self.database = postgres.start(data, ports["postgres"], self.log("postgres"), throw_away=self.plan.throw_away)

    def stop_database(self) -> None:
        """Takes the database away, whoever is connected; `start_database` brings it back."""
        if self.database:
            postgres.stop(self.database)
            self.database = None

    def start_broker(self) -> None:
        """Kafka, on its ports and its data; waits until clients can use it."""
        data, ports = self.plan.data / "kafka", self.plan.ports
        self.broker = kafka.start(data, ports["kafka"], ports["kafka_controller"], self.log("kafka"))

    def stop_broker(self) -> None:
        """Takes the broker away; `start_broker` brings it back."""
        if self.broker:
            kafka.stop(self.broker)
            self.broker = None

    def prepare(self) -> None:
        """Databases with their roles, migrations, topics: what an operator does before the services start. Repeatable."""
        asyncio.run(_set_up(self.plan))

    def stop_all(self) -> None:
        """Services first, then tools, then the servers."""
        signalled = [self.running[name] for name in self.instances() if name in self.running]
        for process in signalled:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in signalled:
            children.end(process)
        for name in list(self.running):
            self.stop(name)
        self.stop_broker()
        self.stop_database()


def present() -> list[str]:
    """The services of this checkout."""
    return [name for name in SERVICES if (ROOT / "services" / name / "__main__.py").exists()]


def where(plan: Plan, users: dict[str, Any]) -> dict[str, Any]:
    """Addresses of everything and who can sign in: what programs need to act on the product. `operator` is for checks behind the scenes."""
    sample = json.loads((SAMPLE / "staff.json").read_text())
    return {
        "kafka": plan.kafka,
        "services": {name: plan.url(name) for name in present()},
        "mail": plan.url("mail"),
        "mail_api": f"{plan.url('mail')}/api/messages",
        "gateway": plan.url("gateway"),
        "oidc": plan.url("oidc"),
        "clock": str(plan.clock),
        "users": users | {"staff": {person["roles"][0]: person["sub"] for person in sample if len(person["roles"]) == 1}},
        "client": plans.program_client(plan),
        "operator": {"postgres": plan.admin_url, "gateway_secret": plan.secrets["gateway"]},
    }


@contextlib.contextmanager
def running(plan: Plan, say: Say = lambda line: None) -> Iterator[Product]:
    """A product with all its parts ready; everything ends with the block, however it ends."""
    product = Product(plan)
    try:
        plan.logs.mkdir(parents=True, exist_ok=True)
        clients = plan.state / "clients.json"
        clients.touch(mode=0o600)
        clients.write_text(json.dumps(plans.clients(plan)))
        began = time.monotonic()
        for name in TOOLS:
            product.start(name)
        product.start_servers()
        for name in TOOLS:
            product.wait(name)
        say(f"Kafka, PostgreSQL, sign-in, mailbox and card processor run ({time.monotonic() - began:.1f} s)")
        began = time.monotonic()
        product.prepare()
        say(f"databases and topics are ready ({time.monotonic() - began:.1f} s)")
        began = time.monotonic()
        if plan.replicas > 1:
            product.running["front"] = children.spawn(_front(plan), product.log("front"), env=plans.base_environment(plan), cwd=ROOT)
        for name in product.instances():
            product.start(name)
        for name in product.instances():
            product.wait(name)
        say(f"{', '.join(present()) or 'no services'} run ({time.monotonic() - began:.1f} s)")
        if missing := [name for name in SERVICES if name not in present()]:
            say(f"not there yet, skipped: {', '.join(missing)}")
        yield product
    finally:
        product.stop_all()


def _front(plan: Plan) -> list[str]:
    ways = [f"{plan.ports[name]}={','.join(str(plan.ports[each]) for each in plans.instances(name, plan.replicas))}" for name in present()]
    return [sys.executable, "-m", "deploy.local.front", *ways]


def _command(plan: Plan, name: str) -> list[str | Path]:
    python: list[str | Path] = [sys.executable, "-m"]
    if service_of(name) in SERVICES:
        return [*python, f"services.{service_of(name)}", "serve"]
    options: dict[str, list[str | Path]] = {"oidc": ["--clients", plan.state / "clients.json"], "mail": ["--smtp-port", str(plan.ports["smtp"])]}
    place = plan.state if name == "telemetry" else plan.data / "tools"
    return [*python, f"deploy.local.{name}", "--port", str(plan.ports[name]), "--data", place, *options.get(name, [])]


def _environment(plan: Plan, name: str) -> dict[str, str]:
    if service_of(name) in SERVICES:
        # Its owner's password is for migrations alone.
        return {key: value for key, value in plans.environment(plan, name).items() if key != "DATABASE_OWNER_URL"}
    return dict(os.environ) | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "GATEWAY_SECRET": plan.secrets["gateway"]}


async def _set_up(plan: Plan) -> None:
    for service in present():
        await setup(plan.admin_url, service, {role: plan.secrets[f"{service}_{role}"] for role in DATABASE_ROLES})
        await migrate(service, plans.environment(plan, service)["DATABASE_OWNER_URL"])
    await create(Kafka(kafka_servers=plan.kafka))
