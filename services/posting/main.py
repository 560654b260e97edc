"""Posting put together."""

from pathlib import Path

from fastapi import FastAPI
from sqlalchemy import select

from services.posting import api, consumers, jobs, owned, pages, tables
from shared.service import make_service
from shared.settings import Settings


def build() -> FastAPI:
    """The service as an application; its lifespan runs consumers, jobs and relay."""
    service = make_service("posting", Settings(), Path(__file__).parent)
    consumers.register(service)
    owned.register(service)
    jobs.register(service)

    async def practices() -> dict[str, str]:
        async with service.worker.begin() as tx:
            return {row.practice_id: row.display_name for row in await tx.execute(select(tables.practices))}

    return service.http([api.make_router(service), pages.make_router(service)], practices)
