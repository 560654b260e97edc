"""Every route of posting, asked with odd values."""

from fastapi import FastAPI

from tests.hostile import Service, mistakes
from tests.posting.conftest import DEPOSITED
from tests.staff import signed_in

DEPOSIT = {"day": "11%2F20%2F2026", "account": "b1", "amount": "60.00", "target": "60.00", "check": "991", "type": "check"}
ANSWER = {"claim": "c1", "paid-c1-1": "1.00", "adjusted-c1-1": "1.00", "reason-c1-1": "CO+45"}


async def test_no_value_is_a_mistake_of_ours(app: FastAPI) -> None:
    async with signed_in(app, "poster") as http:
        made = await http.post("/staff/7/money/deposits/new", data={"day": f"{DEPOSITED:%m/%d/%Y}", "account": "b1", "amount": "60", "target": "60"})
        batch_id = str(made.url).rsplit("/", 1)[1]
    ids = {"practice_id": "7", "batch_id": batch_id, "claim_id": "c1"}
    assert await mistakes(Service(app, lambda: signed_in(app, "poster"), ids, DEPOSIT | ANSWER | {"once": ""})) == []
