"""The identity room's pages, and the sweep of what is over."""

from fastapi import APIRouter

from services.portal.identity import codes, failures, pages_login, pages_register, pages_reset, pages_self, sessions
from services.portal.identity.gates import gates_of
from shared.service import Service

SWEEP_SECONDS = 3600


def make_routers(service: Service) -> list[APIRouter]:
    """Every router of this room."""
    return [each.make_router(service) for each in (pages_login, pages_register, pages_reset, pages_self)]


def register(service: Service) -> None:
    """The hourly sweep; called by the portal's `main.py`."""

    async def sweep() -> int:
        async with service.worker.begin() as tx:
            now = service.clock.system()
            return await sessions.sweep(tx, now, gates_of(service).limits) + await codes.sweep(tx, now) + await failures.sweep(tx, now)

    service.job("identity sweep", SWEEP_SECONDS, sweep)
