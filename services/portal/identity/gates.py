"""What the flows of the identity room need, gathered once from the service."""

from dataclasses import dataclass
from datetime import timedelta
from typing import cast

from services.portal.contacts.letters import Letters
from services.portal.identity.sessions import Limits
from services.portal.settings import Settings
from shared.clock import Clock
from shared.db import Database
from shared.service import Service


@dataclass(frozen=True)
class Gates:
    """The app role's database, the clocks, how letters are made, the key of the code hashes, when sessions end."""

    db: Database
    clock: Clock
    letters: Letters
    secret: str
    limits: Limits


def letters_of(service: Service) -> Letters:
    settings = cast(Settings, service.settings)
    return Letters(settings.portal_url, settings.sealing_public_key)


def gates_of(service: Service) -> Gates:
    settings = cast(Settings, service.settings)
    limits = Limits(timedelta(minutes=settings.session_idle_minutes), timedelta(hours=settings.session_hours))
    return Gates(service.app, service.clock, letters_of(service), settings.session_secret, limits)
