"""The notifier's environment."""

from shared.sealing import Key
from shared.settings import Settings as Base


class Settings(Base):
    """Where mails and texts go, and the key that opens sealed links and codes."""

    smtp_host: str
    smtp_port: int
    mail_sender: str
    sms_url: str
    portal_url: str
    sealing_private_key: Key
