"""Schedules: what people do, in threads, mixed by a seed with deliveries in any order, repeats, rewinds and crashes."""

import random
from dataclasses import dataclass, field
from typing import Any

from services.notifier import sender
from services.portal.checkout import captured, jobs
from shared import ids
from shared.events.registry import TOPICS
from tests.flows import checks
from tests.flows.checks import Watch
from tests.flows.people import People
from tests.flows.world import Broken, Place, World

Action = tuple[Any, ...]  # a method of People and its arguments
WAIT: Action = ("wait",)
PATIENCE = 6  # how often an action that is not possible now is tried again before it is left out


@dataclass(frozen=True)
class Flow:
    """`start` is done in order. `threads` are mixed; each keeps its own order. `same_end`: whatever the order, the end is the same."""

    start: tuple[Action, ...]
    threads: tuple[tuple[Action, ...], ...]
    same_end: bool = False
    seldom: tuple[tuple[str, str], ...] = ()  # (reader, topic) that are read late in some schedules
    picks: int = 0  # so many of the threads, by chance; 0 is all of them
    claims_per_part: int = captured.PART_CLAIMS
    whole: bool = False  # what was paid as asked leaves nothing open beside credit


@dataclass
class Player:
    """One schedule of a flow in a world that begins anew."""

    world: World
    server: str
    seed: int | None
    people: People = field(init=False)
    watch: Watch = field(init=False)
    rnd: random.Random = field(init=False)

    async def play(self, flow: Flow) -> dict[str, Any]:
        """The end of the schedule in plain form; raises Broken with its steps. Without a seed everything happens in order."""
        ids_new, ids.new = ids.new, self.world.new_id
        at_once = jobs.AT_ONCE, sender.AT_ONCE
        jobs.AT_ONCE = sender.AT_ONCE = 1  # in the order of the seed
        captured.PART_CLAIMS = flow.claims_per_part
        try:
            await self.world.begin()
            self.people = People(self.world)
            self.watch = Watch(self.world, self.people)
            self.rnd = random.Random(self.seed)
            await self.people.open()
            for action in flow.start:
                await self.act(action)
                await self.world.drain()
            await (self.mix(flow) if self.seed is not None else self.in_order(flow))
            await self.settle()
            facts = await checks.rest(self.world, self.people, self.server)
            if flow.whole:
                checks.paid_whole(facts)
            return plain(facts)
        except Broken as broken:
            raise Broken(f"seed {self.seed}: {broken}\n  " + "\n  ".join(self.world.steps)) from broken
        finally:
            ids.new, captured.PART_CLAIMS = ids_new, Flow.claims_per_part
            jobs.AT_ONCE, sender.AT_ONCE = at_once

    async def act(self, action: Action) -> bool:
        name, *args = action
        keywords = args.pop() if args and isinstance(args[-1], dict) else {}
        done: bool = await getattr(self.people, name)(*args, **keywords)
        if done:
            self.world.steps.append(f"{name} {args or ''} {keywords or ''}".strip())
            await self.watch.look()
        return done

    async def in_order(self, flow: Flow) -> None:
        for thread in flow.threads:
            for action in thread:
                await self.act(action)
                await self.world.drain()

    async def mix(self, flow: Flow) -> None:
        chosen = self.rnd.sample(flow.threads, flow.picks) if flow.picks else flow.threads
        threads = [list(thread) for thread in chosen]
        tries: dict[tuple[int, int], int] = {}
        often = 0.6 if len(flow.seldom) < 4 else 0.3
        slow = {lane for lane in flow.seldom if self.rnd.random() < often}
        while any(threads) or self.world.ready:
            quick = [place for place in self.world.ready if place[:2] not in slow]
            if any(threads) and (not quick or self.rnd.random() < 0.4):
                thread = self.rnd.choice([each for each in threads if each])
                waited = thread[0] == WAIT and not quick
                if waited or await self.act(thread[0]):
                    thread.pop(0)
                    continue
                tries[id(thread), len(thread)] = tries.get((id(thread), len(thread)), 0) + 1
                if tries[id(thread), len(thread)] >= PATIENCE and not quick:
                    thread.pop(0)
            if self.world.ready:
                await self.deliver(quick or list(self.world.ready))

    async def deliver(self, places: list[Place]) -> None:
        """Some reader gets some of its next records; or something goes wrong."""
        rnd, world = self.rnd, self.world
        place = rnd.choice(places)
        batch = [place]
        if rnd.random() < 0.3:
            batch += [other for other in places if other[0] == place[0] and other != place and rnd.random() < 0.5]
        skip, crash = rnd.random() < 0.15, rnd.random() < 0.06
        words = [f"{topic} {key}@{world.at.get((reader, topic, key), 0)}" for reader, topic, key in batch]
        world.steps.append(f"  {place[0]} reads {', '.join(words)}{' newest' if skip else ''}{' and crashes' if crash else ''}")
        await world.deliver(batch, skip=skip, crash=crash)
        await self.watch.look()
        luck = rnd.random()
        if luck < 0.04 and TOPICS[place[1]].writer != "ingress" and world.again(place[1:], rnd.randint(0, 4)):
            world.steps.append(f"  {place[1]} {place[2]} is sent again")
        elif luck < 0.10 and world.rewind(place, by := rnd.randint(1, 3)):
            world.steps.append(f"  {place[0]} goes back {by} on {place[1]} {place[2]}")

    async def settle(self) -> None:
        """Everything arrives; doubts are asked about; staff end the holds; days pass until notices are charged and mails are out."""
        people, world = self.people, self.world
        await world.drain()
        for n in range(9):
            while await people.land():
                pass
            for _ in range(3):
                asked, charged = await people.ask(), await people.charge()
                await world.drain()
                await self.watch.look()
                if not asked and not charged:
                    break
            if n == 1:
                for row in await world.rows("invoicing", "SELECT DISTINCT claim_id FROM hold WHERE closed_at IS NULL"):
                    await people.redrop(row["claim_id"])
                await world.drain()
            await people.day()
            for step in (people.invoicing_day, people.fall_due, people.mails):
                await step()
                await world.drain()
                await self.watch.look()
        for who in list(people.attempts):
            await people.leave(who)
        world.clock.move(seconds=30)
        await people.ask()


def plain(facts: Any) -> dict[str, Any]:
    """The end without ids, versions and dates: money by claim, invoices, payments, charges, mails."""
    invoices = {f"{row['practice_id']}/{row['invoice_id']}": f"invoice {n}" for n, row in enumerate(
        sorted(facts.rows("invoicing", "invoice"), key=lambda row: row["number"]))}  # fmt: skip
    states, lines = facts.newest["invoice.state"], facts.states("invoice.line.state")
    return {
        "columns": sorted([r["claim_id"], r["charge_id"], r["kind"], r["payer_id"], r["balance_cents"], r["paid_cents"], r["adjusted_cents"]]
                          for r in facts.rows("posting", "columns")),
        "claims": sorted([r["claim_id"], r["version"], r["revision"], r["total_cents"]] for r in facts.rows("invoicing", "claim")),
        "lines": sorted([line["claim_id"], invoices[f"p1/{line['invoice_id']}"], line["status"], line["balance_cents"]] for line in lines),
        "invoices": sorted([name, states[key].body["status"], states[key].body["balance_cents"], len(states[key].body["issues"])]
                           for key, name in invoices.items()),
        "payments": sorted([r["source"], r["amount_cents"], r["credited_cents"]] for r in facts.rows("posting", "payments")),
        "ledger": sorted([r["account"], r["cents"]] for r in facts.rows("posting", "accounts") if r["cents"]),
        "charges": sorted([r["claim_id"], r["status"], r["submitted_cents"]] for r in facts.rows("contracts", "charges")),
        "receipts": sorted(r["template"] for r in facts.rows("notifier", "mails") if "receipt" in r["template"]),
    }  # fmt: skip


async def play(world: World, server: str, flow: Flow, seed: int | None) -> dict[str, Any]:
    """One schedule; its end in plain form."""
    return await Player(world, server, seed).play(flow)


