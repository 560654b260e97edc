"""What the flows of the identity room need, gathered once from the service."""

from dataclasses import dataclass
from typing import cast

from services.portal.contacts.letters import Letters
from services.portal.settings import Settings
from shared.clock import Clock
from shared.db import Database
from shared.service import Service


@dataclass(frozen=True)
class Gates:
    """The app role's database, the clocks, how letters are made, the key of the code hashes."""

    db: Database
    clock: Clock
    letters: Letters
    secret: str


def letters_of(service: Service) -> Letters:
    settings = cast(Settings, service.settings)
    return Letters(settings.portal_url, settings.sealing_public_key)


def gates_of(service: Service) -> Gates:
    return Gates(service.app, service.clock, letters_of(service), service.settings.session_secret)
