"""What a service needs before it works: settings, its own database with the right roles; and when it gives itself up."""

import re
from typing import Any

import asyncpg
import certifi
import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from shared.db import asyncpg_url
from shared.service import STUCK_SECONDS, Service, Stillness
from shared.settings import Settings, wrong
from tests.conftest import Database as Server
from tests.shared.test_consumption import until
from tests.staff import environment, signed_in

APP = "postgresql+asyncpg://posting_app:secret@database/posting"
GOOD = {
    "kafka_servers": "one:9092, two:9092",
    "database_app_url": f"{APP}?sslmode=require",
    "database_worker_url": "postgresql+asyncpg://posting_worker:secret@database:6432/posting",
    "http_port": 8080,
    "public_url": "https://posting.example",
    "oidc_issuer": "https://signin.example/realm",
    "oidc_client_id": "posting",
    "oidc_client_secret": "secret",
    "session_secret": "sixteen letters.",
    "staff_links": {"posting": "https://posting.example"},
}
AUTHORITIES = certifi.where()
BAD: list[tuple[str, Any]] = [
    ("kafka_servers", "kafka"),
    ("kafka_servers", "kafka:99999"),
    ("database_app_url", "postgresql://posting_app@database/posting"),
    ("database_app_url", "postgresql+asyncpg://"),
    ("database_worker_url", "postgresql+asyncpg://database/posting"),
    ("kafka_security", "TLS"),
    ("kafka_sasl_mechanism", "GSSAPI"),
    ("kafka_ca_file", "/nowhere.pem"),
    ("kafka_ca_file", __file__),
    ("database_app_url", f"{APP}?ssl=require"),
    ("database_app_url", f"{APP}?sslmode=on"),
    ("database_app_url", f"{APP}?sslmode=verify-full"),
    ("database_worker_url", f"{APP}?sslmode=verify-full&sslrootcert=/nowhere.pem"),
    ("http_port", 0),
    ("public_url", ""),
    ("public_url", "posting.example"),
    ("oidc_issuer", "ftp://signin.example"),
    ("oidc_client_id", ""),
    ("oidc_client_secret", ""),
    ("session_secret", "short"),
    ("staff_links", {"posting": "nonsense"}),
    ("otel_exporter_otlp_endpoint", "telemetry"),
    ("replica", -1),
    ("trace_sample", 2),
    ("log_level", "LOUD"),
]


@pytest.mark.req("PF-05")
def test_good_settings_are_taken() -> None:
    assert Settings(**GOOD).replica == 0


@pytest.mark.parametrize(("name", "value"), BAD)
@pytest.mark.req("PF-05")
def test_a_wrong_setting_is_named(name: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(**{**GOOD, name: value})
    assert [error["loc"][0] for error in refused.value.errors()] == [name]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"kafka_security": "SASL_SSL"}, "with KAFKA_SECURITY=SASL_SSL give KAFKA_USER and KAFKA_PASSWORD"),
        ({"kafka_security": "SASL_SSL", "kafka_user": "u"}, "with KAFKA_SECURITY=SASL_SSL give KAFKA_USER and KAFKA_PASSWORD"),
        ({"kafka_user": "u", "kafka_password": "hidden"}, "with KAFKA_SECURITY=PLAINTEXT there is no use for KAFKA_USER, KAFKA_PASSWORD"),
        ({"kafka_security": "SSL", "kafka_sasl_mechanism": "PLAIN"}, "with KAFKA_SECURITY=SSL there is no use for KAFKA_SASL_MECHANISM"),
        ({"kafka_ca_file": AUTHORITIES}, "with KAFKA_SECURITY=PLAINTEXT there is no use for KAFKA_CA_FILE"),
    ],
)
@pytest.mark.req("PF-05")
def test_settings_of_the_broker_that_do_not_go_together_are_named_and_no_password_is(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(**GOOD | given)
    assert wrong(refused.value) == words
    assert "hidden" not in str(refused.value)


@pytest.fixture
async def app(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    environment("invoicing", await postgres.migrated("invoicing"), monkeypatch)
    from services.invoicing.main import build

    return build()


@pytest.fixture
def invoicing(app: FastAPI) -> Service:
    found: Service = app.state.service
    return found


@pytest.mark.req("PF-01")
async def test_a_service_says_when_a_database_is_not_its_own(postgres: Server, invoicing: Service) -> None:
    assert await invoicing._database() is None and await invoicing._schema() is None
    invoicing.name = "notifier"  # whose revisions have lower numbers
    assert await invoicing._schema() == "this is not the database of notifier: it has no table accounts"


@pytest.mark.req("PF-01")
async def test_a_service_says_when_its_roles_are_crossed(invoicing: Service) -> None:
    invoicing.app, invoicing.worker = invoicing.worker, invoicing.app
    assert await invoicing._database() == "DATABASE_WORKER_URL signs in as a role that sees one practice at a time"
    invoicing.worker = invoicing.app
    assert await invoicing._database() == "DATABASE_APP_URL signs in as a role that row-level security does not hold"


@pytest.mark.req("PF-05")
async def test_before_its_schema_is_there_a_service_answers_nothing_but_how_it_is(postgres: Server, app: FastAPI, invoicing: Service) -> None:
    """It works whole or not at all. No broker answers here, and that keeps nobody from a page."""
    owner = await asyncpg.connect(asyncpg_url(postgres.urls("invoicing").owner))
    head = await owner.fetchval("SELECT version_num FROM alembic_version")
    await owner.execute("UPDATE alembic_version SET version_num = '0001'")

    async def says(words: str) -> bool:
        return (invoicing.trouble or "well").startswith(words)

    async with signed_in(app, "billing_admin") as http, app.router.lifespan_context(app):
        started = await http.get("/api/practices/p1/accounts")
        await until(lambda: says("the schema is at revision 0001"))
        program = await http.post("/api/practices/p1/runs", json={}, headers={"accept": "application/json"})
        for answer in (started, program):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
            assert answer.headers["content-type"] == "application/problem+json"
        person = await http.get("/staff/p1/accounts", headers={"accept": "text/html"})
        assert person.status_code == 503 and "This is not available right now" in person.text
        assert (await http.get("/health/ready")).json()["checks"]["schema"].startswith("the schema is at revision 0001")
        sheet = re.search(r'href="(/static/[^"]+\.css)"', person.text)
        assert sheet
        for path in ("/health/live", "/metrics", sheet[1]):
            assert (await http.get(path)).status_code == 200
        await owner.execute("UPDATE alembic_version SET version_num = $1", head)
        await owner.close()
        await until(lambda: says("well"))
        assert (await http.get("/api/practices/p1/accounts")).status_code == 200
        assert (await http.get("/health/ready")).json()["checks"]["consumers"] == "the broker does not answer"


@pytest.mark.parametrize(
    ("looks", "gives_up"),
    [
        ([(0, 0, False), (600, 0, True), (610, 0, True), (650, 0, True)], False),  # a quiet time before the work does not count
        ([(0, 0, True), (30, 0, True), (STUCK_SECONDS, 0, True)], True),
        ([(0, 0, True), (50, 0, False), (STUCK_SECONDS, 0, True)], False),  # what it needs was away
        ([(0, 0, True), (50, 40, True), (STUCK_SECONDS, 40, True)], False),  # it moved
        ([(0, 0, True), (50, 40, True), (50 + STUCK_SECONDS, 40, True)], True),
    ],
)
@pytest.mark.req("PF-05")
def test_a_consumer_gives_up_only_after_a_minute_with_work_and_no_move(looks: list[tuple[float, float, bool]], gives_up: bool) -> None:
    still = Stillness()
    assert [still.look(*look) for look in looks][-1] == gives_up
