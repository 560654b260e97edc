"""Each service by itself, with a broker and its own database; and what it says when it lacks one of them."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import asyncpg
import pytest

from deploy import compose
from deploy.local.plan import SERVICES
from shared.db import asyncpg_url
from tests.containers.conftest import Stack, docker, say
from tests.shared.test_consumption import until

OURS = set(SERVICES)
ANY = "/api/practices/195900/anything"


@pytest.fixture
def alone(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Starts one service with what it depends on; afterwards it is gone, and its database with it."""
    started: list[str] = []
    monkeypatch.setenv("TRACE_SAMPLE", "0")  # nothing takes spans here, and a service that ends tries for ten seconds to be rid of them

    def start(service: str) -> None:
        stack.compose("up", "--detach", service)
        started.append(service)

    yield start
    for service in started:
        stack.compose("rm", "--stop", "--force", service, f"{service}-migrate", f"{service}-database")


async def admin(stack: Stack, statement: str) -> list[str]:
    connection = await asyncpg.connect(asyncpg_url(stack.plan.admin_url))
    try:
        return [row[0] for row in await connection.fetch(statement)]
    finally:
        await connection.close()


def get(stack: Stack, service: str, path: str) -> tuple[int, str]:
    """Status and body of an answer; 0 where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{stack.plan.ports[service]}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def trouble(stack: Stack, service: str) -> dict[str, str]:
    """What readiness says is not well; empty while nobody answers."""
    status, body = get(stack, service, "/health/ready")
    return {name: words for name, words in json.loads(body)["checks"].items() if words != "well"} if status == 503 else {}


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.req("PF-01", "PF-05")
async def test_a_service_migrates_starts_and_serves_with_only_kafka_and_its_own_database(
    stack: Stack, alone: Callable[[str], None], request: pytest.FixtureRequest, service: str
) -> None:
    alone(service)

    async def ready() -> bool:
        return compose.is_ready(stack.plan, service)

    await until(ready, 60)
    took = datetime.now(UTC) - stack.moment(service, "StartedAt")
    say(request, f"{service}: ready {took.total_seconds():.1f} s after its container started (10 s are allowed)")
    running = set(docker("ps", "--filter", f"label=com.docker.compose.project={compose.project(stack.plan.state)}", "--format",
                         '{{.Label "com.docker.compose.service"}}').split())  # fmt: skip
    assert running == {"kafka", "postgres", service}
    assert OURS & set(await admin(stack, "SELECT datname FROM pg_database")) == {service}
    assert get(stack, service, "/health/live")[0] == 200
    assert "billfold_records_total" in get(stack, service, "/metrics")[1]
    assert get(stack, service, f"/api/practices/195900/{'accounts' if service == 'invoicing' else 'anything'}")[0] in (401, 404)
    docker("stop", stack.container(service))
    assert docker("inspect", "--format", "{{.State.ExitCode}}", stack.container(service)).strip() == "0"
    await admin(stack, f'DROP DATABASE "{service}" WITH (FORCE)')


@pytest.mark.req("PF-05")
async def test_a_service_says_in_words_which_of_database_schema_and_broker_it_lacks(stack: Stack, alone: Callable[[str], None]) -> None:
    alone("posting")

    async def says(words: dict[str, str]) -> None:
        async def said() -> bool:
            found = trouble(stack, "posting")
            return words.keys() <= found.keys() and all(found[name].startswith(start) for name, start in words.items())

        await until(said, 60)

    async def ready() -> bool:
        return compose.is_ready(stack.plan, "posting")

    await until(ready, 60)
    connection = await asyncpg.connect(asyncpg_url(stack.plan.database("posting", "owner")))
    head = await connection.fetchval("SELECT version_num FROM alembic_version")
    await connection.execute("UPDATE alembic_version SET version_num = '0001'")
    await says({"schema": f"the schema is at revision 0001, this code needs {head}: run `python -m services.posting migrate`"})
    docker("restart", stack.container("posting"))
    await says({"schema": "the schema is at revision 0001", "consumers": "posting."})  # it reads nothing before the schema is there
    assert get(stack, "posting", ANY)[0] == 503  # and answers nothing
    await connection.execute("UPDATE alembic_version SET version_num = $1", head)
    await connection.close()
    await until(ready, 60)
    docker("stop", stack.container("kafka"))
    await says({"consumers": "the broker does not answer"})
    docker("restart", stack.container("posting"))
    await says({"consumers": "the broker does not answer"})

    async def answers() -> bool:
        return get(stack, "posting", ANY)[0] in (401, 404)

    await until(answers, 60)  # pages need no broker
    docker("start", stack.container("kafka"))
    await until(ready, 90)
    docker("stop", stack.container("postgres"))
    await says({"database": "the database does not answer"})
    docker("restart", stack.container("posting"))
    await says({"database": "the database does not answer"})
    assert get(stack, "posting", ANY)[0] == 503
    docker("start", stack.container("postgres"))
    await until(ready, 60)
    logged = docker("logs", "--tail=50", stack.container("posting")).splitlines()
    assert any("not started yet: the database does not answer" in json.loads(line)["message"] for line in logged)


SETTINGS = {
    "KAFKA_SERVERS": "kafka:9092",
    "DATABASE_APP_URL": "postgresql+asyncpg://app:secret@database/notifier",
    "DATABASE_WORKER_URL": "postgresql+asyncpg://worker:secret@database/notifier",
    "PUBLIC_URL": "http://notifier.example",
    "OIDC_ISSUER": "http://oidc.example",
    "OIDC_CLIENT_ID": "notifier",
    "OIDC_CLIENT_SECRET": "secret",
    "SESSION_SECRET": "a secret of sixteen and more",
    "STAFF_LINKS": "{}",
    "PORTAL_URL": "http://portal.example",
    "SMTP_HOST": "mail",
    "SMTP_PORT": "1025",
    "MAIL_SENDER": "billing@billfold.example",
    "SMS_URL": "http://texts.example",
    "SEALING_PRIVATE_KEY": "A" * 43 + "=",
}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"SMTP_HOST": None}, "SMTP_HOST: field required"),
        ({"KAFKA_SERVERS": "kafka"}, "KAFKA_SERVERS: give host:port, several with commas between them"),
        ({"DATABASE_APP_URL": "mysql://database"}, "DATABASE_APP_URL: give postgresql+asyncpg://role:password@host/database"),
        ({"HTTP_PORT": "web"}, "HTTP_PORT: input should be a valid integer"),
        ({"SEALING_PRIVATE_KEY": "short"}, "SEALING_PRIVATE_KEY: a sealing key is 32 bytes written as base64"),
        ({"STAFF_LINKS": "none"}, 'error parsing value for field "staff_links"'),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL: input should be 'DEBUG'"),
    ],
)
@pytest.mark.req("PF-05")
def test_an_image_with_a_wrong_setting_says_which_in_one_line_and_exits(stack: Stack, wrong: dict[str, str | None], words: str) -> None:
    given = [f"--env={name}={value}" for name, value in (SETTINGS | wrong).items() if value is not None]
    with pytest.raises(RuntimeError) as failed:
        docker("run", "--rm", "--read-only", "--network=none", *given, "billfold/notifier")
    said = str(failed.value).partition("billfold/notifier: ")[2].strip()
    assert said.startswith("notifier has wrong settings: ") and words in said and "\n" not in said


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "posting cannot migrate: DATABASE_OWNER_URL: field required"),
        (["--env=DATABASE_OWNER_URL=nonsense"], "posting cannot migrate: DATABASE_OWNER_URL: give postgresql+asyncpg://"),
        (["--env=DATABASE_OWNER_URL=postgresql+asyncpg://o:p@127.0.0.1/x"], "posting cannot migrate: the database does not answer"),
    ],
)
@pytest.mark.req("PF-05")
def test_an_image_that_cannot_migrate_says_why_in_one_line_and_exits(stack: Stack, given: list[str], words: str) -> None:
    with pytest.raises(RuntimeError) as failed:
        docker("run", "--rm", "--read-only", "--network=none", *given, "billfold/posting", "migrate")
    said = str(failed.value).partition("billfold/posting migrate: ")[2].strip()
    assert said.startswith(words) and "\n" not in said
