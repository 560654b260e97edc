"""Kafka and PostgreSQL in containers, where Docker is there with their images."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")  # its reaper is an image of its own; who starts here, ends here

import docker
from docker.errors import DockerException
from testcontainers.core.container import DockerContainer

from deploy.local.places import free_port

STANDINS = {"KAFKA_IMAGE": "standin/kafka:4.3.1", "POSTGRES_IMAGE": "standin/postgres:18"}  # deploy/images/standins
NAME = "billfold-contract"
PASSWORD = "admin-of-the-tests"
ONE_NODE = {  # the official image forgets its own defaults as soon as one is set
    "KAFKA_NODE_ID": "1",
    "KAFKA_PROCESS_ROLES": "broker,controller",
    "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
    "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
    "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
    "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "6",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": "6",
    "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR": "1",
    "KAFKA_HEAP_OPTS": "-Xmx384m",
}
FOR_TESTS = "-c fsync=off -c synchronous_commit=off -c max_connections=200 -c track_commit_timestamp=on"


def images() -> dict[str, str] | None:
    """The images by their variables: those that are named, else stand-ins that were built here.

    None where there is no Docker or neither: the tests then run on servers without containers. Not in CI, where this is an error.
    """
    try:
        client = docker.from_env()
        built = {tag for image in client.images.list() for tag in image.tags}
        client.close()
    except DockerException as error:
        return _none(f"Docker does not answer: {error}")
    found = {name: os.environ.get(name) or standin for name, standin in STANDINS.items() if os.environ.get(name) or standin in built}
    return found if found.keys() == STANDINS.keys() else _none(f"{' and '.join(STANDINS)} are not set, and stand-ins are not built")


def _none(why: str) -> None:
    if os.environ.get("FORBID_SKIPS"):
        raise RuntimeError(f"contracts are tested on containers, and {why}")


def forget_old() -> None:
    """Removes containers of runs that were killed."""
    client = docker.from_env()
    for each in client.containers.list(all=True, filters={"name": NAME}):
        if not Path(f"/proc/{each.name.rsplit('-', 1)[1]}").exists():
            each.remove(force=True, v=True)
    client.close()


@contextmanager
def kafka(image: str) -> Iterator[int]:
    """A broker; its port, which it has to know before it starts, since it tells clients."""
    port = free_port()
    container = DockerContainer(image, name=f"{NAME}-kafka-{os.getpid()}").with_bind_ports(9092, port)
    with container.with_envs(**ONE_NODE, KAFKA_ADVERTISED_LISTENERS=f"PLAINTEXT://127.0.0.1:{port}"):
        yield port


@contextmanager
def postgres(image: str) -> Iterator[str]:
    """A database server; the superuser's address."""
    port = free_port()
    container = DockerContainer(image, name=f"{NAME}-postgres-{os.getpid()}").with_bind_ports(5432, port).with_env("POSTGRES_PASSWORD", PASSWORD)
    with container.with_command(FOR_TESTS):
        yield f"postgresql+asyncpg://postgres:{PASSWORD}@127.0.0.1:{port}/postgres"
