"""Commands of the identity room, for `python -m services.portal`."""

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence

from services.portal.identity.patients import add_patient_user
from services.portal.identity.store import AddressTaken
from services.portal.settings import Settings
from shared.clock import SystemClock
from shared.db import Database


def patient_user(words: Sequence[str]) -> str:
    """`patient-user <e-mail> <name …>`: a patient-side user, so that the address cannot become an employer's."""
    if len(words) < 2:
        sys.exit("usage: python -m services.portal patient-user <e-mail> <name>")
    settings = Settings()

    async def add() -> str:
        db = Database(settings.database_worker_url, "portal-command")
        try:
            async with db.begin() as tx:
                return await add_patient_user(tx, SystemClock().system(), words[0], " ".join(words[1:]))
        finally:
            await db.close()

    try:
        return f"{words[0]} is a patient-side user: {asyncio.run(add())}"
    except (AddressTaken, ValueError) as error:
        sys.exit(f"not added: {error}")


COMMANDS: Mapping[str, Callable[[Sequence[str]], str]] = {"patient-user": patient_user}
