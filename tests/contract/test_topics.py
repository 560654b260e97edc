"""Every topic keeps its contract: what services really emit is what their schemas say, and every reader takes it in."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from deploy.local.settled import settle, watching
from deploy.local.verify.facts import gather
from shared.events.registry import TOPICS
from tests.contract.schemas import EVENTS, wrong
from tests.flows.test_rare_topics import RARE
from tests.whole import BAD, EXAMPLES, Played, bad_records

OURS = ("practice.state",)  # read by all five: each says a dead letter
INGRESS = sorted(name for name, topic in TOPICS.items() if topic.writer == "ingress")


async def records(kafka: str) -> dict[str, list[Any]]:
    """Every record of every topic, from the start."""
    found: dict[str, list[Any]] = {name: [] for name in TOPICS}
    consumer = AIOKafkaConsumer(*TOPICS, bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        ends = await consumer.end_offsets(list(consumer.assignment()))
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for partition, some in (await consumer.getmany(timeout_ms=500, max_records=5000)).items():
                found[partition.topic] += some
    finally:
        await consumer.stop()
    return found


@pytest.fixture(scope="module")
async def emitted(played: Played) -> dict[str, list[Any]]:
    await bad_records(played.at, OURS)
    await settle(played.at)
    return await records(played.at["kafka"])


@pytest.mark.parametrize("topic", sorted(TOPICS))
@pytest.mark.req("PF-02")
async def test_what_is_emitted_on_a_topic_is_what_its_schema_says(emitted: dict[str, list[Any]], topic: str) -> None:
    good = [record for record in emitted[topic] if record.value not in (None, b"{")]
    assert good or topic in RARE
    assert [words for record in good for words in wrong(topic, json.loads(record.value))][:5] == []
    for record in good:
        headers = {name: value.decode() for name, value in record.headers}
        assert headers["ce_type"] == topic and headers["ce_specversion"] == "1.0" and headers["ce_id"]
        if TOPICS[topic].writer != "ingress":
            assert headers["ce_source"] == f"/billfold/{TOPICS[topic].writer}" and headers["ce_dataschema"] == TOPICS[topic].schema_id
        assert record.key.decode().split("/", 1)[0]


@pytest.mark.req("PF-02")
async def test_every_group_has_read_its_topics_to_the_end_and_parked_only_what_nobody_can_read(played: Played, emitted: dict[str, list[Any]]) -> None:
    await settle(played.at)
    async with watching(played.at["kafka"]) as lag:
        behind = await lag()
    assert {group.split(".")[0] for group in behind} == set(played.at["services"])
    assert not any(behind.values()), behind
    facts = await gather(played.at)
    for service in played.at["services"]:
        for row in facts.rows(service, "parked"):
            assert row["topic"] in (*BAD, *OURS) and row["error"] == "the body is not JSON", (service, row["topic"], row["error"])
        assert facts.rows(service, "parked"), f"{service} met no bad record"
        assert facts.rows(service, "waiting") == []


@pytest.mark.req("PF-02")
def test_a_body_that_breaks_its_schema_is_told_with_its_place() -> None:
    body = json.loads((EXAMPLES / "claim.billed.json").read_text())
    assert wrong("claim.billed", body) == []
    body["charges"][0]["amount_cents"] = "12.50"
    assert wrong("claim.billed", body) == ["claim.billed at $.charges[0].amount_cents: '12.50' is not of type 'integer'"]


@pytest.mark.parametrize("topic", INGRESS)
@pytest.mark.req("PF-02")
def test_the_example_of_an_ingress_topic_can_be_taken_in(topic: str) -> None:
    text = (EXAMPLES / f"{topic}.json").read_bytes()
    assert wrong(topic, json.loads(text)) == []
    body = TOPICS[topic].decode(text)
    assert TOPICS[topic].key_of(body).startswith("195900/X-")


@pytest.mark.req("PF-02")
async def test_the_program_in_the_guide_publishes_a_claim(played: Played, tmp_path: Path) -> None:
    guide = (EVENTS / "publishing-claims.md").read_text()
    found = re.search(r"```python\n(.*?)```", guide, re.DOTALL)
    assert found
    (tmp_path / "publish.py").write_text(found[1])
    body = json.loads((EXAMPLES / "claim.billed.json").read_text()) | {"claim_id": "X-1002"}
    (tmp_path / "claim.billed.json").write_text(json.dumps(body))
    env = os.environ | {"KAFKA_SERVERS": played.at["kafka"]}
    done = subprocess.run([sys.executable, "publish.py", "claim.billed.json"], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.stdout == "sent X-1002 to claim.billed\n", done.stderr
    await settle(played.at)
    facts = await gather(played.at)
    assert "X-1002" in {row["claim_id"] for row in facts.rows("invoicing", "claim")}
