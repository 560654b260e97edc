"""The portal put together: identity, contacts, and the rooms where invoices are read, paid and disputed."""

from pathlib import Path

from fastapi import FastAPI
from sqlalchemy import select

from services.portal import consumers, marks
from services.portal.checkout import jobs, receipts
from services.portal.checkout import pages as checkout_pages
from services.portal.checkout.pay import Checkout
from services.portal.contacts import api as contacts_api
from services.portal.contacts import consumers as contacts_consumers
from services.portal.contacts import owned
from services.portal.contacts import pages as contacts_pages
from services.portal.disputes import pages as dispute_pages
from services.portal.identity import pages as identity_pages
from services.portal.identity.here import HOME
from services.portal.invoices import api, files
from services.portal.invoices import pages as invoice_pages
from services.portal.invoices.tables import practices
from services.portal.papers import make_papers
from services.portal.settings import Settings
from shared.gateway import SandboxGateway
from shared.service import make_service


def build() -> FastAPI:
    """The service as an application; its lifespan runs consumers, jobs and relay."""
    settings = Settings()
    service = make_service("portal", settings, Path(__file__).parent, {HOME: settings.portal_url})
    gateway = SandboxGateway(settings.gateway_url, settings.gateway_secret)
    papers = make_papers(settings.invoicing_url, settings.oidc_issuer, settings.oidc_client_id, settings.oidc_client_secret)
    service.closers += [gateway.close, papers.close]
    consumers.register(service)
    contacts_consumers.register(service)
    owned.register(service)
    identity_pages.register(service)
    jobs.register(service, Checkout(service.worker, service.clock, gateway))
    service.job("marks", 5, lambda: marks.run_once(service.worker))
    till = Checkout(service.app, service.clock, gateway)

    async def names() -> dict[str, str]:
        # The worker sees all practices; the header lists only those a person works at.
        async with service.worker.begin() as tx:
            rows = await tx.execute(select(practices.c.practice_id, practices.c.display_name))
            return {row.practice_id: row.display_name for row in rows}

    routers = [
        *identity_pages.make_routers(service),
        contacts_pages.make_router(service),
        contacts_api.make_router(service),
        invoice_pages.make_router(service),
        files.make_router(service, papers),
        checkout_pages.make_router(service, till, settings.portal_url),
        receipts.make_router(service, papers),
        dispute_pages.make_router(service),
        api.make_router(service),
    ]
    return service.http(routers, names, form_targets=[settings.gateway_url], home=HOME)
