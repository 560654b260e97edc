"""The environment of every service, typed; a service adds its own fields in `services/<name>/settings.py`."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError


def _servers(text: str) -> str:
    if not all(re.fullmatch(r"\s*[^\s:]+:\d+\s*", server) for server in text.split(",")):
        raise PydanticCustomError("servers", "give host:port, several with commas between them")
    return text


def _database(text: str) -> str:
    try:
        driver = make_url(text).drivername
    except (ArgumentError, ValueError):
        driver = None
    if driver != "postgresql+asyncpg":
        raise PydanticCustomError("database", "give postgresql+asyncpg://role:password@host/database")
    return text


DatabaseUrl = Annotated[str, AfterValidator(_database)]


class Settings(BaseSettings):
    """Names are those of the environment variables; one that is missing or wrong is named in the error at start."""

    kafka_servers: Annotated[str, AfterValidator(_servers)]
    database_app_url: DatabaseUrl
    database_worker_url: DatabaseUrl
    http_host: str = "127.0.0.1"
    http_port: int = Field(gt=0, lt=65536)
    public_url: str
    clock_file: Path | None = None
    replica: int = 0
    oidc_issuer: str
    oidc_client_id: str
    oidc_client_secret: str
    session_secret: str
    staff_links: dict[str, str]
    otel_exporter_otlp_endpoint: str | None = None
    trace_sample: float = Field(default=1.0, ge=0, le=1)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
