"""Images of this checkout, and a product of its own in containers. One clear skip where Docker does not answer or no Python base is to be had."""

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from deploy import compose
from deploy.local import names
from deploy.local.places import free_port, home
from deploy.local.plan import Plan

STANDINS = {
    "PYTHON_IMAGE": "standin/python:3.11",
    "KAFKA_IMAGE": "standin/kafka:4.3.1",
    "POSTGRES_IMAGE": "standin/postgres:18",
    "MAIL_IMAGE": "standin/mailpit",
    "TELEMETRY_IMAGE": "standin/otel-lgtm",
}


def docker(*words: str) -> str:
    """What docker says to these words; RuntimeError with it when it fails."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"docker {' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout


def say(request: pytest.FixtureRequest, words: str) -> None:
    """A figure for whoever reads the run, whatever becomes of what tests print: machines differ, so nothing is decided by it."""
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n  {words}", flush=True)


@dataclass(frozen=True)
class Stack:
    """A product in containers with state, ports and data of its own."""

    plan: Plan

    def compose(self, *words: str) -> str:
        return compose.compose(self.plan, *words)

    def container(self, name: str) -> str:
        """The id of a part's container, whether it runs or has ended."""
        return docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={compose.project(self.plan.state)}",
                      "--filter", f"label=com.docker.compose.service={name}").strip()  # fmt: skip

    def moment(self, name: str, which: str) -> datetime:
        """When a part's container last did this: StartedAt or FinishedAt."""
        found = docker("inspect", "--format", f"{{{{.State.{which}}}}}", self.container(name)).strip()
        return datetime.fromisoformat(found[:26].rstrip("Z") + "+00:00")


@pytest.fixture(scope="session")
def base() -> str:
    """The Python base; images come from the environment, else from stand-ins that are here."""
    try:
        here = docker("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    except (OSError, RuntimeError) as error:
        pytest.skip(f"Docker does not answer: {str(error).strip().splitlines()[-1]}")
    for name, image in STANDINS.items():
        if image in here or f"{image}:latest" in here:
            os.environ.setdefault(name, image)
    image = os.environ.get("PYTHON_IMAGE", "python:3.11-slim-bookworm")
    try:
        if image not in here:
            docker("pull", "--quiet", image)
    except RuntimeError as error:
        pytest.skip(f"{image} is not to be had, and deploy/images/standins/build was not run: {str(error).strip().splitlines()[-1]}")
    return image


@pytest.fixture(scope="session")
def plan(base: str, request: pytest.FixtureRequest) -> Iterator[Plan]:
    """Ports and secrets of a product, and its images of this checkout."""
    for old in home().glob("containers-*"):
        if not Path(f"/proc/{old.name.removeprefix('containers-')}").exists():
            compose.remove(compose.kept_plan(old))
    plan = compose.make_plan(home() / f"containers-{os.getpid()}", {name: free_port() for name in compose.PORTS})
    try:
        began = time.monotonic()
        compose.build(plan)
        say(request, f"images: all built in {time.monotonic() - began:.0f} s, with what Docker has kept (each may take 180 s without)")
        names.known()
        yield plan
    finally:
        compose.remove(plan)


@pytest.fixture(scope="module")
def stack(plan: Plan) -> Iterator[Stack]:
    """Nothing runs at first; what a test starts is there for the module's next, and gone with its data at the end."""
    yield Stack(plan)
    compose.compose(plan, "down", "--volumes", "--remove-orphans", "--timeout", "10")
