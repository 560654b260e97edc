"""Every route of invoicing, asked with odd values."""

from fastapi import FastAPI

from tests.hostile import Service, mistakes
from tests.invoicing.conftest import House
from tests.invoicing.made import claim
from tests.staff import signed_in

ACCOUNT = {
    "version": "1", "name": "Kutch", "line1": "404+Cole+Walk", "line2": "", "city": "Boston", "state": "MA", "zip": "", "phone": "",
    "payer_ids": "e2", "po_number": "", "effective_on": "", "expires_on": "", "net_days": "30", "frequency": "weekly", "weekday": "0",
    "month_day": "1", "overdue_again_days": "60",
}  # fmt: skip
CASE = {"charge-c1-1": "80.00", "write_off": "", "reason": "Look", "answer": "", "do": "keep", "claim_id": "c1", "out": ""}
LOOK = {"display_name": "Saltmarsh", "colour": "%230B5F6B", "logo_id": "", "logo_alt": ""}


async def test_no_value_is_a_mistake_of_ours(app: FastAPI, house: House) -> None:
    await house.bill(claim("c1"), claim("c2"))
    await house.run()
    await house.dispute()
    ids = {"practice_id": "p1", "account_id": "a1", "claim_id": "c1", "invoice_id": (await house.invoice()).invoice_id, "no": "1"}
    filled = ACCOUNT | CASE | LOOK
    assert await mistakes(Service(app, lambda: signed_in(app, "billing_admin", "practice_admin", "auditor"), ids, filled)) == []
