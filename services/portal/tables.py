"""All tables of the portal: importing its rooms fills the metadata. `PLATFORM_TABLES` belong to persons, not to one practice."""

from services.portal.checkout import tables as checkout
from services.portal.contacts import tables as contacts
from services.portal.disputes import tables as disputes
from services.portal.identity import tables as identity
from services.portal.invoices import tables as invoices
from services.portal.metadata import metadata

PLATFORM_TABLES = identity.IDENTITY_TABLES
APPEND_ONLY = ("disputes", "attempt_invoices", "attempt_claims", "payments", *contacts.APPEND_ONLY)

__all__ = ["APPEND_ONLY", "PLATFORM_TABLES", "checkout", "contacts", "disputes", "identity", "invoices", "metadata"]
