"""One service's process: what it consumes, its jobs and timers, its relay, its HTTP; started in order and watched."""

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from aiokafka.admin import AIOKafkaAdminClient
from fastapi import APIRouter, Depends, FastAPI, Response
from fastapi.responses import RedirectResponse
from faststream.kafka import KafkaBroker
from sqlalchemy import Table, text

from shared import idempotency, inbox, kafka, migrate, telemetry, timers, waiting
from shared.application import make_app
from shared.auth import Auth
from shared.clock import Clock, SystemClock
from shared.db import Database, cause, passing
from shared.events import Topic
from shared.http import public
from shared.kafka import Consumption
from shared.messages import Handler
from shared.oidc import Provider
from shared.relay import Relay
from shared.republish import Bodies, Owned
from shared.settings import Settings
from shared.signin import install_auth
from shared.web import Web, make_web

log = logging.getLogger(__name__)
T = TypeVar("T")

STUCK_SECONDS = 60  # records to read and none read for so long, while database and broker answer: start anew
LOOK_SECONDS = 10
BEAT_SECONDS = 15


@dataclass(frozen=True)
class Job:
    """A loop: `run_once` does what is due and says how much that was."""

    name: str
    every: float
    run_once: Callable[[], Awaitable[int]]


@dataclass
class Stillness:
    """Since when a consumer has had work and has not moved. A quiet hour before that work came does not count."""

    since: float | None = None

    def look(self, now: float, moved_at: float, works: bool) -> bool:
        """Whether it has stood still too long, in seconds of one clock."""
        if not works:
            self.since = None
        elif self.since is None or moved_at > self.since:
            self.since = now
        return self.since is not None and now - self.since >= STUCK_SECONDS


@dataclass
class Service:
    """What `main.py` of a service puts together; `http` makes of it an application whose lifespan runs everything."""

    name: str
    settings: Settings
    clock: Clock
    app: Database
    worker: Database
    web: Web
    relay: Relay
    consumptions: list[Consumption] = field(default_factory=list)
    owned: dict[Topic[Any], Owned] = field(default_factory=dict)
    jobs: list[Job] = field(default_factory=list)
    timer_handlers: dict[str, timers.TimerHandler] = field(default_factory=dict)
    closers: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    trouble: str | None = None  # what is missing before anything runs or is answered

    def consume(self, group: str, handlers: Mapping[Topic[Any], Handler], *, batch: int = 500, lock: Handler | None = None) -> None:
        """One subscription of the service: these topics, each with its handler; `group` is named `<service>.<group>`."""
        self.consumptions.append(Consumption(self.name, f"{self.name}.{group}", self.worker, self.clock, handlers, batch, lock))

    def own(self, topic: Topic[Any], table: Table, bodies: Bodies) -> None:
        """A state topic of the service: the table that keeps its things, and how rows become bodies, for `republish`."""
        self.owned[topic] = Owned(table, bodies)

    def job(self, name: str, every: float, run_once: Callable[[], Awaitable[int]]) -> None:
        """A loop of the service, `every` so many seconds; with several replicas, rows decide who does what."""
        self.jobs.append(Job(name, every, run_once))

    def on_timer(self, kind: str, handler: timers.TimerHandler) -> None:
        """What happens when a timer of this kind is due."""
        self.timer_handlers[kind] = handler

    def http(
        self,
        routers: Sequence[APIRouter],
        practices: Callable[[], Awaitable[Mapping[str, str]]],
        form_targets: Sequence[str] = (),
        home: str = "/staff",
    ) -> FastAPI:
        """The application: routers, staff sign-in, health. `practices` answers practice id → name; `home` is where the bare address leads."""
        checks = {"database": self._database, "schema": self._schema, "consumers": self._consumers, "relay": self._relay}
        targets = [self.settings.oidc_issuer, *form_targets]
        app = make_app(self.web, lifespan=self._lifespan, checks=checks, trouble=lambda: self.trouble, form_targets=targets)
        app.state.service = self
        provider = Provider(self.settings.oidc_issuer, self.settings.oidc_client_id, self.settings.oidc_client_secret)
        install_auth(app, Auth(self.web, provider, self.settings.public_url, self.settings.staff_links, practices))
        for router in routers:
            app.include_router(router)

        @app.get("/", dependencies=[Depends(public)], include_in_schema=False)
        async def first_page() -> Response:
            return RedirectResponse(home, 303)

        return app

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        self.trouble = "starting"
        running = asyncio.create_task(self._run(), name="run")
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            for close in self.closers:
                await close()
            await self.app.close()
            await self.worker.close()

    async def _run(self) -> None:
        """Waits until database and schema are there, since a record met by a missing table would be parked; then runs everything."""
        while self.trouble:
            self.trouble = await self._database() or await self._schema()
            if self.trouble:
                log.warning("not started yet: %s", self.trouble)
                await asyncio.sleep(1)
        broker = kafka.make_broker(self.settings, f"{self.name}-{self.settings.replica}")
        for consumption in self.consumptions:
            kafka.subscribe(broker, consumption, member=f"{consumption.group}-{self.settings.replica}")
        self.job("timers", 0.5, lambda: timers.fire(self.worker, self.clock, self.timer_handlers))
        self.job("inbox sweep", 3600, lambda: inbox.sweep(self.worker, self.clock.system()))
        self.job("answers sweep", 3600, lambda: idempotency.sweep(self.worker, self.clock.system()))
        self.job("waiting watch", 30, lambda: waiting.watch(self.worker, self.clock.system()))
        tasks = [asyncio.create_task(self._connect(broker), name="consumers"), asyncio.create_task(self.relay.run(), name="relay")]
        tasks += [asyncio.create_task(_loop(job), name=job.name) for job in self.jobs]
        tasks.append(asyncio.create_task(self._watch(), name="watch"))
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for consumption in self.consumptions:
                await consumption.finish()
            with contextlib.suppress(Exception):
                await broker.stop()

    async def _connect(self, broker: KafkaBroker) -> None:
        """Starts the consumers, and tries again while the broker is away; once started they reconnect by themselves."""
        while self.consumptions:
            try:
                await broker.start()
                return
            except Exception as error:
                log.warning("no broker yet: %r", error)
                with contextlib.suppress(Exception):
                    await broker.stop()
                await asyncio.sleep(1)

    async def _database(self) -> str | None:
        try:
            for database, setting, sees_all in ((self.worker, "DATABASE_WORKER_URL", True), (self.app, "DATABASE_APP_URL", False)):
                async with asyncio.timeout(3), database.begin() as tx:
                    mine = await tx.execute(text("SELECT rolbypassrls OR rolsuper FROM pg_roles WHERE rolname = current_user"))
                    if mine.scalar_one() != sees_all:
                        held = "sees one practice at a time" if sees_all else "row-level security does not hold"
                        return f"{setting} signs in as a role that {held}"
        except Exception as error:
            return f"the database does not answer: {type(cause(error)).__name__}"
        return None

    async def _schema(self) -> str | None:
        absent = text("SELECT name FROM unnest(CAST(:names AS text[])) AS name WHERE to_regclass(quote_ident(name)) IS NULL ORDER BY name LIMIT 1")
        try:
            async with self.worker.begin() as tx:
                found = (await tx.execute(text("SELECT version_num FROM alembic_version"))).scalar_one_or_none()
                missing = (await tx.execute(absent, {"names": migrate.tables(self.name)})).scalar_one_or_none()
        except Exception:
            found = missing = None
        if trouble := migrate.behind(self.name, found):
            return trouble
        return f"this is not the database of {self.name}: it has no table {missing}" if missing else None

    async def _consumers(self) -> str | None:
        if self.consumptions and not await self._broker_answers():
            return "the broker does not answer"
        for consumption in self.consumptions:
            consumer = consumption.subscriber.consumer if consumption.subscriber else None
            if consumer is None or not consumer._client.cluster.brokers():
                return f"{consumption.group} has not joined its group yet"
            if not consumer.assignment() and self.settings.replica == 0:
                return f"{consumption.group} has no partitions yet"
        return None

    async def _relay(self) -> str | None:
        if time.monotonic() - self.relay.beat_at > BEAT_SECONDS:
            return f"the relay has not moved for {BEAT_SECONDS} seconds"
        return None

    async def _broker_answers(self) -> bool:
        """Whether any of the servers takes a connection."""
        for server in self.settings.kafka_servers.split(","):
            host, port = server.strip().rsplit(":", 1)
            with contextlib.suppress(OSError, TimeoutError):
                _, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), 2)
                writer.close()
                return True
        return False

    async def _watch(self) -> None:
        """Ends the process when a consumer stands still although it has work and everything it needs; a missing dependency is no reason."""
        stillness = {consumption.group: Stillness() for consumption in self.consumptions}
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for consumption in self.consumptions:
                works = False
                with contextlib.suppress(Exception):
                    works = await self._has_work(consumption)
                if stillness[consumption.group].look(time.monotonic(), consumption.moved_at, works):
                    log.critical("%s stands still with records to read; starting anew", consumption.group)
                    os.kill(os.getpid(), signal.SIGTERM)

    async def _has_work(self, consumption: Consumption) -> bool:
        """Whether it has not moved lately although there are records to read, and database and broker answer."""
        if consumption.subscriber is None or time.monotonic() - consumption.moved_at < LOOK_SECONDS:
            return False
        return bool(await kafka.lag(consumption)) and not await self._database() and await self._broker_well()

    async def _broker_well(self) -> bool:
        admin = AIOKafkaAdminClient(**self.settings.kafka_options(), request_timeout_ms=5_000)
        try:
            await admin.start()
            await admin.list_topics()
            return True
        finally:
            await admin.close()


async def each_apart(things: Mapping[str, T], work: Callable[[T], Awaitable[int]]) -> int:
    """A job's work for each of these, practices or what is theirs; answers how much it was.

    What goes wrong for one holds up no other. The job fails once all had their turn, so that it is not done again at once for ever.
    """
    done, failed = 0, []
    for name, thing in things.items():
        try:
            done += await work(thing)
        except Exception as error:
            if passing(error):
                raise
            log.exception("not done for %s", name)
            failed.append(name)
    if failed:
        raise RuntimeError(f"not done for {', '.join(failed)}; done for all others")
    return done


async def _loop(job: Job) -> None:
    pause = job.every
    while True:
        try:
            await job.run_once()
            pause = job.every
        except Exception as error:
            pause = min(max(pause, 0.5) * 2, 60)
            level = logging.WARNING if passing(error) else logging.ERROR
            log.log(level, "job %s failed; again in %.0f s", job.name, pause, exc_info=error)
        await asyncio.sleep(pause)


def make_service(name: str, settings: Settings, folder: Path, pages: Mapping[str, str] | None = None) -> Service:
    """A service with its engines, clock and templates; nothing is connected yet. `pages` as for `make_web`."""
    app, worker = Database(settings.database_app_url, f"{name}-app"), Database(settings.database_worker_url, f"{name}-worker")
    web = make_web(name, folder, secret=settings.session_secret, public_url=settings.public_url, pages=pages)
    relay = Relay(name, settings, settings.database_worker_url)
    telemetry.start(name, settings)
    return Service(name, settings, SystemClock(settings.clock_file), app, worker, web, relay)
