"""The contracts' environment."""

from shared.sealing import Key
from shared.settings import Address, Filled
from shared.settings import Settings as Base


class Settings(Base):
    """The card processor, and the key by which patients' addresses are sealed for notifier."""

    gateway_url: Address
    gateway_secret: Filled
    sealing_public_key: Key
