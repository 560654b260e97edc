"""A broker with every topic of the product, and the played world on it."""

from collections.abc import AsyncIterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from shared.events.registry import TOPICS
from shared.topics import create
from tests.conftest import Database as Server
from tests.contract.carried import Carried, carried
from tests.shared.test_consumption import until


@pytest.fixture(scope="module")
async def topics(kafka: str) -> AsyncIterator[str]:
    """The broker with all topics, which are empty at first and gone at last."""
    await create(kafka)
    yield kafka
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.delete_topics(list(TOPICS))

    async def gone() -> bool:
        return not TOPICS.keys() & set(await admin.list_topics())

    await until(gone)
    await admin.close()


@pytest.fixture(scope="module")
async def world(postgres: Server, topics: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Carried]:
    async with carried(postgres, topics, tmp_path_factory.mktemp("gateway") / "journal") as world:
        yield world
