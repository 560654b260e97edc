"""Who is here: the signed-in contact of an employer, as every employer's page sees them."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["owner", "payer", "viewer"]

HOME = "/employerportal/"
LOGIN = "/employerportal/login"
CHOOSE = "/employerportal/choose"
LOG_OUT = "/employerportal/log-out"
STAY = "/employerportal/stay"


@dataclass(frozen=True)
class Here:
    """A person at work for one corporate account: their contact, role, and the session that a log-out ends."""

    session_id: str
    person_id: str
    name: str
    email: str
    practice_id: str
    account_id: str
    contact_id: str
    role: Role

    @property
    def pays(self) -> bool:
        """Owners and payers see, pay and dispute; viewers see (BX-03)."""
        return self.role in ("owner", "payer")
