"""`make chaos KILLS=100 SEED=…`: kills, restarts, and the proof that nothing was lost and nothing doubled."""

import argparse
import asyncio
import json
import random
import shutil
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import httpx

from deploy.local import clockfile, people, publisher, seed, settled, visitor
from deploy.local import plan as plans
from deploy.local.places import ROOT, free_port, home
from deploy.local.plan import Plan
from deploy.local.processes import Product, running, where
from deploy.local.tour import signed_paper
from deploy.local.verify.__main__ import CHECKS, findings, report
from deploy.local.verify.facts import gather
from deploy.local.visitor import Where
from tests.chaos.killer import MANY, Killer
from tests.chaos.load import PRACTICE, Load, insured_samples
from tests.chaos.mistakes import mistakes

CLEAN_WITHIN = 60.0
ENOUGH = {"payments confirmed": 5, "papers read": 5, "disputes": 3, "insurance payments": 5, "re-drops corrected": 1, "re-drops written off": 1,
          "billing runs": 5}
RATES = {"late": 0.08, "lost": 0.08, "doubled": 0.08, "declined": 0.02}
EMPLOYERS = ("79530", "79554")


async def prepare(plan: Plan, at: Where) -> list[tuple[str, str]]:
    """A practice with two employers, their people registered, and patients with contracts; returns who can log in."""
    clockfile.put(plan.clock, seed.morning(date(2026, 11, 22)))
    seed.practices(plan)
    employers = [each for each in publisher.lines(seed.DATA / "employers.jsonl") if each["payer_id"] in EMPLOYERS]
    async with await visitor.program(at) as http:
        accounts = [await seed.account(http, at, employer) for employer in employers]
        await seed.places_and_people(plan, lambda _: None)
        await settled.settle(at)
        logins = []
        for employer, account in zip(employers, accounts, strict=True):
            for contact in employer["contacts"]:
                if people.ROLES[contact["role"]] == "viewer":
                    continue
                await people.invite(at, http, account, contact)
                await people.register(at, contact["email"], people.PASSWORD)
                logins.append((contact["email"], people.PASSWORD))
        await _contracts(at, http)
    await settled.settle(at)
    return logins


async def _contracts(at: Where, http: httpx.AsyncClient) -> None:
    """A signed one-year contract for each patient of the insured samples."""
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {at['operator']['gateway_secret']}"}) as terminal:
        card = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2030}
        for patient, department in {each["patient"]["patient_id"]: each["department_id"] for each in insured_samples()}.items():
            token = (await terminal.post(f"{at['gateway']}/tokens", json=card)).json()["token"]
            base = f"{at['services']['contracts']}/v1/{PRACTICE}/patients/{patient}"
            form = {"departmentid": department, "accountnumber": token, "email": f"{patient}@example.net", "maxamount": "5000"}
            answer = await http.post(f"{base}/collectpayment/oneyear", data=form)
            if answer.status_code == 200:
                paper = {"attachmentcontents": ("s.pdf", signed_paper(), "application/pdf")}
                (await http.post(f"{base}/receipts/{answer.json()['epaymentid']}/signed", files=paper)).raise_for_status()


async def faults(at: Where, rates: dict[str, float], rnd: random.Random) -> None:
    """How often the card processor is late, lost, doubled, declining."""
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {at['operator']['gateway_secret']}"}) as http:
        body = {"rates": rates, "seed": rnd.randint(1, 10**6), "late_ms": 700, "latency_ms": 20}
        (await http.post(f"{at['gateway']}/control", json=body)).raise_for_status()


async def clean(at: Where, load: Load, since: float) -> tuple[float, dict[str, list[str]]]:
    """Bills what has arrived and looks, at least once, until the oracle is clean or a minute from `since` is over.

    Answers the seconds it took, and what it still finds.
    """
    try:
        await settled.settle(at, CLEAN_WITHIN)
        await load.bill()
    except TimeoutError as error:
        return time.monotonic() - since, {"at rest": [str(error)]}
    while True:
        try:
            await settled.settle(at, CLEAN_WITHIN)
        except TimeoutError as error:
            return time.monotonic() - since, {"at rest": [str(error)]}
        facts = await gather(at)
        found = findings(facts)
        stored = {row["claim_id"]: row["version"] for row in facts.rows("invoicing", "claim")}
        marks = {row["claim_id"]: row["void_version"] for row in facts.rows("invoicing", "claim_mark")}
        lost = [c for c, version in load.published.items() if max(stored.get(c, 0), marks.get(c, 0)) < version]
        if lost:
            found["every published claim is stored at its highest version"] = [f"{len(lost)} are not, the first {lost[0]}"]
        load.done["charges taken"] = sum(row["status"] == "charged" for row in facts.rows("contracts", "charges"))
        load.done["mails sent"] = sum(row["state"] == "sent" for row in facts.rows("notifier", "mails"))
        seconds = time.monotonic() - since
        if not found or seconds >= CLEAN_WITHIN:
            return seconds, found
        await asyncio.sleep(1)


def too_little(killer: Killer, load: Load) -> list[str]:
    """What a run did not meet or, of many kills, not do; then its being clean would prove little."""
    if killer.wanted < MANY:
        return killer.not_met()
    wanted = ENOUGH | {"charges taken": 1, "mails sent": 20}
    done = [f"{what}: {load.done.get(what, 0)}" for what, least in wanted.items() if load.done.get(what, 0) < least]
    return killer.not_met() + killer.missed() + done


async def play(
    product: Product, at: Where, kills: int, releases: list[Path], rnd: random.Random
) -> tuple[Killer, Load, float, dict[str, list[str]]]:
    logins = await prepare(product.plan, at)
    print(f"chaos: {len(logins)} people registered; claims flow, {kills} kills begin", flush=True)
    load, killer = Load(at, rnd), Killer(product, rnd, kills, releases)
    await faults(at, RATES, rnd)
    working = asyncio.create_task(load.run(logins))
    shown = asyncio.create_task(_show(killer, load))
    await killer.run()
    shown.cancel()
    load.stop.set()
    await working
    await faults(at, {name: 0.0 for name in RATES}, rnd)
    seconds, found = await clean(at, load, killer.restarted_at)
    if ours := killer.wrong + load.wrong + mistakes(product.plan.logs, product.instances()):
        found["no service made a mistake"] = ours
    if little := too_little(killer, load):
        found["every point was met and enough was done"] = little
    return killer, load, seconds, found


async def _show(killer: Killer, load: Load) -> None:
    while True:
        await asyncio.sleep(20)
        print(f"chaos: {killer.kills} kills; {json.dumps(load.done)}", flush=True)


def checkout(commit: str, place: Path) -> Path:
    """The code of another commit of this repository, in a folder of its own."""
    place.mkdir(parents=True)
    try:
        archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
    except subprocess.CalledProcessError as error:
        sys.exit(f"chaos: {commit} is no commit of this repository: {error.stderr.decode().strip()}")
    subprocess.run(["tar", "-x", "-C", place], input=archive, check=True)
    return place


def main() -> None:
    words = argparse.ArgumentParser(prog="chaos")
    words.add_argument("--kills", type=int, default=100)
    words.add_argument("--seed", type=int, default=None)
    words.add_argument("--replicas", type=int, default=1)
    words.add_argument("--beside", help="a commit: instances run its code or this one's, as during a release")
    given = words.parse_args()
    number: int = given.seed if given.seed is not None else random.SystemRandom().randint(1, 10**6)
    print(f"chaos: seed {number}", flush=True)
    place = home() / f"chaos-{number}"
    shutil.rmtree(place, ignore_errors=True)
    more = [each for name in plans.SERVICES for each in plans.instances(name, given.replicas)]
    ports = {name: free_port() for name in (*plans.PARTS, *more)}
    plan = plans.make(place / "data", place / "state", ports, throw_away=True, replicas=given.replicas)
    releases = [ROOT, *([checkout(given.beside, place / "before")] if given.beside else [])]
    began = time.monotonic()
    failed: Any = None
    with running(plan, lambda line: print(f"chaos: {line}", flush=True)) as product:
        killer, load, seconds, found = asyncio.run(play(product, where(plan, {}), given.kills, releases, random.Random(number)))
        if seconds > CLEAN_WITHIN:
            found["clean within a minute"] = [f"it took {seconds:.0f} s"]
        if found:
            failed = report(found)
            kept = Path(ROOT) / ".local" / f"chaos-{number}"
            shutil.copytree(plan.logs, kept, dirs_exist_ok=True)
    shutil.rmtree(place, ignore_errors=True)
    for point, count in sorted(killer.by_point.items()):
        print(f"chaos: {count:4d} × {point}")
    print(f"chaos: {len(load.published)} claims; {json.dumps(load.done)}")
    if failed:
        print(failed)
        sys.exit(f"chaos: failed after {killer.kills} kills; repeat with SEED={number}; logs in .local/chaos-{number}")
    took = time.monotonic() - began
    rolled = f", {killer.rolls} rolling restarts" if given.replicas > 1 else ""
    checked = f"{len(CHECKS) + 2} checks clean {seconds:.0f} s after the last restart"
    print(f"chaos: {killer.kills} kills{rolled}, {checked}; seed {number}, {took:.0f} s in all")


if __name__ == "__main__":
    main()
