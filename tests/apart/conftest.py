"""One product for the tests of services that come and go, with people, contracts and a load."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import pytest

from deploy.local.processes import Product, where
from deploy.local.settled import settle
from deploy.local.visitor import Where
from shared.db import asyncpg_url
from tests.chaos.__main__ import prepare
from tests.chaos.load import Load


@dataclass
class Living:
    """A product at work: `logins` may pay, `load` is what was published so far."""

    product: Product
    at: Where
    logins: list[tuple[str, str]]
    load: Load

    @asynccontextmanager
    async def administrator(self, service: str) -> AsyncIterator[asyncpg.Connection]:
        """A connection to a service's database, past all roles."""
        connection = await asyncpg.connect(asyncpg_url(self.product.plan.admin_url).rsplit("/", 1)[0] + f"/{service}")
        try:
            yield connection
        finally:
            await connection.close()

    async def count(self, service: str, table: str) -> int:
        """Rows of a service's table."""
        async with self.administrator(service) as connection:
            return int(await connection.fetchval(f'SELECT count(*) FROM "{table}"'))


@pytest.fixture(scope="module")
async def living(product: Product) -> Living:
    at = where(product.plan, {})
    logins = await prepare(product.plan, at)
    load = Load(at, random.Random(4))
    for _ in range(10):
        await load.publish()
    await settle(at)
    await load.bill()  # so that there is something to pay
    await settle(at)
    return Living(product, at, logins, load)
