"""The notifier's environment."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from shared.sealing import Key
from shared.settings import Address, Authorities, Filled, tls, unused
from shared.settings import Settings as Base


class Settings(Base):
    """Where mails and texts go, and the key that opens sealed links and codes."""

    smtp_host: Filled
    smtp_port: int = Field(gt=0, lt=65536)
    smtp_tls: Literal["none", "starttls", "implicit"] = "none"
    smtp_user: Filled | None = None
    smtp_password: Filled | None = Field(default=None, repr=False)
    smtp_ca_file: Authorities | None = None
    mail_sender: Filled
    sms_url: Address
    portal_url: Address
    sealing_private_key: Key

    @model_validator(mode="after")
    def _smtp_agrees(self) -> Self:
        if self.smtp_tls == "none":
            unused(self, "SMTP_TLS=none", "smtp_user", "smtp_password", "smtp_ca_file")
        elif (self.smtp_user is None) != (self.smtp_password is None):
            raise PydanticCustomError("smtp", "give SMTP_USER and SMTP_PASSWORD together")
        return self

    def smtp_options(self) -> dict[str, Any]:
        """How a mail is handed over. Where TLS is not asked for, it is still taken from a server that offers it."""
        options = {"hostname": self.smtp_host, "port": self.smtp_port, "username": self.smtp_user, "password": self.smtp_password}
        if self.smtp_tls == "none":
            return options
        return options | {"tls_context": tls(self.smtp_ca_file), "use_tls": self.smtp_tls == "implicit", "start_tls": self.smtp_tls == "starttls"}
