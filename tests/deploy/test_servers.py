"""The local Kafka and PostgreSQL."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from deploy.local import kafka as kafka_server
from deploy.local import postgres as postgres_server
from deploy.local.places import free_port
from deploy.local.verify import facts
from shared.db import asyncpg_url
from tests.conftest import Database


def pins(*files: Path) -> str:
    return "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)


def test_a_jar_that_is_changed_added_or_missing_stops_the_broker_and_is_named(tmp_path: Path) -> None:
    good, changed, extra, missing = (tmp_path / f"{name}.jar" for name in ("good", "changed", "extra", "missing"))
    for file in (good, changed, extra, missing):
        file.write_text(file.name)
    listing = tmp_path / "pins"
    listing.write_text(pins(good, changed, missing))
    kafka_server.check([good, changed, missing], listing)
    changed.write_text("something else")
    with pytest.raises(SystemExit) as refusal:
        kafka_server.check([good, changed, extra], listing)
    words = str(refusal.value)
    assert "good.jar" not in words
    assert all(name in words for name in ("changed.jar", "extra.jar", "missing.jar"))


def test_a_start_leaves_alone_the_jars_that_others_use() -> None:
    def seen() -> list[tuple[Path, int, int]]:
        return [(path, path.stat().st_ino, path.stat().st_mtime_ns) for path in kafka_server.jars()]

    assert seen() == seen()


async def test_the_broker_delivers_what_was_sent_and_makes_no_topic_by_itself(kafka: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic("servers.try", 2, 1)])
    async with AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True) as producer:
        await producer.send_and_wait("servers.try", b"hello", key=b"1/2")
    async with AIOKafkaConsumer("servers.try", bootstrap_servers=kafka, group_id="servers", auto_offset_reset="earliest") as consumer:
        record = await consumer.getone()
    assert (record.key, record.value) == (b"1/2", b"hello")
    configs = await admin.describe_configs([_broker_config()])
    values = {entry[0]: entry[1] for entry in configs[0].resources[0][4]}
    await admin.close()
    assert values["auto.create.topics.enable"] == "false"


def _broker_config() -> object:
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

    return ConfigResource(ConfigResourceType.BROKER, "1")


async def test_the_database_is_version_18_and_takes_those_of_two_replicas_of_each_service(postgres: Database) -> None:
    engine = create_async_engine(postgres.admin_url)
    async with engine.connect() as connection:
        version = (await connection.execute(text("SHOW server_version"))).scalar_one()
        most = (await connection.execute(text("SHOW max_connections"))).scalar_one()
    await engine.dispose()
    assert version.startswith("18.")
    assert int(most) >= 2 * 5 * 41


async def test_a_row_of_a_time_without_commit_times_was_stored_long_ago(throw_away: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, log = throw_away / "commit-times", throw_away / "commit-times.log"
    found = {}
    for setting, statement in (("off", "CREATE TABLE old AS SELECT 1"), ("on", "CREATE TABLE new AS SELECT 1")):
        monkeypatch.setitem(postgres_server.THROW_AWAY, "track_commit_timestamp", setting)
        server = postgres_server.start(place, free_port(), log, throw_away=True)
        try:
            connection = await asyncpg.connect(asyncpg_url(server.admin_url))
            await connection.execute("CREATE TABLE IF NOT EXISTS outbox (topic text, key text)")
            await connection.execute(statement)
            await connection.close()
            if setting == "on":
                _, found = await facts._database({"operator": {"postgres": server.admin_url}}, "postgres")
        finally:
            postgres_server.stop(server)
    assert found["old"][0]["stored_at"].year == 1970
    assert found["new"][0]["stored_at"] > datetime.now(UTC) - timedelta(days=1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent is gone")
def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from deploy.local.children import spawn\n"
        f"child = spawn(['sleep', '600'], Path({str(tmp_path / 'log')!r})); print(child.pid, flush=True); child.wait()"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    os.kill(child, 0)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    until = time.monotonic() + 10
    while _lives(child) and time.monotonic() < until:
        time.sleep(0.01)
    assert not _lives(child)


def _lives(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
