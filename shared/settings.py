"""The environment of every service, typed; a service adds its own fields in `services/<name>/settings.py`."""

import re
import ssl
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


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
    mode, authorities = url.query.get("sslmode", "prefer"), url.query.get("sslrootcert")
    if "ssl" in url.query or mode not in SSL_MODES:
        raise PydanticCustomError("database", f"for TLS give ?sslmode=, one of {', '.join(SSL_MODES)}")
    if authorities:
        _authorities(Path(str(authorities)))
    elif mode in ("verify-ca", "verify-full"):
        raise PydanticCustomError("database", "what verifies the server needs &sslrootcert=, a file with its authorities")
    return text


def _address(text: str) -> str:
    found = urlsplit(text)
    if found.scheme not in ("http", "https") or not found.hostname:
        raise PydanticCustomError("address", "give an address like https://billing.example")
    return text


def _authorities(file: Path) -> Path:
    try:
        tls(file)
    except OSError:
        raise PydanticCustomError("authorities", "give a file with certificates of authorities, as PEM") from None
    return file


def tls(authorities: Path | None) -> ssl.SSLContext:
    """How a server's certificate and name are checked: by these authorities alone, or by those of the system."""
    return ssl.create_default_context(cafile=authorities)


def unused(settings: BaseSettings, given: str, *names: str) -> None:
    """Refuses settings that would do nothing beside another one: who gave them believes that they do."""
    if found := [name.upper() for name in names if name in settings.model_fields_set]:
        raise PydanticCustomError("unused", f"with {given} there is no use for {', '.join(found)}")


def wrong(error: ValidationError) -> str:
    """What is wrong with settings, in one line: the name of each, but where several do not go together, and words."""
    found = [(".".join(map(str, each["loc"])).upper(), each["msg"]) for each in error.errors()]
    return "; ".join(f"{name}: {words[0].lower()}{words[1:]}" if name else words for name, words in found)


DatabaseUrl = Annotated[str, AfterValidator(_database)]
Address = Annotated[str, AfterValidator(_address)]
Authorities = Annotated[Path, AfterValidator(_authorities)]
Filled = Annotated[str, Field(min_length=1)]
Signing = Annotated[str, Field(min_length=16)]
"""A secret that signs what browsers keep."""


class Owner(BaseSettings):
    """The environment of who migrates."""

    model_config = SettingsConfigDict(hide_input_in_errors=True)

    database_owner_url: DatabaseUrl


class Kafka(BaseSettings):
    """Where the broker is, and how its clients come in; names are those of the environment variables."""

    model_config = SettingsConfigDict(hide_input_in_errors=True)  # there are passwords among them

    kafka_servers: Annotated[str, AfterValidator(_servers)]
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = "SCRAM-SHA-512"
    kafka_user: Filled | None = None
    kafka_password: Filled | None = Field(default=None, repr=False)
    kafka_ca_file: Authorities | None = None

    @model_validator(mode="after")
    def _kafka_agrees(self) -> Self:
        given = f"KAFKA_SECURITY={self.kafka_security}"
        if not self.signs_in:
            unused(self, given, "kafka_user", "kafka_password", "kafka_sasl_mechanism")
        elif not (self.kafka_user and self.kafka_password):
            raise PydanticCustomError("broker", f"with {given} give KAFKA_USER and KAFKA_PASSWORD")
        if not self.encrypts:
            unused(self, given, "kafka_ca_file")
        return self

    @property
    def signs_in(self) -> bool:
        return self.kafka_security.startswith("SASL_")

    @property
    def encrypts(self) -> bool:
        return self.kafka_security.endswith("SSL")

    def kafka_tls(self) -> ssl.SSLContext | None:
        return tls(self.kafka_ca_file) if self.encrypts else None

    def kafka_options(self) -> dict[str, Any]:
        """What every client of the broker is made with."""
        login = {
            "sasl_mechanism": self.kafka_sasl_mechanism,
            "sasl_plain_username": self.kafka_user,
            "sasl_plain_password": self.kafka_password,
        }
        options = {"bootstrap_servers": self.kafka_servers, "security_protocol": self.kafka_security, "ssl_context": self.kafka_tls()}
        return options | (login if self.signs_in else {})


class Settings(Kafka):
    """Those of every service; one that is missing or wrong is named in the error at start."""

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
