"""The environment of every service, typed; a service adds its own fields in `services/<name>/settings.py`."""

from pathlib import Path

from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    """Names are those of the environment variables; one that is missing is named in the error at start."""

    kafka_servers: str
    database_app_url: str
    database_worker_url: str
    http_host: str = "127.0.0.1"
    http_port: int
    public_url: str
    clock_file: Path | None = None
    replica: int = 0
    oidc_issuer: str
    oidc_client_id: str
    oidc_client_secret: str
    session_secret: str
    staff_links: dict[str, str]
    otel_exporter_otlp_endpoint: str | None = None
    trace_sample: float = 1.0
    log_level: str = "INFO"
