"""Every topic keeps its contract: what its writer really emits is what its schema says, and each of its readers takes it in."""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from deploy.docs import application
from deploy.local.places import ROOT
from shared.events.registry import TOPICS
from shared.messages import Unreadable
from tests.contract.carried import Carried
from tests.contract.schemas import EVENTS, wrong
from tests.contract.story import INGRESS, Told, readings, tell

EXAMPLES = EVENTS / "examples"
READINGS = sorted(readings())
SOON = 10  # seconds: the one that is allowed, on a machine that has much else to do
RELEASES = sorted(folder.name for folder in (EVENTS / "released").iterdir() if folder.is_dir())


@pytest.fixture(scope="module")
async def told(world: Carried) -> Told:
    return await tell(world)


def test_the_subscriptions_that_are_tested_here_are_those_of_the_services() -> None:
    services = {group.split(".")[0] for _, group in READINGS}
    really = [each for service in services for each in application(service).state.service.consumptions]
    assert {(topic, each.group) for each in really for topic in each.topics} == set(READINGS)


@pytest.mark.parametrize("topic", sorted(TOPICS))
@pytest.mark.req("PF-02")
async def test_what_is_emitted_on_a_topic_is_what_its_schema_says(told: Told, topic: str) -> None:
    good = told.good(topic)
    assert good, f"nobody said {topic}"
    assert [words for record in good for words in wrong(topic, json.loads(record.value))][:5] == []
    for record in good:
        headers = {name: value.decode() for name, value in record.headers}
        assert headers["ce_type"] == topic and headers["ce_specversion"] == "1.0" and headers["ce_id"]
        if TOPICS[topic].writer != "ingress":
            assert headers["ce_source"] == f"/billfold/{TOPICS[topic].writer}" and headers["ce_dataschema"] == TOPICS[topic].schema_id


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.req("PF-03")
async def test_what_is_emitted_is_what_the_readers_of_a_release_know(told: Told, release: str) -> None:
    for file in (EVENTS / "released" / release).glob("*.json"):
        known = jsonschema.Draft202012Validator(json.loads(file.read_text()))
        bodies = [json.loads(record.value) for record in told.good(file.name.removesuffix(".json").rpartition(".v")[0])]
        assert bodies and [(file.stem, error.json_path, error.message) for body in bodies for error in known.iter_errors(body)][:5] == []


@pytest.mark.parametrize(("topic", "reader"), READINGS)
@pytest.mark.req("PF-03")
async def test_what_is_emitted_on_a_topic_is_taken_in_by_its_reader(told: Told, topic: str, reader: str) -> None:
    good = {(record.partition, record.offset) for record in told.good(topic)}
    assert good, f"nobody said {topic}"
    refused = [each for each in told.letters(topic, reader) if each.parked_id and (each.partition, each.offset) in good]
    assert not refused, f"{reader} cannot take in {topic}: {refused[:3]}"
    assert good <= told.taken[reader][topic], f"{reader} has not read {topic} to its end"
    assert (topic, reader) in told.changed, f"{reader} does nothing with {topic}"


@pytest.mark.parametrize(("topic", "reader"), [each for each in READINGS if each[0] in INGRESS])
@pytest.mark.req("PF-02")
async def test_a_record_from_outside_that_breaks_its_schema_is_answered_by_each_of_its_readers(told: Told, topic: str, reader: str) -> None:
    (letter,) = [each for each in told.letters(topic, reader) if (topic, each.partition, each.offset) in told.broken]
    assert (letter.path, letter.reason) == ("$.practice_id", "Expected `str`, got `int`")


@pytest.mark.req("PF-02")
async def test_a_publishers_mistake_is_answered_soon_by_each_reader(told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    took = sorted(told.seconds(topic, reader) for topic, reader in READINGS if topic in INGRESS)
    with capsys.disabled():
        print(f"\n  dead letters: {len(took)} answers after {took[0]:.2f} to {took[-1]:.2f} s (a second is allowed)")
    assert took[-1] < SOON


@pytest.mark.req("PF-02")
async def test_a_publisher_reads_the_answers_in_words_without_a_database(told: Told) -> None:
    topic, readers = "claim.billed", [group.split(".")[0] for name, group in READINGS if name == "claim.billed"]
    (place,) = [f"{name}/{partition}/{offset}" for name, partition, offset in told.broken if name == topic]
    env = {"KAFKA_SERVERS": told.world.servers, "PATH": os.environ["PATH"]}
    argv = [sys.executable, "-m", "shared.dead_letters", topic]
    done = await asyncio.to_thread(subprocess.run, argv, cwd=ROOT, env=env, capture_output=True, text=True)
    *lines, count = done.stdout.splitlines()
    wanted = [f"{place}  195900/broken  {reader}: Expected `str`, got `int` at $.practice_id" for reader in readers]
    assert [each for each in wanted if not any(line.endswith(each) for line in lines)] == [], done
    assert all(f"  {topic}" in line for line in lines) and count == f"{len(lines)} answers"


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
async def test_the_programs_in_the_guide_publish_a_claim_and_hear_the_answer(told: Told, tmp_path: Path) -> None:
    programs = re.findall(r"```python\n(.*?)```", (EVENTS / "publishing-claims.md").read_text(), re.DOTALL)
    for name, program in zip(("publish.py", "listen.py"), programs, strict=True):
        (tmp_path / name).write_text(program)
    body = json.loads((EXAMPLES / "claim.billed.json").read_text()) | {"claim_id": "X-1002"}
    (tmp_path / "claim.billed.json").write_text(json.dumps(body))

    def run(*words: str) -> str:
        env = os.environ | {"KAFKA_SERVERS": told.world.servers}
        done = subprocess.run([sys.executable, *words], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("publish.py", "claim.billed.json") == "sent X-1002 to claim.billed\n"
    await told.world.drain()
    assert await told.world.rows("invoicing", "SELECT claim_id FROM claim WHERE claim_id = 'X-1002'")
    assert run("listen.py", "X-1002") == "claim.balances.state     195900/X-1002: 12500 cents are open\n"


@pytest.mark.parametrize(
    ("topic", "reader", "wrong", "words"),
    [
        ("practice.state", "posting.facts", Unreadable("$.name", "a field is missing"), "a field is missing at $.name"),
        ("department.state", "contracts.copies", KeyError("place"), "KeyError: 'place'"),
    ],
)
@pytest.mark.req("PF-03")
async def test_where_the_story_cannot_go_on_the_reader_that_could_not_take_something_in_is_named(
    told: Told, topic: str, reader: str, wrong: Exception, words: str
) -> None:
    async def broken(*_: object) -> None:
        raise wrong

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(told.world.readers[reader].handlers, TOPICS[topic], broken)
        with pytest.raises(AssertionError, match=rf"{reader} cannot take in {re.escape(topic)}: .*{re.escape(words)}"):
            await tell(told.world)
