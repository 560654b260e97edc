"""`python -m shared.topics create`: makes the topics that are declared, and brings their settings in line; brokers make none by themselves."""

import asyncio
import logging
import os
import sys
from collections.abc import Iterable
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code
from pydantic import ValidationError

from shared.events import Topic
from shared.events.registry import TOPICS
from shared.settings import Kafka, wrong


async def create(kafka: Kafka, replication: int = 1) -> int:
    """Creates what is missing and sets every declared setting; returns how many were new. Partitions are never changed: keys would move."""
    admin = AIOKafkaAdminClient(**kafka.kafka_options())
    try:
        await admin.start()
        # A topic that is being deleted may have no partition left.
        there = {each["topic"]: len(each["partitions"][0]["replicas"]) for each in await admin.describe_topics() if each["partitions"]}
        new = [topic for topic in TOPICS.values() if topic.name not in there]
        if new:
            made = [NewTopic(topic.name, topic.partitions, replication, topic_configs=settings(topic, replication)) for topic in new]
            answer = await admin.create_topics(made)
            _refuse((name, code, words) for name, code, words in answer.topic_errors)
        # What is not named in an alteration goes back to the broker's default.
        old = {topic.name: settings(topic, there[topic.name]) for topic in TOPICS.values() if topic.name in there}
        if old:
            answers = await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs=configs) for name, configs in old.items()])
            _refuse((name, code, words) for answer in answers for code, words, _, name in answer.resources)
        return len(new)
    finally:
        await admin.close()


def settings(topic: Topic[Any], replicas: int) -> dict[str, str]:
    """Everything that is set on a topic: of several replicas all but one have to have a record before it is acknowledged."""
    return topic.config | {"min.insync.replicas": str(max(1, replicas - 1))}


def _refuse(answers: Iterable[tuple[str, int, str | None]]) -> None:
    refused: dict[str, list[str]] = {}  # what is wrong is mostly the same for all of them
    for name, code, words in answers:
        if code:
            refused.setdefault(words or for_code(code).__name__, []).append(name)
    if refused:
        raise RuntimeError("; ".join(f"{len(names)} topics were refused, as {names[0]}: {words}" for words, names in refused.items()))


def main() -> None:
    replication = os.environ.get("KAFKA_REPLICATION", "1")
    if sys.argv[1:] != ["create"] or "KAFKA_SERVERS" not in os.environ:
        sys.exit("usage: KAFKA_SERVERS=… python -m shared.topics create")
    if not replication.isdecimal() or not 0 < int(replication) < 100:
        sys.exit(f"KAFKA_REPLICATION={replication}: give how many brokers keep each record, from 1")
    logging.disable()  # the client's own lines: what went wrong is said below
    try:
        made = asyncio.run(create(Kafka(), int(replication)))
    except ValidationError as error:
        sys.exit(wrong(error))
    except (KafkaError, OSError) as error:
        sys.exit(f"the broker does not answer ({error})")
    except RuntimeError as error:
        sys.exit(str(error))
    sys.stdout.write(f"{made} topics made, {len(TOPICS)} declared\n")


if __name__ == "__main__":
    main()
