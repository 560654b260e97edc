"""Invoicing put together: consumers, jobs, pages, API."""

from collections.abc import Mapping
from pathlib import Path

from fastapi import FastAPI, Request, Response

from services.invoicing import api, api_papers, consumers, jobs, owned, pages
from services.invoicing.domain.claim import Refused
from services.invoicing.settings import Settings
from services.invoicing.store import practices
from services.invoicing.store.practices import Absent
from shared.http import Problem, answer_problem
from shared.service import make_service


def build() -> FastAPI:
    """The application; its lifespan runs everything."""
    settings = Settings()
    service = make_service("invoicing", settings, Path(__file__).parent)
    consumers.register(service)
    owned.register(service)
    jobs.register(service)

    async def names() -> Mapping[str, str]:
        # The worker sees all practices; the header lists only those a person works at.
        async with service.worker.begin() as tx:
            return {each.state.practice_id: each.state.display_name for each in await practices.every(tx)}

    async def refused(request: Request, error: Exception) -> Response:
        return await answer_problem(request, Problem(409, "This cannot be done", f"{error}."))

    async def absent(request: Request, error: Exception) -> Response:
        return await answer_problem(request, Problem(404, detail=f"{error}."))

    routers = [api.make_router(service), api_papers.make_router(service), *pages.make_routers(service)]
    app = service.http(routers, practices=names)
    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(Absent, absent)
    return app
