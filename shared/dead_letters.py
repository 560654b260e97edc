"""`python -m shared.dead_letters [topic …]`: what services answered to records they could not take in, in words; all, or those on some topics.

It asks the broker alone, so that publishers can use it, who have no access to any database.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Collection
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from shared.events.registry import DEAD_LETTERS, DeadLetter
from shared.settings import Kafka, wrong


async def read(kafka: Kafka, topics: Collection[str]) -> list[str]:
    """A line for each answer that is there now, oldest first."""
    found: list[tuple[datetime, str]] = []
    letters = {topic.name: topic for topic in DEAD_LETTERS.values()}
    async with AIOKafkaConsumer(*letters, **kafka.kafka_options(), auto_offset_reset="earliest") as consumer:
        ends = {at: end for at, end in (await consumer.end_offsets(list(consumer.assignment()))).items() if end}
        while any([await consumer.position(at) < end for at, end in ends.items()]):
            for at, records in (await consumer.getmany(timeout_ms=500)).items():
                for record in records:
                    letter = letters[at.topic].decode(record.value)
                    if not topics or letter.topic in topics:
                        time = datetime.fromisoformat(dict(record.headers)["ce_time"].decode())
                        found.append((time, line(time, record.key.decode(), letter)))
    return [words for _, words in sorted(found)]


def line(time: datetime, key: str, letter: DeadLetter) -> str:
    """When, which record, who could not take it in (or took it in with a warning), why, and where in it."""
    where = letter.topic if letter.offset is None else f"{letter.topic}/{letter.partition}/{letter.offset}"
    who = letter.consumer.split(".")[0] + ("" if letter.parked_id else " took it in")
    why = f"{letter.reason} at {letter.path}" if letter.path else letter.reason
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}  {where}  {key}  {who}: {why}"


def main() -> None:
    if "KAFKA_SERVERS" not in os.environ:
        sys.exit("usage: KAFKA_SERVERS=… python -m shared.dead_letters [topic …]")
    logging.disable()  # the client's own lines: what went wrong is said below
    try:
        lines = asyncio.run(read(Kafka(), sys.argv[1:]))
    except ValidationError as error:
        sys.exit(wrong(error))
    except (KafkaError, OSError) as error:
        sys.exit(f"the broker does not answer ({error})")
    sys.stdout.write("\n".join([*lines, f"{len(lines)} answers"]) + "\n")


if __name__ == "__main__":
    main()
