"""What a service needs before it works: settings, its own database with the right roles; and when it gives itself up."""

from typing import Any

import pytest
from pydantic import ValidationError

from shared.service import STUCK_SECONDS, Service, Stillness
from shared.settings import Settings
from tests.conftest import Database as Server
from tests.staff import environment

GOOD = {
    "kafka_servers": "one:9092, two:9092",
    "database_app_url": "postgresql+asyncpg://posting_app:secret@database/posting",
    "database_worker_url": "postgresql+asyncpg://posting_worker:secret@database:6432/posting",
    "http_port": 8080,
    "public_url": "https://posting.example",
    "oidc_issuer": "https://signin.example/realm",
    "oidc_client_id": "posting",
    "oidc_client_secret": "secret",
    "session_secret": "sixteen letters.",
    "staff_links": {"posting": "https://posting.example"},
}
BAD: list[tuple[str, Any]] = [
    ("kafka_servers", "kafka"),
    ("kafka_servers", "kafka:99999"),
    ("database_app_url", "postgresql://posting_app@database/posting"),
    ("database_app_url", "postgresql+asyncpg://"),
    ("database_worker_url", "postgresql+asyncpg://database/posting"),
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


@pytest.fixture
async def invoicing(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> Service:
    environment("invoicing", await postgres.migrated("invoicing"), monkeypatch)
    from services.invoicing.main import build

    found: Service = build().state.service
    return found


@pytest.mark.req("PF-01")
async def test_a_service_says_when_a_database_is_not_its_own(postgres: Server, invoicing: Service) -> None:
    assert await invoicing._database_trouble() is None and await invoicing._schema_trouble() is None
    invoicing.name = "notifier"  # whose revisions have lower numbers
    assert await invoicing._schema_trouble() == "this is not the database of notifier: it has no table accounts"


@pytest.mark.req("PF-01")
async def test_a_service_says_when_its_roles_are_crossed(invoicing: Service) -> None:
    invoicing.app, invoicing.worker = invoicing.worker, invoicing.app
    assert await invoicing._database_trouble() == "DATABASE_WORKER_URL signs in as a role that sees one practice at a time"
    invoicing.worker = invoicing.app
    assert await invoicing._database_trouble() == "DATABASE_APP_URL signs in as a role that row-level security does not hold"


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
