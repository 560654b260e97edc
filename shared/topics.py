"""`python -m shared.topics create`: makes the topics that are declared, and brings their settings in line; brokers make none by themselves."""

import asyncio
import os
import sys

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from shared.events.registry import TOPICS


async def create(servers: str, replication: int = 1) -> int:
    """Creates what is missing and sets every declared setting; returns how many were new. Partitions are never changed: keys would move."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        there = set(await admin.list_topics())
        new = [topic for topic in TOPICS.values() if topic.name not in there]
        made = [
            NewTopic(topic.name, topic.partitions, replication, topic_configs=topic.config | {"min.insync.replicas": str(max(1, replication - 1))})
            for topic in new
        ]
        if made:
            answer = await admin.create_topics(made)
            if refused := [(name, words) for name, code, words in answer.topic_errors if code]:
                raise RuntimeError(f"topics were refused: {refused}")
        old = [ConfigResource(ConfigResourceType.TOPIC, topic.name, configs=topic.config) for topic in TOPICS.values() if topic.name in there]
        if old:
            await admin.alter_configs(old)
        return len(new)
    finally:
        await admin.close()


def main() -> None:
    if sys.argv[1:] != ["create"] or "KAFKA_SERVERS" not in os.environ:
        sys.exit("usage: KAFKA_SERVERS=… python -m shared.topics create")
    made = asyncio.run(create(os.environ["KAFKA_SERVERS"], int(os.environ.get("KAFKA_REPLICATION", "1"))))
    sys.stdout.write(f"{made} topics made, {len(TOPICS)} declared\n")


if __name__ == "__main__":
    main()
