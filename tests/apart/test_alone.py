"""No service has anything of another: code, tables, rights, passwords."""

import ast
import re
from functools import cache
from importlib import import_module
from pathlib import Path

import asyncpg
import pytest

from deploy.local import plan as plans
from deploy.local.places import ROOT
from deploy.local.processes import _environment
from shared.db import asyncpg_url
from shared.events.registry import SERVICES
from tests.conftest import Database as Server

NAMED = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE|TABLE|USING)\s+(?:ONLY\s+)?\"?([a-z_]+)\"?", re.IGNORECASE)
ELSEWHERE = re.compile(r"dblink|postgres_fdw|FOREIGN (?:TABLE|SERVER)", re.IGNORECASE)
SHARED_WITH = {"gateway": ("portal", "contracts"), "sealing_public": ("portal", "contracts"), "sealing_private": ("notifier",)}


@cache
def tables(service: str) -> frozenset[str]:
    return frozenset(import_module(f"services.{service}.tables").metadata.tables)


def texts(service: str) -> list[tuple[Path, str]]:
    """Every text in a service's code, its revisions among them."""
    files = sorted((ROOT / "services" / service).rglob("*.py"))
    nodes = [(file, node) for file in files for node in ast.walk(ast.parse(file.read_text()))]
    return [(file, node.value) for file, node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.req("PF-01")
def test_the_sql_of_a_service_names_its_own_tables_only(service: str) -> None:
    others = frozenset().union(*(tables(other) for other in SERVICES if other != service)) - tables(service)
    strange = [(file.name, name) for file, text in texts(service) for name in NAMED.findall(text) if name in others]
    assert strange == []
    assert [file.name for file, text in texts(service) if ELSEWHERE.search(text)] == []
    assert {name for _, text in texts(service) for name in NAMED.findall(text)} & tables(service), "the check reads SQL"


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.req("PF-01")
async def test_no_role_of_a_service_gets_into_the_database_of_another(postgres: Server, service: str) -> None:
    for each in SERVICES:
        await postgres.migrated(each)
    own = postgres.urls(service)
    for url in (own.owner, own.app, own.worker):
        connection = await asyncpg.connect(asyncpg_url(url))
        assert await connection.fetchval("SELECT count(*) FROM pg_extension WHERE extname <> 'plpgsql'") == 0
        others = "SELECT rolname FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%' AND rolname <> current_user AND pg_has_role(oid, 'MEMBER')"
        assert await connection.fetch(others) == []
        await connection.close()
        for other in SERVICES:
            if other != service:
                with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied for database"):
                    await asyncpg.connect(asyncpg_url(url).rsplit("/", 1)[0] + f"/{other}")


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.req("PF-01")
def test_the_environment_of_a_service_holds_its_own_secrets_only(service: str, tmp_path: Path) -> None:
    plan = plans.make(tmp_path, tmp_path, {name: number for number, name in enumerate(plans.PARTS, 20000)})
    own = {f"{service}_{use}" for use in ("app", "worker", "session", "client")}
    own |= {name for name, services in SHARED_WITH.items() if service in services}
    served = " ".join(_environment(plan, service).values())
    assert {name for name, secret in plan.secrets.items() if secret in served} == own
    migrated = " ".join(plans.environment(plan, service).values())
    assert {name for name, secret in plan.secrets.items() if secret in migrated} == own | {f"{service}_owner"}
