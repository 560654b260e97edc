"""Topics are made from their declarations, and a second run leaves them as the first made them."""

from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from shared.events.ingress import CLAIM_BILLED
from shared.events.invoicing import INVOICE_ISSUED
from shared.topics import create, settings

DYNAMIC = 1  # a broker's word for what was set on the topic itself


async def set_on(kafka: str, name: str) -> dict[str, str]:
    """What is set on a topic, without the broker's defaults."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        [answer] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    finally:
        await admin.close()
    [(_, _, _, _, entries)] = answer.resources
    return {entry[0]: entry[1] for entry in entries if entry[3] == DYNAMIC}


@pytest.mark.req("PF-02")
async def test_a_second_run_makes_nothing_and_changes_nothing(kafka: str) -> None:
    await create(kafka)
    first = {topic.name: await set_on(kafka, topic.name) for topic in (CLAIM_BILLED, INVOICE_ISSUED)}
    assert await create(kafka) == 0
    for topic in (CLAIM_BILLED, INVOICE_ISSUED):
        assert await set_on(kafka, topic.name) == first[topic.name] == settings(topic, 1)


@pytest.mark.parametrize(("replicas", "demanded"), [(1, "1"), (2, "1"), (3, "2")])
def test_of_several_replicas_all_but_one_have_to_have_a_record(replicas: int, demanded: Any) -> None:
    assert settings(CLAIM_BILLED, replicas)["min.insync.replicas"] == demanded
