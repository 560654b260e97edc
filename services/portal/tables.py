"""All tables of the portal, gathered from its rooms; `PLATFORM_TABLES` belong to persons, not to one practice."""

from services.portal.checkout import tables as checkout
from services.portal.disputes import tables as disputes
from services.portal.invoices import tables as invoices
from services.portal.metadata import metadata

ROOMS = (invoices, checkout, disputes)
PLATFORM_TABLES: tuple[str, ...] = ()
APPEND_ONLY = ("disputes", "attempt_invoices", "attempt_claims", "payments")
TRIGGERS: tuple[str, ...] = ()

__all__ = ["APPEND_ONLY", "PLATFORM_TABLES", "ROOMS", "TRIGGERS", "metadata"]
