"""The portal's environment."""

from pydantic import Field

from shared.sealing import Key
from shared.settings import Address, Filled
from shared.settings import Settings as Shared


class Settings(Shared):
    """`invoicing_url` serves papers and logos; `portal_url` is the base address that employers open."""

    gateway_url: Address
    gateway_secret: Filled
    sealing_public_key: Key
    invoicing_url: Address
    portal_url: Address
    session_idle_minutes: int = Field(default=15, gt=0)
    session_hours: int = Field(default=12, gt=0)
