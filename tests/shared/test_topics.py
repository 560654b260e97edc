"""Topics are made from their declarations, and a later run brings every setting back."""

from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from shared.events.ingress import CLAIM_BILLED
from shared.settings import Kafka
from shared.topics import create, settings
from tests.shared.test_consumption import until

TOPIC = ConfigResourceType.TOPIC
DYNAMIC = 1  # a broker's word for what was set on the topic itself


@asynccontextmanager
async def admin_of(kafka: str) -> Any:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    yield admin
    await admin.close()


async def set_on(kafka: str, wanted: dict[str, str]) -> dict[str, str]:
    """What is set on a topic, without the broker's defaults, once these settings are among it: a broker shows a change a moment later."""

    async def shown() -> dict[str, str]:
        async with admin_of(kafka) as admin:
            [answer] = await admin.describe_configs([ConfigResource(TOPIC, CLAIM_BILLED.name)])
        [(_, _, _, _, entries)] = answer.resources
        found = {entry[0]: entry[1] for entry in entries if entry[3] == DYNAMIC}
        return found if found.items() >= wanted.items() else {}

    return await until(shown)


@pytest.mark.req("PF-02")
async def test_a_second_run_makes_nothing_and_brings_every_setting_back(kafka: str) -> None:
    await create(Kafka(kafka_servers=kafka))
    size = {"max.message.bytes": "1000"}
    async with admin_of(kafka) as admin:
        await admin.alter_configs([ConfigResource(TOPIC, CLAIM_BILLED.name, configs=size)])
    assert await set_on(kafka, size) == size, "what an alteration does not name is gone"
    assert await create(Kafka(kafka_servers=kafka)) == 0
    wanted = settings(CLAIM_BILLED, 1)
    assert wanted["min.insync.replicas"] == "1"
    assert await set_on(kafka, {"max.message.bytes": wanted["max.message.bytes"]}) == wanted


@pytest.mark.parametrize(("replicas", "demanded"), [(1, "1"), (2, "1"), (3, "2")])
def test_of_several_replicas_all_but_one_have_to_have_a_record(replicas: int, demanded: str) -> None:
    assert settings(CLAIM_BILLED, replicas)["min.insync.replicas"] == demanded
