"""Fills a new demo as people and other systems would: by public commands, APIs, pages and topics only."""

import asyncio
import json
import shutil
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any

from deploy.local import clockfile, publisher
from deploy.local import plan as plans
from deploy.local.children import run as run_command
from deploy.local.places import ROOT, SAMPLE
from deploy.local.plan import Plan
from deploy.local.processes import present

FIRST_DAY, LAST_DAY = date(2026, 7, 27), date(2026, 11, 22)
DATA = SAMPLE / "data"
Say = Callable[[str], None]


def is_done(plan: Plan) -> bool:
    return (plan.data / "seeded.json").exists()


def known(plan: Plan) -> dict[str, Any]:
    """Who can sign in, as the seeding left it."""
    users: dict[str, Any] = json.loads((plan.data / "seeded.json").read_text())
    return users


def forget(plan: Plan) -> None:
    """Remove what an unfinished seeding left; ports and secrets stay."""
    shutil.rmtree(plan.data)
    plan.clock.unlink(missing_ok=True)


def run(plan: Plan, say: Say) -> dict[str, Any]:
    """Seed, from the first day of the sample data to its last, and return who can sign in."""
    clockfile.put(plan.clock, _morning(FIRST_DAY))
    users: dict[str, Any] = {}
    if "invoicing" in present():
        say(practices(plan))
    asyncio.run(_publish(plan, say))
    clockfile.put(plan.clock, _morning(LAST_DAY))
    (plan.data / "seeded.json").write_text(json.dumps(users))
    return users


def practices(plan: Plan) -> str:
    """Create the sample practices by the operator's command."""
    env = plans.environment(plan, "invoicing")
    return run_command([plans.PYTHON, "-m", "services.invoicing", "practice", SAMPLE / "practices.json"], env=env, cwd=ROOT).strip().splitlines()[-1]


async def _publish(plan: Plan, say: Say) -> None:
    """What the practices' own systems say: their places, people and visits, then the claims week by week, with the clock going along."""
    for name, id_ in (("department", "department_id"), ("patient", "patient_id"), ("appointment", "appointment_id")):
        sent = await publisher.publish(plan.kafka, f"{name}.state", publisher.lines(DATA / f"{name}s.jsonl"), id_, at=clockfile.now(plan.clock))
        say(f"{len(sent)} {name}s published")
    monday, claims = FIRST_DAY, publisher.lines(DATA / "claims.jsonl")
    while monday <= LAST_DAY:
        until = min(monday + timedelta(days=6), LAST_DAY)
        week = [claim for claim in claims if monday.isoformat() <= claim["billed_on"] <= until.isoformat()]
        await publisher.publish(plan.kafka, "claim.billed", week, "claim_id", at=clockfile.now(plan.clock))
        monday += timedelta(days=7)
        clockfile.put(plan.clock, _morning(min(monday, LAST_DAY)))
    say(f"{len(claims)} claims published, {FIRST_DAY} to {LAST_DAY}")


def _morning(day: date) -> datetime:
    return datetime.combine(day, time(9), clockfile.NEW_YORK)
