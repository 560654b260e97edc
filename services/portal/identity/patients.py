"""Sign-up of patient-side users, as far as it concerns employers: one address is on one side only (EP-03)."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.portal.identity import store as people
from services.portal.identity.addresses import wrong_with
from services.portal.identity.tables import Kind


async def add_patient_user(tx: AsyncConnection, now: datetime, email: str, name: str) -> str:
    """A patient-side user with this address; returns the person's id, the same one when asked again.

    Raises AddressTaken when the address is an employer's, ValueError with words when it is no address.
    """
    if words := wrong_with(email):
        raise ValueError(words)
    person = await people.add(tx, now, Kind.PATIENT, email, name)
    return person.person_id
