"""A practice is set up by a command, and its state tells everybody (PF-10)."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from deploy.local.places import ROOT, SAMPLE
from shared.events.invoicing import PRACTICE_STATE
from tests.conftest import Database as Server
from tests.invoicing.conftest import House
from tests.staff import environment

FILE = SAMPLE / "practices.json"


def command(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "services.invoicing", "practice", *words]
    return subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)


async def published(house: House) -> list[Any]:
    async with house.worker.begin() as tx:
        rows = await tx.execute(text("SELECT value FROM outbox WHERE topic = 'practice.state' ORDER BY id"))
        return [PRACTICE_STATE.decode(row.value) for row in rows]


@pytest.mark.req("PF-10", part="by command; name and brand by page")
@pytest.mark.req("EP-19", part="settings with preview")
async def test_a_file_sets_up_practices_once_however_often_it_is_given(house: House, postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    environment("invoicing", postgres.urls("invoicing"), monkeypatch, {"PORTAL_URL": "http://portal"})
    assert "5 practices are set up" in command(str(FILE)).stdout
    assert "5 practices are set up" in command(str(FILE)).stdout
    said = await published(house)
    assert len(said) == 5
    state = next(each for each in said if each.practice_id == "195900")
    assert (state.display_name, state.zone, state.contracts_on) == ("Saltmarsh Occupational Health", "America/New_York", True)
    assert state.brand.logo_id and state.brand.accent_on in ("#FFFFFF", "#16202B") and state.portal_address.startswith("http://portal")


@pytest.mark.req("PF-10", part="by command; name and brand by page")
@pytest.mark.parametrize(
    "change",
    [
        {"zone": "Mars/Olympus"},
        {"digest_at": "noon"},
        {"digest_at": "24:00"},
        {"digest_at": "29:59"},
        {"practice_id": "no/slash"},
        {"merchant_locations": "none"},
        {"display_name": "Black\nstone"},
        {"display_name": " "},
        {"display_name": "x" * 121},
        {"legal_name": "x" * 201},
        {"staff_addresses": {"billing": "billing@blackstone.example\r"}},
        {"logo": "broken.png", "logo_alt": "Two hills"},
    ],
)
async def test_a_file_with_something_wrong_is_refused_in_words(
    house: House, postgres: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: dict[str, Any]
) -> None:
    environment("invoicing", postgres.urls("invoicing"), monkeypatch, {"PORTAL_URL": "http://portal"})
    entry = json.loads(FILE.read_text())[1] | {"logo": None} | change
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps([entry]))
    answer = command(str(wrong))
    assert answer.returncode and str(wrong) in answer.stderr and "Traceback" not in answer.stderr
    assert await published(house) == []
