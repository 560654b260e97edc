"""Every service on every topic it reads: what nobody can read is answered with its place and reason, and the rest flows on."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord
from sqlalchemy import text

from deploy.docs import ENVIRONMENT
from deploy.local.places import ROOT
from shared import parking
from shared.clock import FixedClock
from shared.db import Database
from shared.events import Topic
from shared.events.registry import TOPICS
from shared.kafka import Consumption
from shared.messages import Unreadable
from tests.conftest import Database as Server
from tests.contract.carried import subscribed
from tests.contract.schemas import EVENTS
from tests.flows.world import NOON, REGISTERS, Registrar
from tests.shared.conftest import KEY, MALFORMED, Bad, envelope
from tests.shared.test_consumption import until

EXAMPLE = (EVENTS / "examples" / "claim.billed.json").read_bytes()
NO_KEY = ({}, None, b"{}", "key")  # the broker takes it on topics of facts only
NO_BODY = ({}, KEY, None, "$")  # deletes on state topics
TOO_LARGE = ({}, KEY, b" " * 2_000_000, "$")  # the broker takes it from outside only


def bad_on(topic: Topic[Any]) -> list[Bad]:
    more = [(NO_KEY, not topic.versioned), (NO_BODY, not topic.deletable), (TOO_LARGE, topic.writer == "ingress")]
    return [*MALFORMED.values(), *(row for row, possible in more if possible)]


@pytest.fixture(scope="module")
async def sent(topics: str) -> str:
    """The broker with every kind of bad record on every topic, and one good claim behind them."""
    async with AIOKafkaProducer(bootstrap_servers=topics, enable_idempotence=True, max_request_size=8 * 1024 * 1024) as producer:
        for topic in TOPICS.values():
            for headers, key, body, _ in bad_on(topic):
                await producer.send_and_wait(topic.name, body, key=key, headers=envelope(topic, **headers))
        claim = TOPICS["claim.billed"]
        at = claim.key_of(claim.decode(EXAMPLE)).encode()
        await producer.send_and_wait(claim.name, EXAMPLE, key=at, headers=envelope(claim))
    return topics


@asynccontextmanager
async def consuming(service: str, db: Database, servers: str) -> AsyncIterator[list[Consumption]]:
    """A service's own subscriptions, running."""
    registrar: Any = Registrar(service, db, FixedClock(NOON))
    for register in REGISTERS[service]:
        register(registrar)
    async with subscribed(registrar.consumptions, servers):
        yield registrar.consumptions


def command(service: str, urls: Any, *words: str) -> "subprocess.CompletedProcess[str]":
    env = os.environ | ENVIRONMENT | {"PYTHONPATH": str(ROOT), "DATABASE_APP_URL": urls.app, "DATABASE_WORKER_URL": urls.worker}
    argv = [sys.executable, "-m", f"services.{service}", *words]
    return subprocess.run(argv, env=env, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("service", REGISTERS)
@pytest.mark.req("PF-02")
async def test_a_bad_record_on_any_topic_of_a_service_is_answered(postgres: Server, sent: str, service: str) -> None:
    urls = await postgres.migrated(service)
    db = Database(urls.worker, "test")

    async def rows(query: str, count: int) -> list[Any]:
        async with db.begin() as tx:
            found = list(await tx.execute(text(query)))
        return found if len(found) >= count else []

    try:
        async with consuming(service, db, sent) as consumptions:
            wanted = sorted((topic.name, path) for each in consumptions for topic in each.handlers for _, _, _, path in bad_on(topic))
            parked = await until(lambda: rows("SELECT topic, path, parked_id FROM parked", len(wanted)), 60)
            assert sorted((row.topic, row.path) for row in parked) == wanted
            if service in ("invoicing", "posting"):
                table = {"invoicing": "claim", "posting": "claims"}[service]
                assert [row.claim_id for row in await until(lambda: rows(f"SELECT claim_id FROM {table}", 1))] == ["X-1001"]
        reports = [json.loads(row.value) for row in await rows(f"SELECT value FROM outbox WHERE topic = '{service}.dead_letter'", 0)]
        assert sorted((each["topic"], each["path"]) for each in reports) == wanted
    finally:
        await db.close()


@pytest.mark.req("PF-02")
async def test_a_record_that_was_parked_by_our_mistake_is_replayed_by_its_id(postgres: Server) -> None:
    urls, topic = await postgres.migrated("posting"), TOPICS["claim.billed"]
    db = Database(urls.worker, "test")
    key = topic.key_of(topic.decode(EXAMPLE)).encode()
    record = ConsumerRecord(topic.name, 0, 0, 0, 0, key, EXAMPLE, None, 0, len(EXAMPLE), tuple(envelope(topic)))
    try:
        async with db.begin() as tx:
            await parking.park(tx, "posting", "posting.claims", record, ValueError("since mended"))
            await parking.park(tx, "posting", "posting.claims", replace(record, offset=1, value=b"{"), Unreadable("$", "a field is missing"))
        [line, other, count] = command("posting", urls, "parked").stdout.splitlines()
        assert "claim.billed/0/0" in line and line.endswith("the handler failed: ValueError: since mended")
        assert other.endswith("a field is missing at $") and count == "2 parked records"
        assert command("posting", urls, "replay", line.split()[0]).stdout == "1 records replayed\n"
        async with db.begin() as tx:
            assert (await tx.execute(text("SELECT claim_id FROM claims"))).scalars().all() == ["X-1001"]
        again = command("posting", urls, "replay")
        assert again.returncode == 1 and again.stderr == "0 records replayed, 1 still fail\n"
        left = command("posting", urls, "parked").stdout.splitlines()[0]
        assert "tried 2×" in left and left.count(" at $") == 1
        assert command("posting", urls, "replay", "p-1").stderr == "0 records replayed; nothing is parked under p-1\n"
    finally:
        await db.close()
