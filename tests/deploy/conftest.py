"""The local tools as processes of their own, one of each for the run."""

import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from deploy.local import children
from deploy.local.places import ROOT, free_port
from shared.gateway import SandboxGateway

SECRET = "secret-of-the-tests"


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., tuple[str, children.Process]]]:
    """Starts `python -m deploy.local.<name>` on a free port (or `port`) with its data in `data`; gives its address and process."""
    started: list[children.Process] = []

    def start(name: str, *options: str, data: Path | None = None, port: int = 0, **env: str) -> tuple[str, children.Process]:
        port = port or free_port()
        place = data or tmp_path_factory.mktemp(name)
        log = tmp_path_factory.mktemp("logs") / f"{name}.log"
        argv = [sys.executable, "-m", f"deploy.local.{name}", "--port", str(port), "--data", str(place), *options]
        process = children.spawn(argv, log, env=dict(os.environ) | env, cwd=ROOT)
        started.append(process)
        children.wait_until(lambda: _ready(port), name, process, log, within=20)
        return f"http://127.0.0.1:{port}", process

    yield start
    for process in started:
        children.end(process)


def _ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=1).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
async def sandbox(tool: Callable[..., tuple[str, children.Process]]) -> AsyncIterator[SandboxGateway]:
    """The adapter of the product, at a sandbox processor of its own."""
    url, _ = tool("gateway", GATEWAY_SECRET=SECRET)
    gateway = SandboxGateway(url, SECRET)
    yield gateway
    await gateway.close()
