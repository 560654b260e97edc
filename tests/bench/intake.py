"""intake: claims per second from `claim.billed` to stored claims and charges in invoicing, against poll, decode and COPY of the same rows."""

import asyncio
import json
import time
import uuid
from typing import Any

import asyncpg
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from deploy.local.processes import Product
from services.invoicing.consumers import INTAKE_BATCH, handlers
from shared import kafka
from shared.clock import SystemClock
from shared.db import Database, asyncpg_url
from shared.events import ENCODER
from shared.events.ingress import CLAIM_BILLED, ClaimBilled
from shared.settings import Kafka
from tests.bench import ground
from tests.bench.ground import Result

CLAIMS = 30_000
BOUND, GOAL = 0.50, 0.60
CLAIM_COLUMNS = ["practice_id", "claim_id", "version", "revision", "service_date", "billed_on", "payer_kind", "payer_id", "total_cents",
                 "given_name", "family_name", "rest", "trace"]  # fmt: skip
CHARGE_COLUMNS = ["practice_id", "claim_id", "charge_id", "position", "procedure_code", "code_system", "modifiers", "description", "units",
                  "amount_cents", "diagnosis_codes", "service_date"]  # fmt: skip


async def measure(product: Product) -> Result:
    size = await publish(product)
    ours, floors = [], []
    for turn in range(ground.ROUNDS + 2):  # the first two warm code, caches and files
        took, floor = await real(product, turn), await bare(product, turn)
        if turn > 1:
            ours.append(CLAIMS / took)
            floors.append(CLAIMS / floor)
    ratio = ground.median([a / b for a, b in zip(ours, floors, strict=True)])
    rates = f"{ground.median(ours):,.0f} claims/s, floor {ground.median(floors):,.0f} ({size} bytes, batches of {INTAKE_BATCH})"
    return Result("intake", f"{rates}, ratio {ratio:.2f} (≥ {BOUND}, goal {GOAL})", ratio, ground.median(floors), GOAL, ratio >= BOUND)


async def publish(product: Product) -> int:
    """Claims that no trace samples, as mass is sent; the mean size of a body."""
    total = 0
    async with AIOKafkaProducer(bootstrap_servers=product.plan.kafka, enable_idempotence=True) as producer:
        sent = []
        for body in ground.bodies(CLAIMS):
            value = json.dumps(body).encode()
            total += len(value)
            headers = {"ce_specversion": "1.0", "ce_id": str(uuid.uuid4()), "ce_type": "claim.billed", "ce_source": "urn:bench",
                       "ce_time": "2026-11-22T12:00:00Z", "traceparent": f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-00"}  # fmt: skip
            key = f"{body['practice_id']}/{body['claim_id']}".encode()
            sent.append(await producer.send("claim.billed", value, key=key, headers=[(n, v.encode()) for n, v in headers.items()]))
        await asyncio.gather(*sent)
    return total // CLAIMS


async def empty(product: Product) -> None:
    await ground.sql(product, "invoicing", "TRUNCATE claim, charge, inbox, outbox")
    await ground.sql(product, "invoicing", "CHECKPOINT")


async def stored(product: Product) -> int:
    ((count,),) = await ground.sql(product, "invoicing", "SELECT count(*) FROM claim")
    return int(count)


async def real(product: Product, turn: int) -> float:
    """The service's own consumption and handler; the seconds from the first batch's arrival to the last commit."""
    await empty(product)
    db = Database(product.plan.database("invoicing", "worker"), "bench")
    clock = SystemClock(None)
    consumption = kafka.Consumption("invoicing", f"invoicing.bench{turn}", db, clock, {CLAIM_BILLED: handlers(clock)[CLAIM_BILLED]}, INTAKE_BATCH)
    broker = kafka.make_broker(Kafka(kafka_servers=product.plan.kafka), f"bench{turn}")
    kafka.subscribe(broker, consumption, member=f"bench{turn}")
    began, ended, count, whole = 0.0, 0.0, 0, asyncio.Event()
    take, store = consumption.take, consumption.store

    async def counted(records: Any) -> None:
        nonlocal count
        await store(records)
        count += len(records)

    async def timed(records: Any) -> None:
        nonlocal began, ended
        began = began or time.perf_counter()
        await take(records)
        ended = time.perf_counter()
        if count >= CLAIMS:
            whole.set()

    consumption.take, consumption.store = timed, counted  # type: ignore[method-assign]
    await broker.start()
    await asyncio.wait_for(whole.wait(), 120)
    await consumption.finish()
    await broker.stop()
    await db.close()
    assert await stored(product) == CLAIMS
    return ended - began


async def bare(product: Product, turn: int) -> float:
    """The floor: poll, decode, two COPYs, commit, offsets."""
    await empty(product)
    connection = await asyncpg.connect(asyncpg_url(product.plan.database("invoicing", "worker")))
    consumer = AIOKafkaConsumer(
        "claim.billed", bootstrap_servers=product.plan.kafka, group_id=f"floor{turn}", auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    began, count = 0.0, 0
    while count < CLAIMS:
        polled = await consumer.getmany(timeout_ms=10, max_records=INTAKE_BATCH)
        records = [record for some in polled.values() for record in some]
        if not records:
            continue
        began = began or time.perf_counter()
        claims, charges = [], []
        for record in records:
            body = CLAIM_BILLED.decode(record.value)
            trace = next(value for name, value in record.headers if name == "traceparent").decode()
            claims.append(claim_tuple(body, trace))
            charges += [
                (body.practice_id, body.claim_id, c.charge_id, n, c.procedure_code, c.code_system, c.modifiers, c.description, c.units,
                 c.amount_cents, c.diagnosis_codes, c.service_date)
                for n, c in enumerate(body.charges)
            ]  # fmt: skip
        async with connection.transaction():
            await connection.copy_records_to_table("claim", columns=CLAIM_COLUMNS, records=claims)
            await connection.copy_records_to_table("charge", columns=CHARGE_COLUMNS, records=charges)
        await consumer.commit({TopicPartition(r.topic, r.partition): r.offset + 1 for r in records})
        count += len(records)
    ended = time.perf_counter()
    await consumer.stop()
    await connection.close()
    assert await stored(product) == CLAIMS
    return ended - began


def claim_tuple(c: ClaimBilled, trace: str) -> tuple[Any, ...]:
    rest = {
        "service_to": c.service_to, "department_id": c.department_id, "provider_group_id": c.provider_group_id, "appointment_id": c.appointment_id,
        "rendering_provider": c.rendering_provider, "patient": c.patient, "payers": c.payers, "billed_to": c.billed_to,
        "place_of_service": c.place_of_service, "authorization_number": c.authorization_number,
        "purchase_order_number": c.purchase_order_number, "patient_control_number": c.patient_control_number,
    }  # fmt: skip
    payer, patient = c.payer, c.patient
    return (c.practice_id, c.claim_id, c.version, 0, c.service_date, c.billed_on, payer.kind, payer.payer_id, c.total_cents,
            patient.given_name, patient.family_name, ENCODER.encode(rest).decode(), trace)  # fmt: skip


def run() -> Result:
    with ground.servers("intake") as product:
        ground.tune()
        return uvloop.run(measure(product))
