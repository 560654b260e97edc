"""Who at an employer may pay and dispute: owners and payers (BX-03)."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.portal.contacts.tables import contacts
from services.portal.identity.here import Here
from shared.http import Problem


async def must_pay(tx: AsyncConnection, here: Here, deed: str = "pay") -> None:
    """Refuses a viewer in words that name who can. Problem 403."""
    if here.pays:
        return
    owners = select(contacts.c.name).where(
        contacts.c.practice_id == here.practice_id,
        contacts.c.account_id == here.account_id,
        contacts.c.role == "owner",
        contacts.c.status == "registered",
    )
    names = " or ".join((await tx.execute(owners.order_by(contacts.c.name).limit(3))).scalars())
    who = f"{names} can {deed} or change your role." if names else "The practice can change your role."
    raise Problem(403, f"Your role can see this but not {deed}", who)
