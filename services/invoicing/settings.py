"""Invoicing's environment."""

from shared.settings import Address
from shared.settings import Settings as Shared


class Settings(Shared):
    """`portal_url` is the employer portal's base address, printed on invoices."""

    portal_url: Address

    @property
    def portal_address(self) -> str:
        return f"{self.portal_url.rstrip('/')}/employerportal/login"
