"""The command line of every service: `python -m services.<name> serve | migrate | parked | replay … | republish …` and what it adds."""

import asyncio
import gc
import sys
from collections.abc import Callable, Mapping, Sequence

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError
from pydantic_settings import SettingsError
from sqlalchemy.exc import DBAPIError

from shared import migrate, parking
from shared.republish import republish
from shared.service import Service
from shared.settings import Owner, wrong

REFUSALS = ("28", "3D", "42501")  # who asks, which database, rights


def main(name: str, build: Callable[[], FastAPI], commands: Mapping[str, Callable[[Sequence[str]], str]] | None = None) -> None:
    """Runs the command named on the command line; `build` puts the service together, `commands` are its own, each answering one line."""
    known = {
        "serve": lambda _: _serve(build),
        "migrate": lambda _: _migrate(name),
        "parked": lambda _: asyncio.run(list_parked(build().state.service)),
        "replay": lambda words: asyncio.run(replay(build().state.service, words)),
        "republish": lambda words: _republish(build, words),
        **(commands or {}),
    }
    chosen = sys.argv[1] if len(sys.argv) > 1 else ""
    if chosen not in known:
        sys.exit(f"usage: python -m services.{name} {'|'.join(known)}")
    try:
        answer = known[chosen](sys.argv[2:])
    except ValidationError as error:
        sys.exit(f"{name} has wrong settings: {wrong(error)}")
    except SettingsError as error:  # a list or table that is not JSON
        sys.exit(f"{name} has wrong settings: {error}")
    except OSError as error:
        sys.exit(f"{name} cannot do this now: database or broker do not answer ({error})")
    if answer:
        sys.stdout.write(answer + "\n")


def _serve(build: Callable[[], FastAPI]) -> str:
    app = build()
    settings = app.state.service.settings
    # Most objects of a batch die young together: fewer and later collections are worth a third of the throughput.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    uvicorn.run(
        app, host=settings.http_host, port=settings.http_port, loop="uvloop", log_config=None, access_log=False, server_header=False,
        timeout_graceful_shutdown=10,
    )  # fmt: skip
    return ""


def _migrate(name: str) -> str:
    try:
        asyncio.run(migrate.migrate(name, Owner().database_owner_url))
    except ValidationError as error:
        sys.exit(f"{name} cannot migrate: {wrong(error)}")
    except OSError as error:
        sys.exit(f"{name} cannot migrate: the database does not answer ({error})")
    except DBAPIError as error:
        if not str(getattr(error.orig, "sqlstate", None)).startswith(REFUSALS):
            raise
        sys.exit(f"{name} cannot migrate: the database refuses ({str(error.orig).rpartition('>: ')[2]})")
    except migrate.Busy as error:
        sys.exit(f"{name} is not migrated yet: {error}; run it again")
    return f"{name} is at revision {migrate.head(name)}"


async def list_parked(service: Service) -> str:
    """A line per parked record: where, since when, why."""
    lines = [
        f"{row.parked_id}  {row.consumer}  {row.topic}/{row.partition}/{row.offset}  {row.at:%Y-%m-%d %H:%M:%S}  tried {row.attempts}×  "
        f"{row.error}{f' at {row.path}' if row.path else ''}"
        async for rows in parking.pages(service.worker, [consumption.group for consumption in service.consumptions])
        for row in rows
    ]
    return "\n".join([*lines, f"{len(lines)} parked records"])


async def replay(service: Service, words: Sequence[str]) -> str:
    """Handles parked records again: all, or those whose ids are given."""
    done = left = 0
    unknown = set(words)
    for consumption in service.consumptions:
        stuck: set[tuple[str, bytes]] = set()  # keys that stopped at a record of a page before
        async for rows in parking.pages(service.worker, [consumption.group], words):
            unknown -= {row.parked_id for row in rows}
            went = await consumption.replay([row for row in rows if (row.topic, row.key) not in stuck])
            async with service.worker.begin() as tx:
                stay = await parking.still_parked(tx, rows)
            stuck |= {(row.topic, row.key) for row in stay}
            done, left = done + went, left + len(stay)
    if unknown:
        sys.exit(f"{done} records replayed; nothing is parked under {', '.join(sorted(unknown))}")
    if left:
        sys.exit(f"{done} records replayed, {left} still fail")
    return f"{done} records replayed"


def _republish(build: Callable[[], FastAPI], words: Sequence[str]) -> str:
    """Says the service's state topics again: all, or those that are named."""

    async def run(service: Service) -> str:
        topics = {topic.name: topic for topic in service.owned}
        if strange := [word for word in words if word not in topics]:
            sys.exit(f"{service.name} owns no state topic {', '.join(strange)}; it owns {', '.join(topics) or 'none'}")
        said = [f"{await republish(service.worker, service.clock, topics[name], service.owned[topics[name]])} {name}" for name in words or topics]
        return f"said again: {', '.join(said) or 'nothing'}"

    return asyncio.run(run(build().state.service))
