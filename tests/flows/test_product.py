"""The whole product as processes: one trace through all of it, health, the oracle and its faults, and life without broker or database."""

import asyncio
import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local import clockfile, publisher, seed, trace, visitor
from deploy.local.settled import settle, watching
from deploy.local.tour import PRACTICE
from deploy.local.verify.__main__ import CHECKS, findings, report, verify
from deploy.local.verify.facts import gather
from tests.contract.schemas import records, wrong
from tests.flows.faults import FAULTS, LIES, Fault, Lie, broken, said, tell, unreadable
from tests.whole import BAD, BAD_TRACE, STAYS_OPEN, Played

SERVICES = ("invoicing", "portal", "posting", "contracts", "notifier")
AWAY_SECONDS = 75  # longer than a consumer may stand still while everything is there (shared.service.STUCK_SECONDS)


@pytest.mark.req("PF-02")
async def test_every_record_is_what_its_schema_says_and_every_group_has_parked_only_what_nobody_can_read(played: Played) -> None:
    await settle(played.at)
    for topic, found in (await records(played.at["kafka"])).items():
        assert [words for record in found if record.value not in (None, b"{") for words in wrong(topic, json.loads(record.value))][:5] == []
    async with watching(played.at["kafka"]) as lag:
        behind = await lag()
    assert {group.split(".")[0] for group in behind} == set(SERVICES) and not any(behind.values()), behind
    facts = await gather(played.at)
    for service in SERVICES:
        assert {(row["topic"], row["error"]) for row in facts.rows(service, "parked")} <= {(topic, "the body is not JSON") for topic in BAD}
        assert facts.rows(service, "waiting") == []


@pytest.mark.req("PF-04", part="from a claim to the mail about its invoice")
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
    for name in ("invoicing", "posting", "contracts"):  # those that read what others publish
        lines = [json.loads(line) for line in played.product.log(name).read_text().splitlines()]
        parks = [line for line in lines if " parks " in line["message"]]
        assert parks and all(line["trace_id"] == BAD_TRACE.split("-")[1] for line in parks), (name, parks)


@pytest.mark.req("PF-06", part="without Docker")
async def test_after_the_tour_the_oracle_finds_nothing(played: Played) -> None:
    assert len(played.told) >= 8, played.told
    found = await verify(played.at)
    assert not found, report(found)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what.replace(" ", "-"))
@pytest.mark.req("PF-06", part="without Docker")
async def test_the_oracle_finds_what_is_broken(played: Played, fault: Fault) -> None:
    before = findings(await gather(played.at))
    async with broken(played, fault):
        found = findings(await gather(played.at))
    assert fault.found_by in found and fault.found_by not in before, report(found)


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.what.replace(" ", "-"))
@pytest.mark.req("PF-06", part="without Docker")
async def test_the_oracle_finds_what_is_said_and_not_so(played: Played, lie: Lie) -> None:
    before = await gather(played.at)
    async with said(played, before, lie):
        found = findings(await gather(played.at))
    assert lie.found_by in found and lie.found_by not in findings(before), report(found)
    assert not findings(await gather(played.at))


@pytest.mark.req("PF-06", part="without Docker")
async def test_the_oracle_finds_a_claim_on_two_live_lines(played: Played) -> None:
    line = next(line for line in (await gather(played.at)).states("invoice.line.state") if line["status"] != "withdrawn")
    second = line | {"line_id": "second"}
    await tell(played, "invoice.line.state", second)
    found = findings(await gather(played.at))
    await tell(played, "invoice.line.state", second, gone=True)
    assert "claims are on one line" in found, report(found)
    assert not findings(await gather(played.at))


@pytest.mark.req("PF-06", part="without Docker")
async def test_the_oracle_finds_a_claim_that_a_run_forgot(played: Played) -> None:
    facts = await gather(played.at)
    assert not findings(facts)
    owed = next(line for line in facts.states("invoice.line.state") if line["balance_cents"] and line["payer_id"] == STAYS_OPEN)
    del facts.newest["invoice.line.state"][f"{owed['practice_id']}/{owed['line_id']}"]
    rows = [row for table in ("claim", "claim_mark", "hold", "balance", "account", "account_payer") for row in facts.rows("invoicing", table)]
    for row in rows:
        row["stored_at"] = facts.rows("invoicing", "billing_run")[0]["stored_at"] + timedelta(days=1)
    assert "claims are on one line" not in findings(facts), "it may have come after the run"
    for row in rows:
        row["stored_at"] -= timedelta(days=2)
    assert findings(facts)["claims are on one line"] == [f"claim {owed['claim_id']} is on no invoice, and its account was billed since"]


@pytest.mark.req("PF-06", part="without Docker")
async def test_the_oracle_finds_a_charge_after_a_cancel(played: Played) -> None:
    facts = await gather(played.at)
    state = facts.told["contract.state"][0]
    facts.told["contract.state"].insert(0, state | {"status": "cancelled"})
    assert list(findings(facts)) == ["contracts keep their word"]


@pytest.mark.req("PF-06", part="without Docker")
async def test_the_oracle_finds_a_claim_that_was_paid_twice(played: Played) -> None:
    facts = await gather(played.at)
    paid = facts.told["invoice.payment_captured"][0]
    facts.told["invoice.payment_captured"].append(paid | {"payment_id": "again"})
    claim = paid["invoices"][0]["claims"][0]
    cents = claim["amount_cents"]
    words = f"claim {claim['claim_id']} of {cents} was paid by 2 payments, {2 * cents} together"
    assert words in findings(facts)["nothing is paid twice"]


@pytest.mark.req("PF-06", part="without Docker")
async def test_the_oracle_finds_a_record_of_ours_that_nobody_can_read(played: Played) -> None:
    async with unreadable(played) as place:
        facts = await gather(played.at)
        assert facts.unreadable == [f"{place}: the header is missing at headers.ce_id"]
        assert set(findings(facts)) == {"our records can be read", "nothing is parked"}
    assert not findings(await gather(played.at))


def test_every_check_of_the_oracle_has_something_broken_to_find() -> None:
    found_by = {each.found_by for each in (*FAULTS, *LIES)} | {"our records can be read", "nothing is paid twice"}
    assert {check.__name__.replace("_", " ") for check in CHECKS} == found_by


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


@pytest.mark.req("PF-05")
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


@pytest.mark.req("PF-05")
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
