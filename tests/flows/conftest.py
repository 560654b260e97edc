"""One played world for the tests of a module."""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import Database as Server
from tests.flows.world import World, made


@pytest.fixture(scope="module")
async def world(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with made(postgres, tmp_path_factory.mktemp("gateway") / "journal") as world:
        yield world
