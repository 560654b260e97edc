"""The terms of a one-year contract: one source, in which only the dates change (CF-02)."""

from datetime import date

from services.contracts.domain.contract import one_year_after
from shared.events.contracts import NOTICE_DAYS
from shared.web.show import day, phone


def one_year(practice: str, number: str, today: date) -> str:
    """The text a patient reads before signing."""
    return (
        f"Card on file with {practice}, from {day(today)} to {day(one_year_after(today))}.\n\n"
        f"After your insurance has answered a claim for a visit in this time, {practice} may charge what is left for you to pay "
        f"to the card you gave, all charges together up to the maximum you agreed to. "
        f"Balances from before {day(today)} are not covered and are never charged under this contract.\n\n"
        f"Before each charge you get an e-mail with the amount and the date. The charge is made {NOTICE_DAYS} days after that e-mail, never for more "
        f"than it says, and you get a receipt by e-mail.\n\n"
        f"You may cancel at any time by calling {practice}, {phone(number)}. Nothing is charged after you cancel. What is not charged stays due.\n\n"
        f"The contract holds only when you have signed it. Without a signature within 30 minutes it ends by itself and nothing is charged."
    )
