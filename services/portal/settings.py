"""The portal's environment."""

from shared.sealing import Key
from shared.settings import Settings as Shared


class Settings(Shared):
    """`invoicing_url` serves papers and logos; `portal_url` is the base address that employers open."""

    gateway_url: str
    gateway_secret: str
    sealing_public_key: Key
    invoicing_url: str
    portal_url: str
    session_idle_minutes: int = 15
    session_hours: int = 12
