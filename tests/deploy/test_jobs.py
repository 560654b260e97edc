"""An operator's commands answer each mistake in one line, without a traceback."""

import logging
import os
import subprocess
import sys
from dataclasses import replace
from datetime import datetime

import pytest
from sqlalchemy import make_url

from deploy.local.places import ROOT, free_port
from shared import dead_letters, topics
from shared.db import asyncpg_url
from shared.events.registry import TOPICS, DeadLetter
from tests.conftest import Database

PASSWORDS = {"OWNER_PASSWORD": "one", "APP_PASSWORD": "two", "WORKER_PASSWORD": "three"}


def said(*words: str, **env: str) -> str:
    """The one line with which a command fails."""
    argv = [sys.executable, "-m", *words]
    done = subprocess.run(argv, cwd=ROOT, env={"PATH": os.environ["PATH"]} | env, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == "", done
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    ("service", "wrong", "words"),
    [
        ("postign", {}, "there is no service postign here, only contracts, invoicing, notifier, portal, posting"),
        ("posting", {"OWNER_PASSWORD": "", "APP_PASSWORD": ""}, "not set: OWNER_PASSWORD, APP_PASSWORD"),
        ("posting", {"ADMIN_DATABASE_URL": "nonsense"}, "ADMIN_DATABASE_URL is no postgresql://role:password@host/database"),
        ("posting", {"ADMIN_DATABASE_URL": "postgresql://postgres:p@database.invalid/postgres"}, "the database does not answer ("),
        ("posting", {"ADMIN_DATABASE_URL": f"postgresql://postgres:p@127.0.0.1:{free_port()}/postgres"}, "the database does not answer ("),
    ],
)
@pytest.mark.req("PF-05")
def test_setting_up_a_database_says_what_is_wrong(service: str, wrong: dict[str, str], words: str) -> None:
    env = {"ADMIN_DATABASE_URL": "postgresql://postgres:p@127.0.0.1/postgres"} | PASSWORDS | wrong
    assert said("shared.db", "setup", service, **env).startswith(words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"username": "nobody"}, "the database refuses ("),
        ({"database": "nowhere"}, 'the database refuses (database "nowhere" does not exist)'),
    ],
)
@pytest.mark.req("PF-05")
def test_setting_up_a_database_says_when_it_is_refused(postgres: Database, change: dict[str, str], words: str) -> None:
    url = make_url(asyncpg_url(postgres.admin_url)).set(**change).render_as_string(hide_password=False)  # type: ignore[arg-type]
    assert said("shared.db", "setup", "posting", ADMIN_DATABASE_URL=url, **PASSWORDS).startswith(words)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"KAFKA_REPLICATION": "x"}, "KAFKA_REPLICATION=x: give how many brokers keep each record, from 1"),
        ({"KAFKA_REPLICATION": "0"}, "KAFKA_REPLICATION=0: give how many brokers keep each record, from 1"),
        ({"KAFKA_SERVERS": "127.0.0.1:web"}, "KAFKA_SERVERS: give host:port, several with commas between them"),
        ({"KAFKA_SECURITY": "SASL_SSL"}, "with KAFKA_SECURITY=SASL_SSL give KAFKA_USER and KAFKA_PASSWORD"),
        ({"KAFKA_SERVERS": "broker.invalid:9092"}, "the broker does not answer ("),
        ({}, "the broker does not answer ("),
    ],
)
@pytest.mark.req("PF-05")
def test_making_topics_says_what_is_wrong(wrong: dict[str, str], words: str) -> None:
    assert said("shared.topics", "create", **{"KAFKA_SERVERS": f"127.0.0.1:{free_port()}"} | wrong).startswith(words)


@pytest.mark.req("PF-05")
def test_making_topics_says_once_that_there_are_too_few_brokers(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "TOPICS", {f"few.{name}": replace(topic, name=f"few.{name}") for name, topic in TOPICS.items()})
    monkeypatch.setattr(sys, "argv", ["topics", "create"])
    monkeypatch.setattr(logging, "disable", lambda: None)  # here other tests' lines are to be seen
    monkeypatch.setenv("KAFKA_SERVERS", kafka)
    monkeypatch.setenv("KAFKA_REPLICATION", "3")
    with pytest.raises(SystemExit) as refused:
        topics.main()
    line = str(refused.value)
    assert line.startswith(f"{len(TOPICS)} topics were refused, as few.") and line.lower().count("replication") == 1 and "\n" not in line


@pytest.mark.req("PF-05")
def test_reading_answers_says_that_the_broker_does_not_answer() -> None:
    assert said("shared.dead_letters", KAFKA_SERVERS=f"127.0.0.1:{free_port()}").startswith("the broker does not answer (")
    assert said("shared.dead_letters", KAFKA_SERVERS="nowhere") == "KAFKA_SERVERS: give host:port, several with commas between them"


@pytest.mark.req("PF-05")
def test_migrating_says_what_is_wrong_with_the_address() -> None:
    line = said("services.posting", "migrate", DATABASE_OWNER_URL="postgresql+asyncpg://o:hidden@127.0.0.1/posting?sslmode=verify-ful")
    assert line.startswith("posting cannot migrate: DATABASE_OWNER_URL: for TLS give ?sslmode=, one of disable, ") and "hidden" not in line


@pytest.mark.req("PF-02")
def test_an_answer_is_shown_in_utc_and_a_warning_without_a_place() -> None:
    letter = DeadLetter(
        practice_id="195900", parked_id=None, consumer="posting.claims", topic="claim.billed", partition=None, offset=None, event_id="e-1", path=None,
        reason="the same version with other content",
    )  # fmt: skip
    wanted = "2026-11-22T22:30:00Z  claim.billed  195900/X-1  posting took it in: the same version with other content"
    assert dead_letters.line(datetime.fromisoformat("2026-11-23T00:30:00+02:00"), "195900/X-1", letter) == wanted
