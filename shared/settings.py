"""The environment of every service, typed; a service adds its own fields in `services/<name>/settings.py`."""

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError


def _servers(text: str) -> str:
    found = [re.fullmatch(r"\s*[^\s:]+:(\d{1,5})\s*", server) for server in text.split(",")]
    if not all(server and 0 < int(server[1]) < 65536 for server in found):
        raise PydanticCustomError("servers", "give host:port, several with commas between them")
    return text


def _database(text: str) -> str:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.drivername != "postgresql+asyncpg" or not (url.username and url.host and url.database):
        raise PydanticCustomError("database", "give postgresql+asyncpg://role:password@host/database")
    return text


def _address(text: str) -> str:
    found = urlsplit(text)
    if found.scheme not in ("http", "https") or not found.hostname:
        raise PydanticCustomError("address", "give an address like https://billing.example")
    return text


DatabaseUrl = Annotated[str, AfterValidator(_database)]
Address = Annotated[str, AfterValidator(_address)]
Filled = Annotated[str, Field(min_length=1)]
Signing = Annotated[str, Field(min_length=16)]
"""A secret that signs what browsers keep."""


class Settings(BaseSettings):
    """Names are those of the environment variables; one that is missing or wrong is named in the error at start."""

    kafka_servers: Annotated[str, AfterValidator(_servers)]
    database_app_url: DatabaseUrl
    database_worker_url: DatabaseUrl
    http_host: str = "127.0.0.1"
    http_port: int = Field(gt=0, lt=65536)
    public_url: Address
    clock_file: Path | None = None
    replica: int = Field(default=0, ge=0)
    oidc_issuer: Address
    oidc_client_id: Filled
    oidc_client_secret: Filled
    session_secret: Signing
    staff_links: dict[str, Address]
    otel_exporter_otlp_endpoint: Address | None = None
    trace_sample: float = Field(default=1.0, ge=0, le=1)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
