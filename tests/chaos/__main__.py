"""`make chaos KILLS=100 SEED=…`: kills, restarts, and the proof that nothing was lost and nothing doubled."""

import argparse
import asyncio
import json
import random
import shutil
import signal
import sys
import time
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import httpx

from deploy.local import children, clockfile, people, publisher, seed, settled, visitor
from deploy.local import plan as plans
from deploy.local.places import ROOT, free_port, home
from deploy.local.plan import Plan, environment
from deploy.local.processes import Product, running, where
from deploy.local.tour import signed_paper
from deploy.local.verify.__main__ import CHECKS, findings, report
from deploy.local.verify.facts import gather
from deploy.local.visitor import Where
from tests.chaos.load import PRACTICE, Load, insured_samples
from tests.chaos.mistakes import mistakes
from tests.chaos.victim import ALL, POINTS

CLEAN_WITHIN = 60.0
LONGEST_LIFE = 15.0  # of a victim, from being up, that does not reach its point: then it is killed wherever it is
AT_ONCE = 2
MANY = 3 * len(POINTS)  # so many kills have to meet every point, and so much of the work has to be done meanwhile
ENOUGH = {"payments confirmed": 5, "disputes": 3, "insurance payments": 5, "re-drops corrected": 1, "re-drops written off": 1, "billing runs": 5}
RATES = {"late": 0.08, "lost": 0.08, "doubled": 0.08, "declined": 0.02}
EMPLOYERS = ("79530", "79554")


@dataclass
class Killer:
    """Kills services, two at a time, and starts them again."""

    product: Product
    rnd: random.Random
    wanted: int
    kills: int = 0
    by_point: dict[str, int] = field(default_factory=dict)
    restarted_at: float = field(default_factory=time.monotonic)  # the last start of a service that was killed
    busy: set[str] = field(default_factory=set)

    async def run(self) -> None:
        await asyncio.gather(*(self._worker() for _ in range(AT_ONCE)))

    async def _worker(self) -> None:
        while self.kills < self.wanted or self.more():
            service = self.rnd.choice(self.more() or [name for name in ALL if name not in self.busy])
            self.busy.add(service)
            try:
                await asyncio.sleep(self.rnd.uniform(0, 1.5))
                await self._kill(service, "anywhere")
                passed = [point for point, (passed_by, _) in POINTS.items() if service in passed_by]
                least = min(self.by_point.get(point, 0) for point in passed)
                point = self.rnd.choice([point for point in passed if self.by_point.get(point, 0) == least])
                await self._victim(service, point)
                await asyncio.to_thread(self._start, service)
            finally:
                self.busy.discard(service)

    def missed(self) -> list[str]:
        """The points that no service died at."""
        return [point for point in POINTS if point not in self.by_point] if self.wanted >= MANY else []

    def more(self) -> list[str]:
        """When the kills are done but points are left: the services that can still meet one, for a while."""
        if not self.wanted <= self.kills < self.wanted + MANY:
            return []
        return [name for name in ALL if name not in self.busy and any(name in POINTS[point][0] for point in self.missed())]

    async def _kill(self, service: str, point: str) -> None:
        await asyncio.to_thread(self.product.kill, service)
        self.kills += 1
        self.by_point[point] = self.by_point.get(point, 0) + 1

    async def _victim(self, service: str, point: str) -> None:
        """A life that ends at a point, or anywhere if it does not come to it."""
        plan = self.product.plan
        after = self.rnd.choice((1, 1, 2, 3, 5, 8)) if POINTS[point][0] == ALL else 1  # people, charges and mails come by seldom
        argv = [sys.executable, "-m", "tests.chaos.victim", service, point, str(after)]
        env = {name: value for name, value in environment(plan, service).items() if name != "DATABASE_OWNER_URL"}
        process = self.product.running[service] = children.spawn(argv, self.product.log(service), env=env | {"PYTHONPATH": str(ROOT)}, cwd=ROOT)
        if await asyncio.to_thread(self._dies, service, process):
            self.kills += 1
            self.by_point[point] = self.by_point.get(point, 0) + 1
        else:
            await self._kill(service, "anywhere")
            await asyncio.to_thread(process.wait)

    def _dies(self, service: str, process: children.Process) -> bool:
        """Whether it reaches its point: at once, or within its life once it is ready."""
        end: float | None = None
        while process.poll() is None and (end is None or time.monotonic() < end):
            if end is None and self.product.is_ready(service):
                end = time.monotonic() + LONGEST_LIFE
            time.sleep(0.1)
        return process.poll() == -signal.SIGKILL

    def _start(self, service: str) -> None:
        self.restarted_at = time.monotonic()
        self.product.start(service)
        self.product.wait(service)


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
    """What a run of many kills did not meet or do; then its being clean would prove little."""
    if killer.wanted < MANY:
        return []
    wanted = ENOUGH | {"charges taken": 1, "mails sent": 20}
    return killer.missed() + [f"{what}: {load.done.get(what, 0)}" for what, least in wanted.items() if load.done.get(what, 0) < least]


async def play(product: Product, at: Where, kills: int, rnd: random.Random) -> tuple[Killer, Load, float, dict[str, list[str]]]:
    logins = await prepare(product.plan, at)
    print(f"chaos: {len(logins)} people registered; claims flow, {kills} kills begin", flush=True)
    load, killer = Load(at, rnd), Killer(product, rnd, kills)
    await faults(at, RATES, rnd)
    working = asyncio.create_task(load.run(logins))
    shown = asyncio.create_task(_show(killer, load))
    await killer.run()
    shown.cancel()
    load.stop.set()
    await working
    await faults(at, {name: 0.0 for name in RATES}, rnd)
    seconds, found = await clean(at, load, killer.restarted_at)
    if ours := mistakes(product.plan.logs, ALL):
        found["no service made a mistake"] = ours
    if little := too_little(killer, load):
        found["every point was met and enough was done"] = little
    return killer, load, seconds, found


async def _show(killer: Killer, load: Load) -> None:
    while True:
        await asyncio.sleep(20)
        print(f"chaos: {killer.kills} kills; {json.dumps(load.done)}", flush=True)


def main() -> None:
    words = argparse.ArgumentParser(prog="chaos")
    words.add_argument("--kills", type=int, default=100)
    words.add_argument("--seed", type=int, default=None)
    given = words.parse_args()
    number: int = given.seed if given.seed is not None else random.SystemRandom().randint(1, 10**6)
    print(f"chaos: seed {number}", flush=True)
    place = home() / f"chaos-{number}"
    shutil.rmtree(place, ignore_errors=True)
    ports = {name: free_port() for name in plans.PARTS}
    plan = plans.make(place / "data", place / "state", ports, throw_away=True)
    began = time.monotonic()
    failed: Any = None
    with running(plan, lambda line: print(f"chaos: {line}", flush=True)) as product:
        killer, load, seconds, found = asyncio.run(play(product, where(plan, {}), given.kills, random.Random(number)))
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
    print(f"chaos: {killer.kills} kills, {len(CHECKS) + 2} checks clean {seconds:.0f} s after the last restart; seed {number}, {took:.0f} s in all")


if __name__ == "__main__":
    main()
