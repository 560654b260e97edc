"""The seeding waits for a billing run of every account, on whatever page of the list it stands."""

from datetime import date

import httpx
import pytest

from deploy.local import seed

MONDAY = date(2026, 11, 2)


@pytest.mark.parametrize(("last", "behind"), [("2026-11-09", True), ("2026-11-02", False)])
async def test_a_run_is_behind_every_account_of_every_page(last: str, behind: bool) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        more = request.url.params["cursor"] == "more"
        return httpx.Response(200, json={"accounts": [{"next_run_on": last if more else "2026-11-09"}], "next": None if more else "more"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        assert await seed._behind(http, {"services": {"invoicing": "http://invoicing"}}, "p1", MONDAY) == behind
