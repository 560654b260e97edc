"""The seeding waits for a billing run of every account, on whatever page of the list it stands; what refuses it is told in words."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import httpx
import pytest

from deploy.local import plan as plans
from deploy.local import seed

MONDAY = date(2026, 11, 2)


@pytest.mark.parametrize(("last", "behind"), [("2026-11-09", True), ("2026-11-02", False)])
async def test_a_run_is_behind_every_account_of_every_page(last: str, behind: bool) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        more = request.url.params["cursor"] == "more"
        return httpx.Response(200, json={"accounts": [{"next_run_on": last if more else "2026-11-09"}], "next": None if more else "more"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        assert await seed._behind(http, {"services": {"invoicing": "http://invoicing"}}, "p1", MONDAY) == behind


def _refused(_: httpx.Request) -> httpx.Response:
    return httpx.Response(422, text='{"detail":\n "the key was used for another request"}')


def _gone(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("All connection attempts failed", request=request)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (_refused, 'POST http://invoicing/accounts answers 422: {"detail": "the key was used for another request"}'),
        (_gone, "POST http://invoicing/accounts is not answered: All connection attempts failed"),
    ],
)
def test_a_part_that_refuses_is_told_in_one_line_and_the_seeding_stays_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Callable[[httpx.Request], httpx.Response], words: str
) -> None:
    async def asks(*_: object) -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            (await http.post("http://invoicing/accounts")).raise_for_status()

    monkeypatch.setattr(seed, "practices", lambda plan: "")
    monkeypatch.setattr(seed, "_seed", asks)
    plan = plans.make(tmp_path, tmp_path, dict.fromkeys(plans.PARTS, 1))
    assert not seed.is_begun(plan)
    with pytest.raises(RuntimeError) as said:
        seed.run(plan, lambda line: None)
    assert str(said.value) == words
    assert seed.is_begun(plan) and not seed.is_done(plan)
