"""Encrypted ways in, with a login: a service's clients of a real broker, and of a database behind TLS."""

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from sqlalchemy import make_url, text

from deploy.local import kafka as kafka_server
from deploy.local.places import ROOT, free_port
from shared import db, migrate
from shared.db import Database
from shared.events.ingress import CLAIM_VOIDED
from shared.relay import Relay
from shared.service import Service
from shared.settings import Kafka
from tests.certificates import Certificates, certificates
from tests.conftest import Database as Server
from tests.shared.conftest import Toy
from tests.shared.test_consumption import _seen, consuming, until
from tests.shared.test_relay import put

PASSWORD = "p-of-the-tests"
LOGIN = {"KAFKA_USER": "billfold", "KAFKA_PASSWORD": PASSWORD}
WAYS_IN = {
    "SSL": {"KAFKA_SECURITY": "SSL"},
    "SCRAM": {"KAFKA_SECURITY": "SASL_SSL", **LOGIN},
    "PLAIN": {"KAFKA_SECURITY": "SASL_SSL", "KAFKA_SASL_MECHANISM": "PLAIN", **LOGIN},
    "unencrypted SCRAM": {"KAFKA_SECURITY": "SASL_PLAINTEXT", "KAFKA_SASL_MECHANISM": "SCRAM-SHA-256", **LOGIN},
}


@pytest.fixture(scope="module")
def trusted(throw_away: Path) -> Certificates:
    folder = throw_away / "transports"
    folder.mkdir()
    return certificates(folder)


@pytest.fixture(scope="module")
def closed(throw_away: Path, trusted: Certificates) -> Iterator[dict[str, str]]:
    """The address of a broker by KAFKA_SECURITY."""
    data, ports = throw_away / "kafka-closed", {name: free_port() for name in ("PLAINTEXT", "SSL", "SASL_SSL", "SASL_PLAINTEXT")}
    control = free_port()
    listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
    kinds = ",".join(f"{name}:{name}" for name in ports)
    login = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_billfold="{PASSWORD}"'
    more = f"""\
listeners={listeners},CONTROLLER://127.0.0.1:{control}
advertised.listeners={listeners}
listener.security.protocol.map={kinds},CONTROLLER:PLAINTEXT
ssl.keystore.type=PEM
ssl.keystore.location={trusted.server}
listener.name.sasl_ssl.sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.plain.sasl.jaas.config={login};
listener.name.sasl_plaintext.sasl.enabled.mechanisms=SCRAM-SHA-256
listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
"""
    users = [f"SCRAM-SHA-{bits}=[name=billfold,password={PASSWORD}]" for bits in (256, 512)]
    server = kafka_server.start(data, ports["PLAINTEXT"], control, throw_away / "kafka-closed.log", "256m", more, users)
    yield {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    kafka_server.stop(server)


def way_in(closed: dict[str, str], trusted: Certificates, name: str) -> dict[str, str]:
    """The environment of a client."""
    env = {"KAFKA_SERVERS": closed[WAYS_IN[name]["KAFKA_SECURITY"]], **WAYS_IN[name]}
    return env | ({"KAFKA_CA_FILE": str(trusted.authority)} if env["KAFKA_SECURITY"].endswith("SSL") else {})


def command(module: str, env: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-m", module, *words]
    return subprocess.run(argv, cwd=ROOT, env={"PATH": os.environ["PATH"]} | env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", WAYS_IN)
@pytest.mark.req("PF-05")
async def test_topics_relay_consumer_and_commands_come_in_by_tls_and_login(
    toy: Toy, closed: dict[str, str], trusted: Certificates, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    env = way_in(closed, trusted, name)
    made = await asyncio.to_thread(command, "shared.topics", env, "create")
    assert (made.returncode, made.stderr) == (0, ""), made
    for setting, value in env.items():
        monkeypatch.setenv(setting, value)
    settings = Kafka()
    await put(toy, CLAIM_VOIDED, range(1, 4))
    relay = asyncio.create_task(Relay("toy", settings, toy.url).run())
    try:
        async with consuming(toy, CLAIM_VOIDED, settings=settings):
            await until(lambda: _seen(toy, 3))
    finally:
        relay.cancel()
    service: Any = SimpleNamespace(settings=settings)
    assert await Service._broker_well(service)
    read = await asyncio.to_thread(command, "shared.dead_letters", env)
    assert (read.returncode, read.stdout) == (0, "0 answers\n"), read
    assert PASSWORD not in caplog.text + repr(settings)


@pytest.mark.parametrize(
    "wrong", [{"KAFKA_PASSWORD": "another-of-the-tests"}, {"KAFKA_CA_FILE": ""}, {"KAFKA_USER": "somebody"}], ids=["password", "authority", "user"]
)
@pytest.mark.req("PF-05")
def test_a_login_that_is_refused_is_said_in_one_line_without_the_password(
    closed: dict[str, str], trusted: Certificates, wrong: dict[str, str]
) -> None:
    env = {name: value for name, value in (way_in(closed, trusted, "SCRAM") | wrong).items() if value}
    refused = command("shared.topics", env, "create")
    (line,) = refused.stderr.splitlines()
    assert refused.returncode == 1 and line.startswith("the broker does not answer (") and env["KAFKA_PASSWORD"] not in line


@pytest.fixture
async def front(postgres: Server, trusted: Certificates) -> AsyncIterator[int]:
    """The port of the database behind TLS, which these binaries of PostgreSQL lack: what is not encrypted is refused."""
    behind, tasks = make_url(postgres.admin_url), set[Any]()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while part := await reader.read(65536):
                writer.write(part)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            asked = await reader.readexactly(8)
            if asked != (8).to_bytes(4) + (80877103).to_bytes(4):  # the request for TLS
                return writer.close()
            writer.write(b"S")
            await writer.start_tls(trusted.context())
            server = await asyncio.open_connection(behind.host, behind.port)
            await asyncio.gather(pump(reader, server[1]), pump(server[0], writer))

    async with await asyncio.start_server(serve, "127.0.0.1", port := free_port()):
        yield port
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.req("PF-05")
async def test_every_user_of_a_database_comes_in_by_tls(postgres: Server, front: int, trusted: Certificates, kafka: str) -> None:
    urls = await postgres.fresh("invoicing")

    def verified(url: str, **change: str) -> str:
        tls = {"sslmode": "verify-full", "sslrootcert": str(trusted.authority)}
        return make_url(url).set(port=front).update_query_dict(tls | change).render_as_string(hide_password=False)

    await migrate.migrate("invoicing", verified(urls.owner))
    worker = Database(verified(urls.worker), "test")
    async with worker.begin() as tx:
        assert (await tx.execute(text("SELECT count(*) FROM alembic_version"))).scalar_one() == 1
        assert (await tx.execute(text("SHOW application_name"))).scalar_one() == "test"
    await worker.close()
    relay = Relay("toy", Kafka(kafka_servers=kafka), verified(urls.worker))
    leading = asyncio.create_task(relay._lead())

    async def active() -> bool:
        return relay.active

    await until(active)
    leading.cancel()
    await asyncio.gather(leading, return_exceptions=True)
    with pytest.raises((asyncpg.PostgresError, OSError)):
        await db.connect(verified(urls.worker, sslmode="disable"))
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        await db.connect(verified(urls.worker).replace("127.0.0.1", "localhost"))
