"""What a service's image holds, and how it runs."""

import json

import pytest

from deploy.local.plan import SERVICES
from tests.containers.conftest import Stack, docker

MOST_BEYOND_BASE = 250_000_000
LISTED = """
import importlib.metadata, json, os, pathlib
try:
    pathlib.Path("/app/left-behind").touch()
    writes = True
except OSError:
    writes = False
print(json.dumps({
    "services": sorted(p.name for p in pathlib.Path("/app/services").iterdir() if p.is_dir() and p.name != "__pycache__"),
    "top": sorted(p.name for p in pathlib.Path("/app").iterdir()),
    "packages": sorted(each.name.lower() for each in importlib.metadata.distributions()),
    "account": os.getuid(),
    "writes": writes,
}))
"""
EXTRAS = {"invoicing": {"typst"}, "portal": {"argon2-cffi", "typst"}, "posting": set(), "contracts": {"pypdf", "typst"}, "notifier": {"aiosmtplib"}}


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.req("PF-01")
def test_an_image_holds_one_service_and_its_packages_and_runs_without_root_on_a_file_system_that_takes_nothing(stack: Stack, service: str) -> None:
    words = ("run", "--rm", "--read-only", "--cap-drop=ALL", "--network=none", "--entrypoint=python", f"billfold/{service}", "-c", LISTED)
    found = json.loads(docker(*words))
    assert found["services"] == [service]
    assert found["top"] == ["services", "shared"]
    assert found["account"] == 10001 and not found["writes"]
    assert set().union(*EXTRAS.values()) & set(found["packages"]) == EXTRAS[service]
    assert not {"pytest", "pip", "ruff"} & set(found["packages"])


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.req("PF-01")
def test_an_image_adds_less_than_250_megabytes_to_its_base(stack: Stack, base: str, service: str) -> None:
    size, of_base = (int(docker("image", "inspect", "--format", "{{.Size}}", image)) for image in (f"billfold/{service}", base))
    assert size - of_base < MOST_BEYOND_BASE
