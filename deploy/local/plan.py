"""One running product as data: ports, secrets, addresses, and the environment of each service."""

import json
import os
import secrets as random
import sys
from dataclasses import dataclass
from pathlib import Path

from deploy.local.places import ROOT
from shared.auth import ROLES
from shared.sealing import new_keys

SERVICES = ("invoicing", "portal", "posting", "contracts", "notifier")
TOOLS = ("telemetry", "oidc", "mail", "gateway")
PARTS = ("kafka", "kafka_controller", "postgres", *TOOLS, "smtp", *SERVICES)
OPENED = (*SERVICES, "oidc", "gateway")  # by people, and by services on their way
DATABASE_ROLES = ("owner", "app", "worker")
PYTHON = sys.executable
PROGRAM = "demo"  # the client id of programs: seed, tour, tests
PROGRAM_SCOPES = sorted(frozenset().union(*ROLES.values()) | {"invoices:read"})


@dataclass(frozen=True)
class Plan:
    """Where the parts of one product are and what they know of each other. `data` is the servers', `state` small files, `logs` one per part.

    With several `replicas` of each service, its own port is that of the balancer before them, and each instance has one of its own.
    With a `domain` what people open has names in it, which mean the same part in a browser here and in a container.
    """

    data: Path
    state: Path
    ports: dict[str, int]
    secrets: dict[str, str]
    throw_away: bool = False
    replicas: int = 1
    domain: str = ""

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def clock(self) -> Path:
        """Seconds added to the system's time, for everyone's business clock; containers get its folder, where they see it replaced."""
        return self.state / "clock" / "seconds" if self.domain else self.state / "clock"

    @property
    def kafka(self) -> str:
        return f"127.0.0.1:{self.ports['kafka']}"

    @property
    def admin_url(self) -> str:
        return f"postgresql+asyncpg://postgres:{self.secrets['postgres']}@127.0.0.1:{self.ports['postgres']}/postgres"

    def url(self, part: str) -> str:
        host = f"{part}.{self.domain}" if self.domain and part in OPENED else "127.0.0.1"
        return f"http://{host}:{self.ports[part]}"

    def database(self, service: str, role: str) -> str:
        password = self.secrets[f"{service}_{role}"]
        return f"postgresql+asyncpg://{service}_{role}:{password}@127.0.0.1:{self.ports['postgres']}/{service}"


def instances(service: str, replicas: int) -> list[str]:
    """The names of a service's processes: its own where it has one, else `<service>.<replica>`."""
    return [service] if replicas == 1 else [f"{service}.{replica}" for replica in range(replicas)]


def service_of(instance: str) -> str:
    return instance.partition(".")[0]


def make(data: Path, state: Path, ports: dict[str, int], throw_away: bool = False, replicas: int = 1, domain: str = "") -> Plan:
    """A plan with these places; its secrets are made on first use and kept in `state`."""
    state.mkdir(parents=True, exist_ok=True)
    file = state / "secrets.json"
    known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    names = [f"{service}_{use}" for service in SERVICES for use in (*DATABASE_ROLES, "session", "client")]
    wanted = {name: random.token_urlsafe(24) for name in (*names, "gateway", "postgres", PROGRAM)}
    if "sealing_public" not in known:
        wanted["sealing_public"], wanted["sealing_private"] = new_keys()
    file.touch(mode=0o600)
    file.write_text(json.dumps(wanted | known, indent=1))
    return Plan(data, state, ports, wanted | known, throw_away, replicas, domain)


def clients(plan: Plan) -> dict[str, dict[str, object]]:
    """Who may use the provider: each service, for its pages and its calls to others, and the programs of the demo."""
    services: dict[str, dict[str, object]] = {
        name: {"secret": plan.secrets[f"{name}_client"], "url": plan.url(name), "scopes": PROGRAM_SCOPES if name == "portal" else []}
        for name in SERVICES
    }
    return services | {PROGRAM: {"secret": plan.secrets[PROGRAM], "url": None, "scopes": PROGRAM_SCOPES}}


def environment(plan: Plan, instance: str) -> dict[str, str]:
    """What a service is started and migrated with; only the notifier gets the private key."""
    service, _, replica = instance.partition(".")
    owner = {"DATABASE_OWNER_URL": plan.database(service, "owner")}
    return base_environment(plan) | owner | {
        "DATABASE_APP_URL": plan.database(service, "app"),
        "DATABASE_WORKER_URL": plan.database(service, "worker"),
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": str(plan.ports[instance]),
        "PUBLIC_URL": plan.url(service),
        "REPLICA": replica or "0",
        "OIDC_ISSUER": plan.url("oidc"),
        "OIDC_CLIENT_ID": service,
        "OIDC_CLIENT_SECRET": plan.secrets[f"{service}_client"],
        "SESSION_SECRET": plan.secrets[f"{service}_session"],
        "PORTAL_URL": plan.url("portal"),
        "STAFF_LINKS": json.dumps({name: plan.url(name) for name in SERVICES}),
    } | _own(plan, service)


def _own(plan: Plan, service: str) -> dict[str, str]:
    gateway = {"GATEWAY_URL": plan.url("gateway"), "GATEWAY_SECRET": plan.secrets["gateway"]}
    sealing = {"SEALING_PUBLIC_KEY": plan.secrets["sealing_public"]}
    match service:
        case "portal":
            return gateway | sealing | {"INVOICING_URL": plan.url("invoicing")}
        case "contracts":
            return gateway | sealing
        case "notifier":
            return {"SEALING_PRIVATE_KEY": plan.secrets["sealing_private"], "SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(plan.ports["smtp"]),
                    "MAIL_SENDER": "billing@billfold.example", "SMS_URL": f"{plan.url('mail')}/sms"}
    return {}


def base_environment(plan: Plan) -> dict[str, str]:
    """What every program of the product is started with."""
    return dict(os.environ) | {
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "KAFKA_SERVERS": plan.kafka,
        "CLOCK_FILE": str(plan.clock),
        "OTEL_EXPORTER_OTLP_ENDPOINT": plan.url("telemetry"),
        "TRACE_SAMPLE": "1.0",
        "LOG_LEVEL": "INFO",
    }


def program_client(plan: Plan) -> dict[str, str]:
    """How a program gets a token for the services' APIs."""
    return {"token_url": f"{plan.url('oidc')}/token", "client_id": PROGRAM, "client_secret": plan.secrets[PROGRAM]}
