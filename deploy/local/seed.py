"""Fills a new demo as people and other systems would: by public commands, APIs, pages and topics only."""

import asyncio
import json
import shutil
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any

import httpx

from deploy.local import clockfile, people, publisher, settled, visitor
from deploy.local import plan as plans
from deploy.local.children import run as run_command
from deploy.local.places import ROOT, SAMPLE
from deploy.local.plan import Plan
from deploy.local.processes import where
from deploy.local.visitor import Where

FIRST_DAY, LAST_DAY = date(2026, 7, 27), date(2026, 11, 22)
DATA = SAMPLE / "data"
Say = Callable[[str], None]


def is_done(plan: Plan) -> bool:
    return (plan.data / "seeded.json").exists()


def is_begun(plan: Plan) -> bool:
    """Whether a seeding began here; one that began and is not done cannot go on, since its clock has moved."""
    return (plan.data / "seeding").exists()


def known(plan: Plan) -> dict[str, Any]:
    """Who can sign in, as the seeding left it."""
    users: dict[str, Any] = json.loads((plan.data / "seeded.json").read_text())
    return users


def forget(plan: Plan) -> None:
    """Remove what an unfinished seeding left; ports and secrets stay."""
    shutil.rmtree(plan.data)
    plan.clock.unlink(missing_ok=True)


def run(plan: Plan, say: Say) -> dict[str, Any]:
    """Seed, from the first day of the sample data to its last, and return who can sign in; RuntimeError in one line when a part refuses."""
    (plan.data / "seeding").touch()
    clockfile.put(plan.clock, morning(FIRST_DAY))
    say(practices(plan))
    try:
        users = asyncio.run(_seed(plan, where(plan, {}), say))
    except httpx.HTTPStatusError as error:
        answer = " ".join(error.response.text.split())[:300]
        raise RuntimeError(f"{error.request.method} {error.request.url} answers {error.response.status_code}: {answer}") from error
    except httpx.RequestError as error:
        raise RuntimeError(f"{error.request.method} {error.request.url} is not answered: {error or type(error).__name__}") from error
    (plan.data / "seeded.json").write_text(json.dumps(users))
    return users


def practices(plan: Plan) -> str:
    """Create the sample practices by the operator's command."""
    env = plans.environment(plan, "invoicing")
    return run_command([plans.PYTHON, "-m", "services.invoicing", "practice", SAMPLE / "practices.json"], env=env, cwd=ROOT).strip().splitlines()[-1]


async def _seed(plan: Plan, at: Where, say: Say) -> dict[str, Any]:
    async with await visitor.program(at) as http:
        employers = publisher.lines(DATA / "employers.jsonl")
        accounts = [await account(http, at, employer) for employer in employers]
        say(f"{len(accounts)} corporate accounts made")
        await places_and_people(plan, say)
        await _weeks(plan, at, http, accounts, say)
        clockfile.put(plan.clock, morning(LAST_DAY))
        users = await people.seed(plan, at, http, employers, accounts, say)
        await _run_now(http, at, accounts, say)
    await settled.settle(at)
    return users


async def account(http: httpx.AsyncClient, at: Where, employer: dict[str, Any]) -> dict[str, Any]:
    """An account for an employer: net 30, billed each Monday."""
    body = {name: employer[name] for name in ("name", "address", "phone")} | {"payer_ids": [employer["payer_id"]], "net_days": 30}
    url = f"{at['services']['invoicing']}/api/practices/{employer['practice_id']}/accounts"
    answer = await http.post(url, json=body | {"frequency": "weekly", "weekday": 0}, headers={"Idempotency-Key": f"account {employer['payer_id']}"})
    made: dict[str, Any] = answer.raise_for_status().json()
    return made | {"practice_id": employer["practice_id"]}


async def places_and_people(plan: Plan, say: Say) -> None:
    for name, id_ in (("department", "department_id"), ("patient", "patient_id"), ("appointment", "appointment_id")):
        sent = await publisher.publish(plan.kafka, f"{name}.state", publisher.lines(DATA / f"{name}s.jsonl"), id_, at=clockfile.now(plan.clock))
        say(f"{len(sent)} {name}s published")


async def _weeks(plan: Plan, at: Where, http: httpx.AsyncClient, accounts: list[dict[str, Any]], say: Say) -> None:
    """The claims week by week, each followed by its Monday and the billing run of that Monday."""
    monday, claims = FIRST_DAY, publisher.lines(DATA / "claims.jsonl")
    async with settled.watching(plan.kafka) as lag:
        while monday <= LAST_DAY:
            until = min(monday + timedelta(days=6), LAST_DAY)
            week = [claim for claim in claims if monday.isoformat() <= claim["billed_on"] <= until.isoformat()]
            await publisher.publish(plan.kafka, "claim.billed", week, "claim_id", at=clockfile.now(plan.clock))
            async with asyncio.timeout(60):
                while (await lag()).get("invoicing.claims", 1):
                    await asyncio.sleep(0.05)
            monday += timedelta(days=7)
            if monday <= LAST_DAY:
                clockfile.put(plan.clock, morning(monday))
                await _billed(http, at, accounts, monday)
                say(f"week before {monday}: {len(week)} claims, billed")
    say(f"{len(claims)} claims published, {FIRST_DAY} to {LAST_DAY}")


async def _billed(http: httpx.AsyncClient, at: Where, accounts: list[dict[str, Any]], monday: date) -> None:
    """Waits until the Monday's run is behind every account."""
    for practice_id in sorted({account["practice_id"] for account in accounts}):
        async with asyncio.timeout(60):
            while not await _behind(http, at, practice_id, monday):
                await asyncio.sleep(0.2)


async def _behind(http: httpx.AsyncClient, at: Where, practice_id: str, monday: date) -> bool:
    cursor = ""
    while cursor is not None:
        answer = await http.get(f"{at['services']['invoicing']}/api/practices/{practice_id}/accounts", params={"cursor": cursor})
        found = answer.raise_for_status().json()
        if any(account["next_run_on"] <= monday.isoformat() for account in found["accounts"]):
            return False
        cursor = found["next"]
    return True


async def _run_now(http: httpx.AsyncClient, at: Where, accounts: list[dict[str, Any]], say: Say) -> None:
    """Bills what came since the last Monday, as a billing admin can at any time."""
    made = 0
    for practice_id in sorted({account["practice_id"] for account in accounts}):
        url = f"{at['services']['invoicing']}/api/practices/{practice_id}/runs"
        answer = await http.post(url, json={}, headers={"Idempotency-Key": f"seed {LAST_DAY}"})
        made += len(answer.raise_for_status().json()["invoices"])
    say(f"{made} more invoices by a run of today")


def morning(day: date) -> datetime:
    return datetime.combine(day, time(9), clockfile.NEW_YORK)
