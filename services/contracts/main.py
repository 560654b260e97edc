"""Contracts put together."""

from pathlib import Path

from fastapi import FastAPI
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.contracts import api, consumers, owned, pages, tables
from services.contracts.charging import Charging
from services.contracts.handlers import charges, contracts
from services.contracts.settings import Settings
from shared import telemetry
from shared.gateway import SandboxGateway
from shared.service import make_service
from shared.timers import Timer


def build() -> FastAPI:
    """The service as an application; its lifespan runs consumers, timers, charging and the relay."""
    settings = Settings()
    service = make_service("contracts", settings, Path(__file__).parent)
    clock = service.clock
    gateway = SandboxGateway(settings.gateway_url, settings.gateway_secret)
    service.closers.append(gateway.close)
    consumers.register(service)
    owned.register(service)

    async def due(tx: AsyncConnection, timer: Timer) -> None:
        await charges.on_due(tx, timer, clock, telemetry.traceparent())

    async def unsigned(tx: AsyncConnection, timer: Timer) -> None:
        await contracts.unsigned(tx, timer, clock)

    async def expiry(tx: AsyncConnection, timer: Timer) -> None:
        await contracts.expire(tx, timer, clock)

    service.on_timer(charges.TIMER, due)
    service.on_timer(contracts.UNSIGNED, unsigned)
    service.on_timer(contracts.EXPIRY, expiry)
    service.job("charging", 0.3, Charging(service.worker, clock, gateway).run_once)
    service.job("waiting", 5, lambda: consumers.retry_waiting(service.worker, clock))

    async def practices() -> dict[str, str]:
        async with service.worker.begin() as tx:
            return {row.practice_id: row.body["display_name"] for row in await tx.execute(select(tables.practices))}

    return service.http([api.make_router(service, settings, gateway), pages.make_router(service)], practices)
