"""The notifier's environment."""

from pydantic import Field

from shared.sealing import Key
from shared.settings import Address, Filled
from shared.settings import Settings as Base


class Settings(Base):
    """Where mails and texts go, and the key that opens sealed links and codes."""

    smtp_host: Filled
    smtp_port: int = Field(gt=0, lt=65536)
    mail_sender: Filled
    sms_url: Address
    portal_url: Address
    sealing_private_key: Key
