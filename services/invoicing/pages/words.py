"""Words that several pages share."""

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicing.domain.account import Account
from services.invoicing.store import lists
from shared.web.show import short_day

STATUS = {"due": "Due", "overdue": "Overdue", "in_review": "In-Review", "pending": "Pending", "closed": "Closed", "withdrawn": "Withdrawn"}
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
ISSUES = {"new": "First sent", "reissued": "Sent again, corrected", "overdue_again": "Sent again, overdue"}
ENTRIES = {"charge": "Charge", "payment": "Payment", "adjustment": "Adjustment", "transfer": "Transfer", "void": "Void"}
CAUSES = {"payment": "by card", "check": "by check", "write_off": "written off", "payer_change": "payer changed", "correction": "corrected"}


async def counts(tx: AsyncConnection, practice_id: str) -> dict[str, int]:
    """Open work beside the areas in the header."""
    return {"Holds": await lists.hold_count(tx, practice_id)}


def rhythm(account: Account) -> str:
    """`weekly on Monday`: when an account is billed."""
    if account.frequency == "weekly" and account.weekday is not None:
        return f"weekly on {WEEKDAYS[account.weekday]}"
    return f"monthly on day {account.month_day}" if account.frequency == "monthly" else "daily"


def next_run(account: Account) -> str:
    """`Mon, Nov 23, weekly`."""
    return f"{short_day(account.next_run_on)}, {account.frequency}" if account.next_run_on else account.frequency
