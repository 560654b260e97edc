"""The contracts' environment."""

from shared.sealing import Key
from shared.settings import Settings as Base


class Settings(Base):
    """The card processor, and the key by which patients' addresses are sealed for notifier."""

    gateway_url: str
    gateway_secret: str
    sealing_public_key: Key
