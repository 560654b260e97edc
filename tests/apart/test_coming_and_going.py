"""Services that go and come back: any one may be away while the others go on, and one that is told to end finishes what it has in hand."""

import asyncio
import signal
import time
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from deploy.local import clockfile, people, publisher
from deploy.local.settled import settle
from shared.events.registry import SERVICES
from tests.apart.conftest import Living
from tests.chaos.__main__ import clean
from tests.chaos.mistakes import mistakes

AN_HOUR = 30  # claims: almost as many as the busiest practice of the sample bills on its busiest day
# While a service is away, rows of these tables come on; what it missed comes into its own table when it is back.
GOES_ON = {
    "invoicing": (("posting", "claims"), ("portal", "payments")),
    "portal": (("invoicing", "claim"), ("invoicing", "issue"), ("posting", "payment_batches"), ("notifier", "items")),
    "posting": (("invoicing", "claim"), ("invoicing", "issue"), ("portal", "payments"), ("notifier", "items")),
    "contracts": (("invoicing", "issue"), ("posting", "claims"), ("portal", "payments"), ("notifier", "items")),
    "notifier": (("invoicing", "issue"), ("posting", "claims"), ("portal", "payments"), ("contracts", "charges")),
}
CATCHES_UP = {"invoicing": "claim", "portal": "lines", "posting": "claims", "contracts": "balances", "notifier": "items"}


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.req("PF-01")
async def test_while_a_service_is_away_for_an_hour_of_events_the_others_go_on_and_it_catches_up(living: Living, service: str) -> None:
    product, load = living.product, living.load
    product.stop(service)
    clockfile.move(Path(living.at["clock"]), timedelta(hours=1))
    before = {place: await living.count(*place) for place in GOES_ON[service]}
    missed, published = await living.count(service, CATCHES_UP[service]), len(load.published)
    load.stop.clear()
    working = asyncio.create_task(load.run(living.logins))
    try:
        async with asyncio.timeout(90):
            while len(load.published) < published + AN_HOUR or [place for place in before if await living.count(*place) <= before[place]]:
                await asyncio.sleep(0.2)
        if service == "invoicing":
            await papers_are_away(living)
    finally:
        load.stop.set()
        await working
    assert await living.count(service, CATCHES_UP[service]) == missed
    product.start(service)
    product.wait(service)
    _, found = await clean(living.at, load, time.monotonic())
    assert found == {}
    assert await living.count(service, CATCHES_UP[service]) > missed
    assert mistakes(product.plan.logs, product.instances()) == []


async def papers_are_away(living: Living) -> None:
    """An employer reads invoices from the portal's own copy; what only invoicing has is missing in words."""
    browser = await people.sign_in(living.at, *living.logins[0])
    try:
        home = await browser.open(f"{living.at['services']['portal']}/employerportal/")
        invoice = await browser.open(home.link("/employerportal/invoices/"))
        assert invoice.status == 200
        paper = await browser.open(invoice.link("/pdf/"))
        assert paper.status == 503 and "This paper cannot be fetched right now" in paper.text and "try again" in paper.text
    finally:
        await browser.close()


async def committed(living: Living, group: str) -> int:
    """Records that a consumer group has said it is done with."""
    admin = AIOKafkaAdminClient(bootstrap_servers=living.at["kafka"])
    await admin.start()
    try:
        return sum(place.offset for place in (await admin.list_consumer_group_offsets(group)).values())
    finally:
        await admin.close()


async def closes(living: Living, service: str) -> None:
    """Waits until a service takes no more requests."""
    url = httpx.URL(living.at["services"][service])
    with pytest.raises(ConnectionRefusedError):
        while True:
            _, writer = await asyncio.open_connection(url.host, url.port)
            writer.close()
            await asyncio.sleep(0.01)


async def ends(living: Living, service: str) -> None:
    """Waits until a service that was told to end has done so, by itself and not by an exception."""
    code = await asyncio.to_thread(living.product.running[service].wait, 30)
    assert code in (0, -signal.SIGTERM)


@pytest.mark.req("PF-05")
async def test_a_service_that_is_told_to_end_finishes_the_batch_it_has_in_hand(living: Living) -> None:
    product, claims = living.product, [living.load.new_claim() for _ in range(20)]
    stored, done = await living.count("invoicing", "claim"), await committed(living, "invoicing.claims")
    async with living.administrator("invoicing") as connection, connection.transaction():
        await connection.execute("LOCK TABLE claim IN SHARE MODE")
        await publisher.publish(living.at["kafka"], "claim.billed", claims, "claim_id")
        while not await connection.fetchval("SELECT 1 FROM pg_locks WHERE relation = 'claim'::regclass AND NOT granted"):
            await asyncio.sleep(0.01)
        product.running["invoicing"].send_signal(signal.SIGTERM)  # some of them are in its hand, in an open transaction
        await closes(living, "invoicing")
    await ends(living, "invoicing")
    finished = await living.count("invoicing", "claim") - stored
    assert finished and await committed(living, "invoicing.claims") - done == finished
    product.start("invoicing")
    product.wait("invoicing")
    await settle(living.at)
    assert await living.count("invoicing", "claim") == stored + len(claims)
    assert mistakes(product.plan.logs, ["invoicing"]) == []


@pytest.mark.req("PF-05")
async def test_a_service_that_is_told_to_end_answers_the_request_it_has_in_hand(living: Living) -> None:
    product, url = living.product, httpx.URL(living.at["services"]["portal"])
    body = b"email=nobody%40example.org&password=wrong"
    head = (
        f"POST /employerportal/login HTTP/1.1\r\nHost: {url.netloc.decode()}\r\nOrigin: {url}\r\nExpect: 100-continue\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(head.encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 100 ")  # it has the request, and asks for its body
    product.running["portal"].send_signal(signal.SIGTERM)
    await closes(living, "portal")
    writer.write(body)
    answer = (await reader.read()).decode()
    writer.close()
    assert "HTTP/1.1 422 " in answer and "Log in" in answer
    await ends(living, "portal")
    product.start("portal")
    product.wait("portal")
