import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Request, Response
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from shared import idempotency
from shared.application import make_app
from shared.db import TECHNICAL, Database
from shared.http import Problem, public
from shared.idempotency import LONGEST_KEY, Answer, Once, Reused, pressed
from shared.web import make_web
from tests.together import blocked

PAY = Once("195900", "pay", "key-1", b'{"cents":100}')


@pytest.fixture
async def db(postgres: Any) -> AsyncIterator[Database]:
    urls = await postgres.fresh("once")
    owner = create_async_engine(urls.owner)
    async with owner.begin() as tx:
        await tx.run_sync(lambda sync: TECHNICAL.create_all(sync, tables=[idempotency.idempotency]))
        await tx.execute(text("CREATE TABLE effect (what text)"))
        await tx.execute(text("GRANT ALL ON ALL TABLES IN SCHEMA public TO once_app"))
    await owner.dispose()
    made = Database(urls.app, "once")
    yield made
    await made.close()


async def effects(db: Database) -> int:
    async with db.begin() as tx:
        return int((await tx.execute(text("SELECT count(*) FROM effect"))).scalar_one())


async def do(db: Database, once: Once, *, fail: bool = False, pause: asyncio.Event | None = None) -> Answer:
    async with db.begin("195900") as tx:
        if kept := await idempotency.begin(tx, once):
            return kept
        await tx.execute(text("INSERT INTO effect VALUES ('paid')"))
        if pause:
            await pause.wait()
        if fail:
            raise RuntimeError("something breaks after the effect")
        answer = Answer(201, {"payment": 7}, {"Location": "/payments/7"})
        await idempotency.finish(tx, once, answer)
        return answer


async def test_the_same_key_and_body_give_the_same_answer_and_one_effect(db):
    first = await do(db, PAY)
    assert await do(db, PAY) == first == Answer(201, {"payment": 7}, {"Location": "/payments/7"})
    assert await effects(db) == 1


@pytest.mark.parametrize("other", [Once("195901", "pay", "key-1", b"{}"), Once("195900", "refund", "key-1", b"{}")])
async def test_a_key_belongs_to_one_practice_and_one_route(db, other):
    await do(db, PAY)
    await do(db, other)
    assert await effects(db) == 2


async def test_the_same_key_with_another_body_is_422(db):
    await do(db, PAY)
    with pytest.raises(Reused) as refused:
        await do(db, Once("195900", "pay", "key-1", b'{"cents":200}'))
    assert refused.value.status_code == 422
    assert await effects(db) == 1


def test_a_press_of_a_button_is_known_by_its_fields_and_its_person() -> None:
    fields = [("paid", "60.00"), ("once", "k1")]
    one = pressed("195900", "post", fields, "s1")
    assert one == pressed("195900", "post", fields, "s1") and one.key == "k1" and one.waits
    assert one.body == pressed("195900", "post", [("paid", "60.00"), ("once", "k2")], "s1").body
    for other in (pressed("195900", "post", [("paid", "6.00"), ("once", "k1")], "s1"), pressed("195900", "post", fields, "s2")):
        assert other.key == "k1" and other.body != one.body
    assert pressed("195900", "post", fields[:1], "s1").key != pressed("195900", "post", fields[:1], "s1").key
    assert len(pressed("195900", "post", [("once", "x" * 1000)], "s1").key) == LONGEST_KEY


@pytest.mark.parametrize("body", [PAY.body, b""])
async def test_while_the_first_is_being_worked_on_the_second_gets_409_and_later_the_answer(db, body):
    asked, pause = replace(PAY, body=body), asyncio.Event()
    first = asyncio.create_task(do(db, asked, pause=pause))
    while not await locks(db):
        await asyncio.wait([first], timeout=0.01)
    with pytest.raises(Problem) as refused:
        async with asyncio.timeout(10):  # who waits here waits for ever
            await do(db, asked)
    assert refused.value.status_code == 409
    pause.set()
    answer = await first
    assert await do(db, asked) == answer
    assert await effects(db) == 1


@pytest.mark.parametrize("fail", [False, True])
async def test_a_button_that_is_pressed_twice_gives_the_first_answer_or_does_what_the_first_could_not(db, fail):
    button, pause = replace(PAY, waits=True), asyncio.Event()
    first = asyncio.create_task(do(db, button, pause=pause, fail=fail))
    while not await locks(db):
        await asyncio.wait([first], timeout=0.01)
    second = asyncio.create_task(do(db, button))
    await blocked(db)
    pause.set()
    [failed, answer] = await asyncio.gather(first, second, return_exceptions=True)
    assert isinstance(failed, RuntimeError) if fail else failed == answer
    assert answer == Answer(201, {"payment": 7}, {"Location": "/payments/7"}) and await effects(db) == 1


async def locks(db: Database) -> int:
    async with db.begin() as tx:
        return int((await tx.execute(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"))).scalar_one())


async def test_what_failed_left_nothing_and_may_be_tried_again_with_the_same_key(db):
    with pytest.raises(RuntimeError):
        await do(db, PAY, fail=True)
    assert await effects(db) == 0
    assert (await do(db, PAY)).status == 201


async def test_a_request_that_was_begun_and_committed_stays_409_until_a_later_transaction_finishes_it(db):
    async with db.begin() as tx:
        assert await idempotency.begin(tx, PAY) is None
    with pytest.raises(Problem) as refused:
        await do(db, PAY)
    assert refused.value.status_code == 409
    async with db.begin() as tx:
        await idempotency.finish(tx, PAY, Answer(200, {"state": "paid"}))
    assert await do(db, PAY) == Answer(200, {"state": "paid"})


async def test_twenty_at_once_have_one_effect(db):
    answers = await asyncio.gather(*(do(db, PAY) for _ in range(20)), return_exceptions=True)
    assert all(isinstance(each, Answer) or (isinstance(each, Problem) and each.status_code == 409) for each in answers)
    assert await effects(db) == 1


async def test_old_answers_are_forgotten_and_unfinished_ones_kept(db):
    await do(db, PAY)
    async with db.begin() as tx:
        await idempotency.begin(tx, Once("195900", "pay", "key-2", b""))
    assert await idempotency.sweep(db, datetime.now(UTC)) == 0
    assert await idempotency.sweep(db, datetime.now(UTC) + timedelta(days=31)) == 1


def service() -> FastAPI:
    app = make_app(make_web("toy", None, secret="a secret of the tests", public_url="http://toy.example"))

    @app.post("/api/{kind}", dependencies=[Depends(public)])
    async def pay(request: Request, kind: str) -> Response:
        once = await idempotency.once_of(request, "195900", kind, required=kind == "payments")
        return Answer(200, {"key": once and once.key, "body": once and once.body.decode()}).response()

    return app


async def test_the_key_comes_from_the_header_and_is_missed_only_where_it_is_required():
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service()), base_url="http://toy.example") as client:
        assert (await client.post("/api/payments")).status_code == 400
        assert (await client.post("/api/payments", headers={"idempotency-key": "x" * 201})).status_code == 400
        assert (await client.post("/api/notes")).json() == {"key": None, "body": None}
        answer = await client.post("/api/payments", headers={"idempotency-key": "k"}, content=b"abc")
        assert answer.json() == {"key": "k", "body": "abc"}
