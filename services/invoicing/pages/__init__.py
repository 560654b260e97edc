"""Staff pages, one module per noun."""

from urllib.parse import quote

from fastapi import APIRouter

from services.invoicing.pages import accounts, holds, invoices, settings, unpaid
from shared.service import Service


def make_routers(service: Service) -> list[APIRouter]:
    """Every page of the service. Links to claims quote their ids, which other systems make up."""
    service.web.env.globals["quoted"] = lambda text: quote(str(text), safe="")
    return [module.make_router(service) for module in (accounts, invoices, holds, unpaid, settings)]
