"""Every route of contracts, asked with odd values."""

from fastapi import FastAPI

from tests.contracts.conftest import Contracts, token
from tests.hostile import Service, mistakes
from tests.staff import signed_in


async def test_no_value_is_a_mistake_of_ours(app: FastAPI, desk: Contracts) -> None:
    made = await desk.make(token=await token(desk))
    number = str(made.contract_id)
    ids = {"practiceid": "7", "practice_id": "7", "patientid": "p1", "epaymentid": number, "contractid": number, "contract_id": number}
    filled = {"departmentid": "d1", "accountnumber": "tok_nobody", "email": "ana%40example.org", "maxamount": "250.00", "reason": "Moved"}
    assert await mistakes(Service(app, lambda: signed_in(app, "front_desk", "billing_admin"), ids, filled)) == []
