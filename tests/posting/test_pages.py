"""Posting's pages and API, through the application on a real database."""

import re
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI

from shared.auth import unguarded
from shared.events.ingress import CLAIM_BILLED
from shared.events.posting import CLAIM_BALANCES
from shared.events.registry import DEAD_LETTERS
from shared.keyset import Cursor, encode_cursor
from tests.posting.conftest import DEPOSITED, INSURANCE, PATIENT, Posting, billed
from tests.staff import signed_in

DEPOSIT = {"day": f"{DEPOSITED:%m/%d/%Y}", "account": "b1", "amount": "60.00", "target": "60.00", "check": "991", "type": "check"}


@pytest.mark.req("RP-01", "RP-02", "RP-05", "RP-06", "RP-07", part="one check with one payment batch")
async def test_a_poster_records_a_deposit_posts_a_check_and_closes_at_0(app: FastAPI) -> None:
    async with signed_in(app, "poster") as http:
        empty = await http.post("/staff/7/money/deposits/new", data=DEPOSIT | {"day": "soon", "amount": "much", "account": "other"})
        assert empty.status_code == 422 and "Enter an amount in dollars" in empty.text
        other = await http.post("/staff/7/money/deposits/new", data=DEPOSIT | {"account": "other"})
        assert other.status_code == 422 and '<a href="#f-account">Choose one of the practice' in other.text
        late = await http.post("/staff/7/money/deposits/new", data=DEPOSIT | {"day": "12/31/2099"})
        assert late.status_code == 422 and '<a href="#f-day">The deposit date is in the future' in late.text
        old = await http.post("/staff/7/money/deposits/new", data=DEPOSIT | {"day": "11/20/1900"})
        assert old.status_code == 422 and '<a href="#f-day">The deposit date is more than a year ago' in old.text
        off = await http.post("/staff/7/money/deposits/new", data=DEPOSIT | {"target": "50.00"})
        assert off.status_code == 422 and "Add payment batches for 10.00" in off.text
        batch = await http.post("/staff/7/money/deposits/new", data=DEPOSIT)
        assert "Still to post or record as unpostable: 60.00" in batch.text and "Close this payment batch</button>" not in batch.text
        address = str(batch.url)
        assert "There is no claim nobody" in (await http.get(f"{address}/post", params={"claim": "nobody"})).text
        much = await http.post(f"{address}/post", data={"claim": "c1", "paid-c1-1": "60.00", "adjusted-c1-1": "41.00"})
        assert much.status_code == 422 and '<a href="#f-paid-c1-1">Charge c1-1 takes at most what is open' in much.text
        twice = await http.post(f"{address}/post", data={"claim": "c1", "paid-c1-1": ["60.00", "0.00"]})
        assert twice.status_code == 422 and '<a href="#f-paid-c1-1">Charge c1-1 is answered twice' in twice.text
        code = await http.post(f"{address}/post", data={"claim": "c1", "paid-c1-1": "60.00", "reason-c1-1": "x"})
        assert code.status_code == 422 and "like CO 45" in code.text
        posted = await http.post(f"{address}/post", data={"claim": "c1", "paid-c1-1": "60.00", "adjusted-c1-1": "10.00", "reason-c1-1": "CO 45"})
        assert "30.00 is open" in posted.text and "Close this payment batch" in posted.text
        closed = await http.post(f"{address}/close")
        assert "in balance and closed" in closed.text
        account = await http.get("/staff/7/money/claims/c1")
        assert "CO 45" in account.text and "30.00" in account.text
        assert (await http.get("/staff/7/money", params={"state": "closed"})).status_code == 200


@pytest.mark.req("RP-05", part="one check with one payment batch")
async def test_who_posts_sees_which_procedure_a_charge_is(app: FastAPI, posting: Posting) -> None:
    async with signed_in(app, "poster") as http:
        address = str((await http.post("/staff/7/money/deposits/new", data=DEPOSIT)).url)

        async def shown() -> list[str]:
            found = (await http.get(f"{address}/post", params={"claim": "c1"})).text
            assert ">c1-1<" in found
            return re.findall(r'<span class="sub wrap-ok">([^<]*)<', found)

        assert await shown() == ["99203 Visit"]
        one = billed("c1", 2, (9000,), (INSURANCE, PATIENT))
        [charge] = one.charges
        await posting.give(CLAIM_BILLED, replace(one, charges=[replace(charge, modifiers=["25"], description="Visit & more")]))
        assert await shown() == ["99203 25 Visit &amp; more"]
        async with posting.worker.begin() as tx:  # as the release before writes it
            await tx.exec_driver_sql("UPDATE claims SET content = content - 'procedures'")
        assert await shown() == []


async def test_a_repeat_with_another_text_of_a_procedure_is_the_same_content(posting: Posting) -> None:
    one = billed("c1")
    await posting.give(CLAIM_BILLED, one)
    await posting.give(CLAIM_BILLED, replace(one, charges=[replace(one.charges[0], description="Office visit")]))
    assert [state.version for state in await posting.said(CLAIM_BALANCES)] == [1] and await posting.said(DEAD_LETTERS["posting"]) == []
    await posting.give(CLAIM_BILLED, billed("c1", cents=(90,)))
    assert len(await posting.said(DEAD_LETTERS["posting"])) == 1


async def test_a_later_page_whose_rows_are_gone_leads_to_the_first(app: FastAPI) -> None:
    async with signed_in(app, "poster") as http:
        batch = (await http.post("/staff/7/money/deposits/new", data=DEPOSIT)).url.path
        for address, first, past in (("/staff/7/money", "money", 0), (batch, batch, "")):
            page = (await http.get(address, params={"cursor": encode_cursor(Cursor((past,)))})).text
            assert "Nothing further" in page and f'href="{first}">First' in page and "yet</h2>" not in page


async def test_a_form_that_is_sent_twice_does_its_work_once(app: FastAPI, posting: Posting) -> None:
    async with signed_in(app, "poster") as http:
        one, two = [await http.post("/staff/7/money/deposits/new", data=DEPOSIT | {"once": "k1"}) for _ in range(2)]
        assert one.url == two.url
        form = {"claim": "c1", "paid-c1-1": "60.00", "once": "k2"}
        for _ in range(2):
            assert "40.00 is open" in (await http.post(f"{one.url}/post", data=form)).text
    async with posting.worker.begin() as tx:
        assert (await tx.exec_driver_sql("SELECT sum(amount_cents)::int FROM deposits")).scalar_one() == 6000
        assert (await tx.exec_driver_sql("SELECT count(*) FROM payments")).scalar_one() == 1


@pytest.mark.req("RP-05", part="one check with one payment batch")
async def test_a_form_that_is_corrected_after_it_was_sent_says_so_and_does_nothing_more(app: FastAPI, posting: Posting) -> None:
    async with signed_in(app, "poster") as http:
        batch = (await http.post("/staff/7/money/deposits/new", data=DEPOSIT | {"once": "k1"})).url
        other = await http.post("/staff/7/money/deposits/new", data=DEPOSIT | {"check": "992", "once": "k1"})
        assert other.status_code == 422 and "already used: a deposit was saved with it" in other.text and 'value="992"' in other.text
        await posting.give(CLAIM_BILLED, billed("c2", 1, (10000,), (INSURANCE, replace(INSURANCE, order=2, payer_id="J"))))
        form = {"claim": "c2", "paid-c2-1": "20.00", "once": "k2"}
        await http.post(f"{batch}/post", data=form)
        other = await http.post(f"{batch}/post", data=form | {"paid-c2-1": "30.00"})
        assert other.status_code == 422 and "already used: a payment was posted with it. Look at the batch first" in other.text
        [key] = re.findall(r'name="once" value="([^"]+)"', other.text)
        assert 'value="30.00"' in other.text and key != "k2"
        assert "50.00 is open" in (await http.post(f"{batch}/post", data=form | {"paid-c2-1": "30.00", "once": key})).text
    async with posting.worker.begin() as tx:
        assert (await tx.exec_driver_sql("SELECT sum(amount_cents)::int FROM deposits")).scalar_one() == 6000
        assert (await tx.exec_driver_sql("SELECT array_agg(amount_cents ORDER BY amount_cents) FROM payments")).scalar_one() == [2000, 3000]


@pytest.mark.req("RP-05", part="one check with one payment batch")
async def test_a_claim_that_changed_since_its_form_was_opened_is_looked_at_again(app: FastAPI, posting: Posting) -> None:
    async with signed_in(app, "poster") as http:
        batch = (await http.post("/staff/7/money/deposits/new", data=DEPOSIT)).url
        opened = await http.get(f"{batch}/post", params={"claim": "c1"})
        form = {"claim": "c1", "paid-c1-1": "60.00"} | dict(re.findall(r'name="(seen)" value="([^"]+)"', opened.text))
        await posting.give(CLAIM_BILLED, billed("c1", 2, (10000, 5000), (INSURANCE, PATIENT)))
        refused = await http.post(f"{batch}/post", data=form)
        assert refused.status_code == 422 and "This claim has changed since you opened it" in refused.text
        assert 'name="paid-c1-2"' in refused.text and 'value="60.00"' in refused.text
        form |= {"paid-c1-2": "0"} | dict(re.findall(r'name="(seen)" value="([^"]+)"', refused.text))
        assert "90.00 is open" in (await http.post(f"{batch}/post", data=form)).text


@pytest.mark.req("RP-05", part="one check with one payment batch")
async def test_a_charge_of_which_nothing_was_typed_is_asked_about_and_moves_to_nobody(app: FastAPI, posting: Posting) -> None:
    async with signed_in(app, "poster") as http:
        batch = (await http.post("/staff/7/money/deposits/new", data=DEPOSIT)).url
        blank = await http.post(f"{batch}/post", data={"claim": "c1", "paid-c1-1": "", "adjusted-c1-1": " ", "reason-c1-1": "CO 45"})
        assert blank.status_code == 422 and '<a href="#f-paid-c1-1">Charge c1-1 is open too. Say what was paid on it, 0.00' in blank.text
        nothing = await http.post(f"{batch}/post", data={"claim": "c1", "paid-c1-1": "0", "reason-c1-1": "CO 45"})
        assert "Claim c1 is posted; 100.00 is open and is asked of patient p1 now." in nothing.text


@pytest.mark.req("RP-01", part="one check with one payment batch")
async def test_a_program_posts_once_per_key(app: FastAPI) -> None:
    body = {"deposit_date": str(DEPOSITED), "bank_account_id": "b1", "amount_cents": 6000, "type": "check", "target_cents": 6000}
    line = {"charge_id": "c1-1", "paid_cents": 6000}
    async with signed_in(app, "poster") as http:
        assert (await http.post("/api/practices/7/deposits", json=body)).status_code == 400
        key = {"Idempotency-Key": "k1"}
        first, again = [(await http.post("/api/practices/7/deposits", json=body, headers=key)).json() for _ in range(2)]
        assert first == again
        assert (await http.post("/api/practices/7/deposits", json=body | {"amount_cents": 1}, headers=key)).status_code == 422
        elsewhere = await http.post("/api/practices/7/deposits", json=body | {"bank_account_id": "b2"}, headers={"Idempotency-Key": "k5"})
        assert elsewhere.status_code == 422 and "one of the practice's bank accounts" in elsewhere.json()["detail"]
        path = f"/api/practices/7/batches/{first['batch_id']}"
        twice = {"claim_id": "c1", "lines": [line | {"paid_cents": 3000, "adjusted_cents": 6000}] * 2}
        answer = await http.post(f"{path}/payments", json=twice, headers={"Idempotency-Key": "k6"})
        assert answer.status_code == 422 and answer.json()["detail"] == "Charge c1-1 is answered twice"
        for _ in range(2):
            answer = await http.post(f"{path}/payments", json={"claim_id": "c1", "lines": [line]}, headers={"Idempotency-Key": "k2"})
            assert answer.json() == {"claim_id": "c1", "open_cents": 4000, "patient_balance_cents": 4000}
        assert (await http.get(path)).json()["out_of_balance_cents"] == 0
        assert (await http.post(f"{path}/close", headers={"Idempotency-Key": "k3"})).json() == {"state": "closed"}
        assert (await http.post(f"{path}/close", headers={"Idempotency-Key": "k4"})).status_code == 409
        assert (await http.get("/api/practices/7/claims/c1/balances", headers={"Accept": "application/json"})).status_code == 200


@pytest.mark.parametrize(
    "body",
    [{}, {"amount_cents": -1}, {"amount_cents": 1.5}, {"amount_cents": 10**20}, {"deposit_date": "soon"}, {"type": "gold"}, {"notes": "x" * 600}],
)
async def test_a_wrong_body_is_a_4xx_in_words(app: FastAPI, body: dict[str, Any]) -> None:
    good = {"deposit_date": str(DEPOSITED), "bank_account_id": "b1", "amount_cents": 6000, "type": "check", "target_cents": 6000}
    async with signed_in(app, "poster") as http:
        answer = await http.post("/api/practices/7/deposits", json=good | body if body else [], headers={"Idempotency-Key": "k"})
    assert answer.status_code == 422 and answer.headers["content-type"] == "application/problem+json" and answer.json()["detail"]


@pytest.mark.req("PF-08")
async def test_every_route_names_who_may_use_it_and_a_reader_may_not_post(app: FastAPI) -> None:
    assert unguarded(app) == []
    async with signed_in(app, "auditor") as http:
        assert (await http.post("/staff/7/money/deposits/new", data=DEPOSIT)).status_code == 403
        assert (await http.get("/staff/7/money/batches/nowhere")).status_code == 404
        assert (await http.get("/staff/7/money", params={"before": "many"})).status_code == 200
