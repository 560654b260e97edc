"""The whole product as processes: one trace through all of it, health, the oracle and its faults, and life without broker or database."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from aiokafka import AIOKafkaProducer

from deploy.local import clockfile, publisher, seed, trace, visitor
from deploy.local.processes import Product
from deploy.local.settled import settle
from deploy.local.tour import PRACTICE
from deploy.local.verify.__main__ import findings, report, verify
from deploy.local.verify.facts import gather
from shared.events import Topic
from shared.events.registry import TOPICS
from tests.whole import BAD_TRACE, Played

SERVICES = ("invoicing", "portal", "posting", "contracts", "notifier")
AWAY_SECONDS = 15


@pytest.mark.req("PF-04")
async def test_one_trace_goes_from_the_publisher_through_all_five_services_to_the_mail(played: Played) -> None:
    assert {span["service"] for span in played.spans} == set(SERVICES)
    assert [span["service"] for span in played.spans if span["name"] == "mail invoice_digest"] == ["notifier"]
    shown = trace.show(played.trace, played.product.plan.state)
    assert shown.startswith(f"trace {played.trace}\n") and "notifier: mail invoice_digest" in shown


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.req("PF-05")
async def test_a_service_says_how_it_is_and_logs_json_with_traces(played: Played, service: str) -> None:
    url = played.at["services"][service]
    async with httpx.AsyncClient(timeout=10) as http:
        assert (await http.get(f"{url}/health/live")).json() == {"status": "alive"}
        ready = await http.get(f"{url}/health/ready")
        assert ready.status_code == 200 and set(ready.json()["checks"]) == {"database", "schema", "consumers", "relay"}
        metrics = (await http.get(f"{url}/metrics")).text
    assert "billfold_records_total" in metrics and "billfold_published_total" in metrics and people_in(metrics) == []
    lines = [json.loads(line) for line in played.product.log(service).read_text().splitlines()]
    assert lines and all({"time", "level", "service", "logger", "message"} <= set(line) for line in lines)
    assert all(line["service"] == service for line in lines)
    assert people_in(json.dumps(lines)) == []


def people_in(text: str) -> list[str]:
    """The names and addresses of the sample's people that a text holds."""
    employers = publisher.lines(seed.DATA / "employers.jsonl")
    return [contact["email"] for each in employers for contact in each["contacts"] if contact["email"] in text or contact["name"] in text]


@pytest.mark.req("PF-05")
async def test_what_a_service_says_of_a_record_names_the_records_trace(played: Played) -> None:
    for name in SERVICES:
        lines = [json.loads(line) for line in played.product.log(name).read_text().splitlines()]
        said = [line for line in lines if " parks " in line["message"]]
        assert said and all(line["trace_id"] == BAD_TRACE.split("-")[1] for line in said), (name, said)


@pytest.mark.req("PF-06")
async def test_after_the_tour_the_oracle_finds_nothing(played: Played) -> None:
    assert len(played.told) >= 8, played.told
    found = await verify(played.at)
    assert not found, report(found)


@dataclass(frozen=True)
class Fault:
    """Something broken in a service's database, and the check that has to find it. `table` is put back afterwards."""

    what: str
    service: str
    table: str
    breaks: str
    found_by: str
    undo: str = "SELECT 1"


ABOVE = "never_above_the_notice"
FAULTS = (
    Fault("a ledger leg", "posting", "legs", "UPDATE legs SET amount_cents = amount_cents + 1 WHERE ctid = (SELECT ctid FROM legs LIMIT 1)",
          "ledger sums to zero"),
    Fault("an entry", "posting", "entries", "UPDATE entries SET change_cents = change_cents + 1 WHERE ctid = (SELECT ctid FROM entries LIMIT 1)",
          "balances equal entries"),
    Fault("a balance", "posting", "columns", "UPDATE columns SET charged_cents = charged_cents + 1 WHERE ctid = (SELECT ctid FROM columns LIMIT 1)",
          "receivables equal balances"),
    Fault("a captured payment", "portal", "payments", "DELETE FROM payments WHERE ctid = (SELECT ctid FROM payments ORDER BY record_no LIMIT 1)",
          "captures are recorded"),
    Fault("a posted payment", "posting", "payments",
          "DELETE FROM payments WHERE ctid = (SELECT ctid FROM payments WHERE source = 'portal' LIMIT 1)", "captures are posted"),
    Fault("a payment's share", "posting", "shares",
          "UPDATE shares SET applied_cents = applied_cents + 1 WHERE ctid = (SELECT ctid FROM shares LIMIT 1)",
          "applied money equals entries"),
    Fault("a copy's version", "portal", "invoices", "UPDATE invoices SET version = version + 1 WHERE ctid = (SELECT ctid FROM invoices LIMIT 1)",
          "copies equal owners"),
    Fault("a batch total", "posting", "payment_batches",
          "UPDATE payment_batches SET posted_cents = posted_cents + 1, target_cents = target_cents + 1"
          " WHERE ctid = (SELECT ctid FROM payment_batches LIMIT 1)", "batches balance"),
    Fault("an invoice's number", "invoicing", "invoice",
          "UPDATE invoice SET number = number + 100 WHERE number = (SELECT max(number) FROM invoice)", "numbers have no gaps"),
    Fault("a live attempt left", "portal", "live_invoices",
          "INSERT INTO live_invoices SELECT i.practice_id, i.invoice_id, a.attempt_id FROM invoices i JOIN attempts a USING (practice_id)"
          " WHERE a.state = 'captured' LIMIT 1", "nothing is claimed twice"),
    Fault("a mail marked sent that was not", "notifier", "mails",
          "UPDATE mails SET mail_id = mail_id || 'x' WHERE ctid = (SELECT ctid FROM mails WHERE state = 'sent' AND channel = 'email' LIMIT 1)",
          "mails are sent once"),
    Fault("a receipt", "notifier", "mails", "DELETE FROM mails WHERE template = 'receipt'", "payments have receipts"),
    Fault("a contract charge above its notice", "contracts", "charges", f"ALTER TABLE charges DROP CONSTRAINT ck_charges_{ABOVE};"
          " UPDATE charges SET noticed_cents = submitted_cents - 1 WHERE status = 'charged'", "contracts keep their word",
          f"ALTER TABLE charges ADD CONSTRAINT ck_charges_{ABOVE} CHECK (submitted_cents <= noticed_cents)"),
    Fault("a message left waiting", "posting", "waiting",
          "INSERT INTO waiting (consumer, event_id, need, topic, key, time, value) VALUES ('x', 'x', 'claim/0/0', 'claim.voided', '0/0', now(), '')",
          "nothing is stuck"),
    Fault("a record the handler refused", "posting", "parked",
          "INSERT INTO parked (consumer, topic, partition, \"offset\", parked_id, headers, error)"
          " VALUES ('x', 'claim.voided', 0, 0, 'x', '[]', 'the handler failed: ValueError')", "nothing is parked"),
)  # fmt: skip


@asynccontextmanager
async def broken(product: Product, fault: Fault) -> AsyncIterator[None]:
    """A fault for as long as the block runs; the table is as before afterwards."""
    connection = await asyncpg.connect(product.plan.admin_url.replace("+asyncpg", "").rsplit("/", 1)[0] + f"/{fault.service}")
    try:
        await connection.execute("SET session_replication_role = replica")  # neither triggers nor references are in the way
        await connection.execute(f"CREATE TEMP TABLE before_it AS SELECT * FROM {fault.table}")
        await connection.execute(fault.breaks)
        yield
    finally:
        own = "SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 AND attgenerated = '' AND NOT attisdropped"
        names = ", ".join(f'"{row[0]}"' for row in await connection.fetch(own, fault.table))
        async with connection.transaction():
            await connection.execute(f"DELETE FROM {fault.table}")
            await connection.execute(f"INSERT INTO {fault.table} ({names}) OVERRIDING SYSTEM VALUE SELECT {names} FROM before_it")
        await connection.execute(fault.undo)
        await connection.close()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what.replace(" ", "-"))
@pytest.mark.req("PF-06")
async def test_the_oracle_finds_what_is_broken(played: Played, fault: Fault) -> None:
    before = findings(await gather(played.at))
    async with broken(played.product, fault):
        found = findings(await gather(played.at))
    assert fault.found_by in found and fault.found_by not in before, report(found)


@pytest.mark.req("PF-06")
async def test_the_oracle_finds_a_claim_on_two_live_lines(played: Played) -> None:
    facts = await gather(played.at)
    line = next(each.body for each in facts.newest["invoice.line.state"].values() if each.body and each.body["status"] != "withdrawn")
    second = line | {"line_id": "second"}
    await tell(played, "invoice.line.state", "line_id", second)
    await settle(played.at)
    found = findings(await gather(played.at))
    await tell(played, "invoice.line.state", "line_id", second, gone=True)
    await settle(played.at)
    assert "claims are on one line" in found, report(found)
    assert not findings(await gather(played.at))


async def tell(played: Played, topic: str, key: str, body: dict[str, Any], gone: bool = False) -> None:
    """Says something on a topic as if its owner had."""
    headers = {"ce_specversion": "1.0", "ce_id": f"test-{time.time_ns()}", "ce_type": topic, "ce_source": "/test", "ce_time": "2026-11-22T12:00:00Z"}
    async with AIOKafkaProducer(bootstrap_servers=played.at["kafka"]) as producer:
        value = None if gone else Topic.encode(body)
        at = f"{body['practice_id']}/{body[key]}".encode()
        await producer.send_and_wait(TOPICS[topic].name, value, key=at, headers=[(name, words.encode()) for name, words in headers.items()])


async def health(played: Played) -> dict[str, tuple[int, int, dict[str, str]]]:
    """Each service's liveness and readiness, and what it says is missing."""
    found = {}
    async with httpx.AsyncClient(timeout=15) as http:
        for name, url in played.at["services"].items():
            live, ready = await http.get(f"{url}/health/live"), await http.get(f"{url}/health/ready")
            found[name] = (live.status_code, ready.status_code, ready.json()["checks"])
    return found


async def stays_away(played: Played, check: str, words: str) -> None:
    """Watches the services for as long as a part is gone: alive all the time, and within ten seconds not ready, saying why."""
    until, began = time.monotonic() + AWAY_SECONDS, time.monotonic()
    while time.monotonic() < until:
        for name, (live, ready, checks) in (await health(played)).items():
            assert live == 200
            if time.monotonic() - began > 10:
                assert ready == 503 and words in checks[check], (name, ready, checks)
        await asyncio.sleep(1)


async def well_again(played: Played) -> None:
    async with asyncio.timeout(60):
        while any(ready != 200 for _, ready, _ in (await health(played)).values()):
            await asyncio.sleep(0.5)


def alike(claim_id: str) -> dict[str, Any]:
    """A corporate claim of the sample under another id."""
    sample = next(each for each in publisher.lines(seed.DATA / "claims.jsonl") if each["practice_id"] == PRACTICE)
    charges = [each | {"charge_id": f"{claim_id}-{n}"} for n, each in enumerate(sample["charges"], 1)]
    return sample | {"claim_id": claim_id, "version": 1, "charges": charges}


async def publish(played: Played, claim_id: str) -> None:
    at = clockfile.now(Path(played.at["clock"]))
    await publisher.publish(played.at["kafka"], "claim.billed", [alike(claim_id)], "claim_id", at=at)


async def holds(played: Played, service: str, table: str, claim_id: str) -> None:
    """A claim is in a service, nothing new is parked, and the oracle is content."""
    await settle(played.at, 60)
    facts = await gather(played.at)
    assert claim_id in {row["claim_id"] for row in facts.rows(service, table)}
    assert not findings(facts), report(findings(facts))


async def parked(played: Played) -> int:
    facts = await gather(played.at)
    return sum(len(facts.rows(name, "parked")) for name in SERVICES)


@pytest.mark.req("PF-05", "PF-06")
async def test_without_a_broker_services_stay_up_say_why_and_go_on_by_themselves(played: Played) -> None:
    before, number = await parked(played), dict(running(played))
    played.product.stop_broker()
    async with await visitor.program(played.at) as http:
        employer = next(each for each in publisher.lines(seed.DATA / "employers.jsonl") if each["practice_id"] != PRACTICE)
        body = {"name": "Lantern Works", "address": employer["address"], "phone": "555-010-0101", "payer_ids": ["lantern"], "net_days": 30}
        url = f"{played.at['services']['invoicing']}/api/practices/{PRACTICE}/accounts"
        made = await http.post(url, json=body | {"frequency": "weekly", "weekday": 0}, headers={"Idempotency-Key": "while the broker is gone"})
        account = made.raise_for_status().json()["account_id"]
    await stays_away(played, "consumers", "the broker does not answer")
    played.product.start_broker()
    await well_again(played)
    await publish(played, "after-broker")
    await holds(played, "invoicing", "claim", "after-broker")
    facts = await gather(played.at)
    assert account in {row["account_id"] for row in facts.rows("portal", "accounts")}, "what waited in the outbox arrived"
    assert await parked(played) == before and dict(running(played)) == number


@pytest.mark.req("PF-05", "PF-06")
async def test_without_a_database_services_stay_up_say_why_and_park_nothing(played: Played) -> None:
    before, number = await parked(played), dict(running(played))
    played.product.stop_database()
    await publish(played, "while-database")
    await stays_away(played, "database", "the database does not answer")
    await publish(played, "while-database-2")
    played.product.start_database()
    await well_again(played)
    await holds(played, "invoicing", "claim", "while-database")
    await holds(played, "posting", "claims", "while-database-2")
    assert await parked(played) == before and dict(running(played)) == number


def running(played: Played) -> dict[str, int]:
    """The services' processes: the same before and after."""
    return {name: played.product.running[name].pid for name in SERVICES if played.product.running[name].poll() is None}
