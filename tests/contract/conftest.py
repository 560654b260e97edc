"""Broker and database in containers (where there is no Docker, those of all tests), every topic, and the played world on them."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from deploy.local.kafka import answers
from shared.db import asyncpg_url
from shared.events.registry import TOPICS
from shared.settings import Kafka
from shared.topics import create
from tests.conftest import Database as Server
from tests.contract import servers
from tests.contract.carried import Carried, carried
from tests.shared.test_consumption import until


@pytest.fixture(scope="session")
def images() -> dict[str, str] | None:
    found = servers.images()
    if found:
        servers.forget_old()
    return found


@pytest.fixture(scope="session")
async def kafka(request: pytest.FixtureRequest, images: dict[str, str] | None) -> AsyncIterator[str]:
    """The address of a broker in a container, or of the one that all tests have."""
    if not images:
        yield request.getfixturevalue("kafka")
        return
    with servers.kafka(images["KAFKA_IMAGE"]) as port:

        async def ready() -> bool:
            return answers(port)

        await until(ready, 120)
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="session")
async def postgres(request: pytest.FixtureRequest, images: dict[str, str] | None) -> AsyncIterator[Server]:
    """A database server in a container, or the one that all tests have."""
    if not images:
        yield request.getfixturevalue("postgres")
        return
    with servers.postgres(images["POSTGRES_IMAGE"]) as admin_url:

        async def ready() -> bool:
            try:
                await (await asyncpg.connect(asyncpg_url(admin_url))).close()
            except (OSError, asyncpg.PostgresError):
                return False
            return True

        await until(ready, 120)
        yield Server(admin_url)


@pytest.fixture(scope="module")
async def topics(kafka: str) -> AsyncIterator[str]:
    """The broker with all topics, which are empty at first and gone at last."""
    await create(Kafka(kafka_servers=kafka))
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
