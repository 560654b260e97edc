"""The floor of the chain: processes with the same hops and no guarantees.

`python -m tests.bench.hops <servers> <database> <from> <table> [<to>]`
"""

import asyncio
import sys

import asyncpg
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from tests.bench import ground


async def hop(servers: str, database: str, source: str, table: str, target: str | None) -> None:
    """Polls, inserts what came in one statement, sends it on."""
    connection = await asyncpg.connect(database)
    consumer = AIOKafkaConsumer(source, bootstrap_servers=servers, group_id=f"hop.{table}", auto_offset_reset="earliest", enable_auto_commit=False)
    producer = AIOKafkaProducer(bootstrap_servers=servers, enable_idempotence=True)
    await consumer.start()
    await producer.start()
    print("ready", flush=True)
    while True:
        records = [record for some in (await consumer.getmany(timeout_ms=1000)).values() for record in some]
        if not records:
            continue
        ids = [record.key.decode() for record in records]
        values = [record.value.decode() for record in records]
        await connection.execute(f"INSERT INTO {table} SELECT * FROM unnest($1::text[], $2::jsonb[])", ids, values)
        if target:
            sent = [await producer.send(target, record.value, key=record.key, headers=list(record.headers)) for record in records]
            await asyncio.gather(*sent)
        await consumer.commit()


if __name__ == "__main__":
    ground.tune()
    servers, database, source, table, *target = sys.argv[1:]
    uvloop.run(hop(servers, database, source, table, target[0] if target else None))
