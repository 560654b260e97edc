"""The stand-in for practice-management systems."""

import ast
import json
import subprocess
import sys
from pathlib import Path

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.local import publisher
from deploy.local.places import ROOT, SAMPLE


async def test_claims_of_some_days_arrive_with_their_key_and_cloudevents_headers(kafka: str, tmp_path: Path) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic("publisher.try", 3, 1)])
    await admin.close()
    argv = ["--servers", kafka, "--file", str(SAMPLE / "data" / "claims.jsonl"), "--topic", "publisher.try", "--key", "claim_id",
            "--from-date", "2026-07-27", "--until-date", "2026-07-28", "--rate", "5000", "--trace"]
    done = subprocess.run([sys.executable, "-m", "deploy.local.publisher", *argv], cwd=ROOT, capture_output=True, text=True, check=True)
    traces, result = done.stdout.splitlines()[:-1], done.stdout.splitlines()[-1]
    wanted = [claim for line in (SAMPLE / "data" / "claims.jsonl").read_text().splitlines()
              if "2026-07-27" <= (claim := json.loads(line))["billed_on"] <= "2026-07-28"]
    assert wanted and result == f"{len(wanted)} records sent to publisher.try" and len(set(traces)) == len(wanted)
    found: list[ConsumerRecord] = []
    async with AIOKafkaConsumer("publisher.try", bootstrap_servers=kafka, auto_offset_reset="earliest") as consumer:
        while len(found) < len(wanted):
            found.append(await consumer.getone())
    by_key = {record.key.decode(): record for record in found}
    for claim in wanted:
        record = by_key[f"{claim['practice_id']}/{claim['claim_id']}"]
        headers = {name: value.decode() for name, value in record.headers}
        assert json.loads(record.value) == claim
        assert {"ce_specversion": "1.0", "ce_type": "publisher.try", "ce_source": "urn:practice-management"}.items() <= headers.items()
        assert headers["ce_id"] and headers["ce_time"].endswith("Z") and headers["traceparent"] in traces


def test_the_publisher_imports_nothing_of_the_product() -> None:
    tree = ast.parse(Path(publisher.__file__).read_text())
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not [name for name in imported if name.split(".")[0] in ("shared", "services", "deploy")]
