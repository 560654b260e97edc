"""What must hold after every step of a schedule, and what must be so when everything has come to rest."""

from collections import Counter
from typing import Any

import msgspec

from deploy.local.verify.__main__ import findings
from deploy.local.verify.facts import Facts, _database
from shared.events.invoicing import CLAIM_REDROPPED, INVOICE_LINE_STATE, INVOICE_REISSUED
from shared.events.posting import CLAIM_BALANCES, PAYMENT_STATE
from shared.events.registry import TOPICS
from tests.flows.people import People
from tests.flows.staff import P
from tests.flows.world import Broken, World

LIVE = ("submitted", "unknown", "captured")


class Watch:
    """Looks at the world after each step, at what the step made."""

    def __init__(self, world: World, people: People) -> None:
        self.world, self.people = world, people
        self.paid: set[str] = set()
        self.disputed: set[str] = set()
        self.charged: set[str] = set()
        self.reissued = 0

    async def look(self) -> None:
        await self._attempts()
        await self._disputes()
        await self._charges()
        self._reissues()

    # --- portal

    async def _attempts(self) -> None:
        """No claim is payable twice, and none inside an open dispute: looked at when an attempt has become live."""
        rows = await self.world.rows("portal", "SELECT attempt_id, state FROM attempts WHERE state = ANY($1)", list(LIVE))
        for row in rows:
            if row["attempt_id"] in self.paid:
                continue
            self.paid.add(row["attempt_id"])
            await self._attempt(row["attempt_id"])

    async def _attempt(self, attempt_id: str) -> None:
        asked = await self.world.rows(
            "portal",
            "SELECT c.*, l.balance_cents, l.body FROM attempt_claims c JOIN lines l USING (practice_id, line_id) WHERE c.attempt_id = $1",
            attempt_id,
        )
        for row in asked:
            claim_id, balances_version = row["claim_id"], row["body"]["balances_version"]
            others = await self.world.rows(
                "portal",
                "SELECT a.attempt_id, c.amount_cents FROM attempt_claims c JOIN attempts a USING (practice_id, attempt_id)"
                " WHERE c.claim_id = $1 AND a.attempt_id <> $2 AND a.state = ANY($3)",
                claim_id, attempt_id, list(LIVE),
            )  # fmt: skip
            out = sum(each["amount_cents"] for each in others if not self._contained(each["attempt_id"], claim_id, balances_version))
            if out + row["amount_cents"] > row["balance_cents"]:
                raise Broken(f"payable twice: {claim_id} asked {row['amount_cents']} beside {out}, its line has {row['balance_cents']}")
            self._demand(row, balances_version)
            open_ones = await self._open_disputes(claim_id)
            if open_ones:
                raise Broken(f"a payment of {claim_id} inside the open dispute {open_ones[0]}")

    def _contained(self, payment_id: str, claim_id: str, balances_version: int) -> bool:
        named = [
            each.balances_version
            for state in self.world.said(PAYMENT_STATE, f"{P}/{payment_id}")
            for each in state.claims
            if each.claim_id == claim_id and each.balances_version
        ]
        return bool(named) and balances_version >= min(named)

    def _demand(self, row: Any, balances_version: int) -> None:
        """A line is not asked from mixed versions: where posting was ahead of it, posting's balance holds."""
        line = row["body"]
        for state in self.world.said(CLAIM_BALANCES, f"{P}/{row['claim_id']}"):
            if state.version == balances_version and (state.claim_version, state.claim_revision) > (line["claim_version"], line["claim_revision"]):
                open_cents = sum(each.balance_cents for each in state.lines if each.kind == "corporate" and each.payer_id == line["payer_id"])
                if row["amount_cents"] > open_cents:
                    raise Broken(f"false demand: {row['claim_id']} asked {row['amount_cents']}, posting says {open_cents}")

    async def _open_disputes(self, claim_id: str) -> list[str]:
        sent = [row["dispute_id"] for row in await self.world.rows("portal", "SELECT dispute_id FROM disputes WHERE claim_id = $1", claim_id)]
        ended = "SELECT dispute_id FROM dispute WHERE state->>'status' <> 'open' AND state->>'claim_id' = $1"
        return sorted(set(sent) - {row["dispute_id"] for row in await self.world.rows("invoicing", ended, claim_id)})

    async def _disputes(self) -> None:
        """None of a claim inside a live or unposted payment; one of a claim at a time."""
        for row in await self.world.rows("portal", "SELECT dispute_id, claim_id FROM disputes"):
            if row["dispute_id"] in self.disputed:
                continue
            self.disputed.add(row["dispute_id"])
            paying = await self.world.rows(
                "portal",
                "SELECT a.attempt_id, a.state FROM attempt_claims c JOIN attempts a USING (practice_id, attempt_id)"
                " WHERE c.claim_id = $1 AND a.state = ANY($2)",
                row["claim_id"], list(LIVE),
            )  # fmt: skip
            for each in paying:
                if each["state"] != "captured" or not self._contained(each["attempt_id"], row["claim_id"], 10**9):
                    raise Broken(f"a dispute of {row['claim_id']} inside the payment {each['attempt_id']}")
            if len(await self._open_disputes(row["claim_id"])) > 1:
                raise Broken(f"two open disputes of {row['claim_id']}")

    # --- contracts

    async def _charges(self) -> None:
        """Within notice, balance and limit, on the noticed adjudication, five days after the notice, while the contract is active."""
        query = (
            "SELECT c.*, k.status AS contract, k.limit_cents, b.version AS balance_version, b.adjudicated, b.adjudication_no AS adjudication,"
            " b.patient_balance_cents FROM charges c JOIN contracts k USING (practice_id, contract_id) JOIN balances b USING (practice_id, claim_id)"
            " WHERE c.attempt_id IS NOT NULL"
        )
        rows = await self.world.rows("contracts", query)
        for row in rows:
            if row["status"] in ("submitted", "unknown", "charged") and row["contract"] == "cancelled" and row["attempt_id"] not in self.charged:
                raise Broken("contract charge after the cancel")
            if row["status"] != "submitted" or row["attempt_id"] in self.charged:
                continue
            self.charged.add(row["attempt_id"])
            cents = row["submitted_cents"]
            others = [each for each in rows if each is not row and each["status"] in ("submitted", "unknown", "charged")]
            same = [each for each in others if each["claim_id"] == row["claim_id"]]
            own = sum(e["submitted_cents"] for e in same if not self._contained(e["attempt_id"], row["claim_id"], row["balance_version"]))
            credit = sum(self._credited(each["attempt_id"]) for each in same)
            noticed = self.people.post.notices.get((row["charge_id"], row["notice_no"]))
            wrong = {
                "after the cancel": row["contract"] != "active",
                "above the notice": cents > row["noticed_cents"],
                "above the balance": cents > row["patient_balance_cents"] - own,
                "above the limit": cents > row["limit_cents"] - sum(each["submitted_cents"] for each in others),
                "on another adjudication": not row["adjudicated"] or row["adjudication"] != row["adjudication_no"],
                "while its earlier money is credit": credit + cents > row["patient_balance_cents"],
                "before five days from the notice": noticed is None or (self.world.clock.now - noticed).days < 4,
            }
            for words, is_so in wrong.items():
                if is_so:
                    raise Broken(f"contract charge {words}")

    def _credited(self, payment_id: str) -> int:
        states = self.world.said(PAYMENT_STATE, f"{P}/{payment_id}")
        reader = self.world.heard.get(("contracts.facts", PAYMENT_STATE.name, f"{P}/{payment_id}"), 0)
        return states[min(reader, len(states)) - 1].credited_cents if states and reader else 0

    # --- invoicing

    def _reissues(self) -> None:
        """An invoice is sent again when posting has the corrections and write-offs of what it asks and no longer holds."""
        facts = self.world.said(INVOICE_REISSUED)
        if len(facts) == self.reissued:
            return
        for fact in facts[self.reissued :]:
            lines = [states[-1] for states in _by_key(self.world, INVOICE_LINE_STATE) if states[-1].invoice_id == fact.invoice_id]
            for line in lines:
                if line.status in ("due", "overdue"):
                    self._covered(line.claim_id)
        self.reissued = len(facts)

    def _covered(self, claim_id: str) -> None:
        said = self.world.said(CLAIM_BALANCES, f"{P}/{claim_id}")
        for redrop in self.world.said(CLAIM_REDROPPED, f"{P}/{claim_id}"):
            offs = {each.write_off_id for each in redrop.write_offs}
            newest = said[-1] if said else None
            asked = redrop.claim_version, redrop.claim_revision
            if newest is None or (newest.claim_version, newest.claim_revision) < asked or not offs <= set(newest.write_offs):
                raise Broken(f"sent again before posting has the correction of {claim_id} and its write-offs")


def _by_key(world: World, topic: Any) -> list[list[Any]]:
    keys = {key for name, key in world.logs if name == topic.name}
    return [world.said(topic, key) for key in sorted(keys)]


async def facts_of(world: World, server: str) -> Facts:
    """What the oracle of the running product looks at, from the played one."""
    where = {"operator": {"postgres": server}}
    facts = Facts(dict([await _database(where, service) for service in world.sql]))
    for (topic, key), log in world.logs.items():
        for entry in log:
            if not entry.again:
                facts.hear(topic, key, msgspec.json.decode(entry.value))
    facts.captures = world.gateway.book.ledger
    facts.mails = [{"headers": dict(message.items())} for message in world.box]
    facts.now = world.clock.now
    return facts


async def rest(world: World, people: People, server: str) -> Facts:
    """Everything has been delivered, asked and waited for: the oracle is clean, and nothing waits."""
    facts = await facts_of(world, server)
    found = [f"{name}: {words}" for name, several in findings(facts).items() for words in several]
    found += [f"at rest: {words}" for words in _waiting(facts, world, people)]
    if found:
        raise Broken("; ".join(found[:3]))
    return facts


def _waiting(facts: Facts, world: World, people: People) -> list[str]:
    found = [f"mail {row['key']} waits" for row in facts.rows("notifier", "mails") if row["state"] == "waiting"]
    found += [f"{row['kind']} of invoice {row['invoice_id']} is in no digest" for row in facts.rows("notifier", "items") if row["ended"] is None]
    found += [f"the re-issue of {row['claim_id']} waits" for row in facts.rows("invoicing", "claim") if row["reissue_on"]]
    found += [f"charge {row['charge_id']} is still {row['status']}" for row in facts.rows("contracts", "charges") if row["status"] in
              ("scheduled", "noticed", "due", "submitted", "unknown")]  # fmt: skip
    found += [f"attempt {row['attempt_id']} is still {row['state']}" for row in facts.rows("portal", "attempts") if row["state"] == "releasing"]
    found += [f"dead letter on {log[0]}: {world.said(TOPICS[log[0]], log[1])[0].reason}" for log in world.logs if log[0].endswith("dead_letter")
              and "same version" not in world.said(TOPICS[log[0]], log[1])[0].reason]  # fmt: skip
    ledger = Counter({row["account"]: row["cents"] for row in facts.rows("posting", "accounts")})
    if ledger["unapplied"]:
        found.append(f"{ledger['unapplied']} cents wait unapplied")
    if -ledger["credit"] != sum(row["credited_cents"] for row in facts.rows("posting", "payments")):
        found.append("the ledger's credit is not the payments' credit")
    return found + _contents(facts, people) + _contracts(facts)


def _contents(facts: Facts, people: People) -> list[str]:
    """Invoicing and posting have the same content, and the practice's system the same void; what is open is on a live line."""
    found = []
    ours = {row["claim_id"]: row for row in facts.rows("invoicing", "claim")}
    voids = {row["claim_id"]: row["void_version"] for row in facts.rows("invoicing", "claim_mark")}
    held = {row["claim_id"] for row in facts.rows("invoicing", "hold") if row["closed_at"] is None}
    live = {row["claim_id"]: row for row in facts.rows("invoicing", "invoice_line") if not row["withdrawn"]}
    for row in facts.rows("posting", "claims"):
        claim_id, content = row["claim_id"], row["content"]
        mine = ours.get(claim_id)
        if mine is None or content is None:
            found.append(f"{claim_id} is known to one service only")
            continue
        theirs = content["version"], content["revision"], sum(cents for _, cents in content["charges"])
        void = voids.get(claim_id, 0) > mine["version"]
        if (mine["version"], mine["revision"], mine["total_cents"]) != theirs or void != (row["void_version"] > content["version"]):
            found.append(f"content of {claim_id} differs: invoicing {mine['version']}.{mine['revision']} {mine['total_cents']}, posting {theirs}")
        if void != people.pm[claim_id].void:
            found.append(f"the void of {claim_id} is not what the practice's system says")
        if claim_id in live and (void or mine["payer_kind"] != "corporate" or live[claim_id]["payer_id"] != mine["payer_id"]):
            found.append(f"{claim_id} is withdrawn and has a live line")
        open_cents = sum(c["balance_cents"] for c in facts.rows("posting", "columns") if c["claim_id"] == claim_id and c["payer_id"] in ("e1", "e2"))
        if open_cents and mine["payer_id"] in ("e1", "e2") and not void and claim_id not in held and claim_id not in live:
            found.append(f"{claim_id} is open and on no invoice")
    return found


def paid_whole(facts: Facts) -> None:
    """Nobody who paid what was asked is asked again for what is their credit."""
    credit = sum(row["credited_cents"] for row in facts.rows("posting", "payments"))
    open_cents = sum(row["balance_cents"] for row in facts.rows("posting", "columns"))
    if credit and open_cents:
        raise Broken(f"paid as asked, yet {open_cents} are open beside a credit of {credit}")


def _contracts(facts: Facts) -> list[str]:
    """What patients owe under an active contract was noticed."""
    active = {row["contract_id"]: row for row in facts.rows("contracts", "contracts") if row["status"] == "active"}
    found = []
    charges = facts.rows("contracts", "charges")
    for row in facts.rows("contracts", "balances"):
        here = [each for each in charges if each["claim_id"] == row["claim_id"]]
        used = sum(each["submitted_cents"] for each in charges if each["status"] == "charged")
        left = sum(each["limit_cents"] for each in active.values()) - used
        same = [each for each in here if each["adjudication_no"] == row["adjudication_no"]]
        credit = sum(each["credited_cents"] for each in facts.rows("posting", "payments") if each["source"] == "contract")
        if active and left > 0 and row["adjudicated"] and row["patient_balance_cents"] > credit and not same:
            found.append(f"{row['claim_id']} was adjudicated and never noticed")
    return found
