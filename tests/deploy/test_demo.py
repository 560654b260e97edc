"""What the demo's commands stand on: the plan of a product, ports, the clock file, the bootstrap."""

import ast
import json
import socket
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from deploy.local import bootstrap, clockfile, places
from deploy.local import plan as plans
from deploy.local.plan import PARTS, SERVICES, Plan
from shared.events.registry import TOPICS


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plans.make(tmp_path / "data", tmp_path / "state", {name: 20000 + n for n, name in enumerate(PARTS)})


def test_secrets_are_made_once_kept_privately_and_differ(plan: Plan, tmp_path: Path) -> None:
    again = plans.make(plan.data, plan.state, plan.ports)
    assert again == plan
    assert len(set(plan.secrets.values())) == len(plan.secrets)
    assert (plan.state / "secrets.json").stat().st_mode & 0o077 == 0


def test_only_the_notifier_gets_the_private_key_and_only_those_who_charge_the_gateways_secret(plan: Plan) -> None:
    environments = {name: plans.environment(plan, name) for name in SERVICES}
    assert {name for name, env in environments.items() if plan.secrets["sealing_private"] in env.values()} == {"notifier"}
    assert {name for name, env in environments.items() if plan.secrets["gateway"] in env.values()} == {"portal", "contracts"}
    for name, env in environments.items():
        others = [plan.secrets[f"{other}_{use}"] for other in SERVICES if other != name for use in ("owner", "app", "worker", "session", "client")]
        assert not [secret for secret in others if any(secret in value for value in env.values())]


def test_ports_stay_the_same_unless_another_program_took_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "LOCAL", tmp_path)
    first = places.ports(["kafka", "mail"])
    assert places.ports(["kafka", "mail"]) == first
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first["mail"]))
        taken.listen()
        assert places.kept_ports() == first  # a command of the running demo asks where it is, and moves nothing
        moved = places.ports(["kafka", "mail"])
    assert moved["kafka"] == first["kafka"] and moved["mail"] != first["mail"]
    monkeypatch.setenv("MAIL_PORT", str(first["mail"]))
    assert places.ports(["mail"]) == {"mail": first["mail"]}


def test_the_clock_file_moves_business_time_by_whole_seconds(tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    assert abs(clockfile.now(clock) - datetime.now(UTC)) < timedelta(seconds=1)
    clockfile.put(clock, datetime(2026, 7, 27, 13, tzinfo=UTC))
    later = clockfile.move(clock, timedelta(days=5))
    assert abs(later - datetime(2026, 8, 1, 13, tzinfo=UTC)) < timedelta(seconds=5)
    assert str(int(clock.read_text())) == clock.read_text()


def test_what_runs_before_the_packages_are_there_needs_python_alone() -> None:
    for module in (bootstrap.__file__, str(Path(bootstrap.__file__).with_name("__main__.py"))):
        tree = ast.parse(Path(module).read_text())
        imported = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
        imported |= {node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)}
        assert {name.split(".")[0] for name in imported} - {"deploy"} <= sys.stdlib_module_names


def test_the_pinned_requirements_name_no_registry() -> None:
    files = sorted((places.ROOT / "requirements").glob("*.txt"))
    assert {file.stem for file in files} >= {*SERVICES, "dev"}
    for file in files:
        assert "://" not in file.read_text() and "index" not in file.read_text()


def test_the_sample_practices_are_those_of_the_sample_data() -> None:
    sample = places.SAMPLE
    practices = {practice["practice_id"]: practice for practice in json.loads((sample / "practices.json").read_text())}
    departments = [json.loads(line) for line in (sample / "data" / "departments.jsonl").read_text().splitlines()]
    assert set(practices) == {department["practice_id"] for department in departments}
    for id_, practice in practices.items():
        named = {d["merchant_location_id"] for d in departments if d["practice_id"] == id_ and d["merchant_location_id"]}
        assert {location["merchant_location_id"] for location in practice["merchant_locations"]} == named
        assert practice["logo"] is None or (sample / practice["logo"]).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("file, topic", [
    ("claims", "claim.billed"), ("claim_corrections", "claim.billed"), ("patients", "patient.state"), ("appointments", "appointment.state"),
    ("departments", "department.state")])
def test_the_sample_data_has_the_shapes_of_the_ingress_topics(file: str, topic: str) -> None:
    for line in (places.SAMPLE / "data" / f"{file}.jsonl").read_bytes().splitlines():
        body = TOPICS[topic].decode(line)
        assert TOPICS[topic].key_of(body).startswith(f"{msgspec.json.decode(line)['practice_id']}/")
