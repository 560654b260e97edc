"""The notifier put together."""

from pathlib import Path

import httpx
from fastapi import FastAPI
from sqlalchemy import select

from services.notifier import consumers, digest, pages, tables
from services.notifier.render import make_env
from services.notifier.sender import Sender
from services.notifier.settings import Settings
from shared.service import make_service


def build() -> FastAPI:
    """The service as an application; its lifespan runs consumers, digests, the sender and the relay."""
    settings = Settings()
    service = make_service("notifier", settings, Path(__file__).parent)
    consumers.register(service)
    client = httpx.AsyncClient(timeout=20)
    service.closers.append(client.aclose)
    sender = Sender(service.worker, service.clock, settings, make_env(), client)
    service.job("sender", 0.3, sender.run_once)
    service.job("digests", 1, lambda: digest.run_once(service.worker, service.clock))

    async def practices() -> dict[str, str]:
        async with service.worker.begin() as tx:
            return {row.practice_id: row.body["display_name"] for row in await tx.execute(select(tables.practices))}

    return service.http([pages.make_router(service)], practices)
