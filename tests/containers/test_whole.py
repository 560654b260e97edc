"""All five services in containers: what starts after what, and one claim from its publisher to a closed invoice and a mail."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import date, datetime
from typing import Any

import pytest

from deploy import compose
from deploy.local import clockfile, people, publisher, seed, trace, visitor
from deploy.local.plan import SERVICES
from deploy.local.processes import where
from deploy.local.verify.__main__ import findings, report
from deploy.local.verify.facts import gather
from deploy.local.visitor import Where
from tests import whole
from tests.containers.conftest import Stack, docker


@pytest.fixture(scope="module")
async def product(stack: Stack) -> AsyncIterator[Where]:
    """The product, with a practice, an employer's account and its people."""
    compose.start(stack.plan)
    at = where(stack.plan, {"employer": {"name": "Paula Schaefer", "email": people.EMPLOYER, "password": people.PASSWORD}})
    clockfile.put(stack.plan.clock, seed.morning(date(2026, 11, 22)))
    seed.practices(stack.plan)
    employer = next(each for each in publisher.lines(seed.DATA / "employers.jsonl") if each["payer_id"] == whole.EMPLOYERS[0])
    async with await visitor.program(at) as http:
        account = await seed.account(http, at, employer)
        await seed.places_and_people(stack.plan, lambda _: None)
        for contact in employer["contacts"]:
            await people.invite(at, http, account, contact)
        await people.register(at, people.EMPLOYER, people.PASSWORD)
    yield at


def moment(stack: Stack, name: str, which: str) -> datetime:
    found = docker("inspect", "--format", f"{{{{.State.{which}}}}}", stack.container(name)).strip()
    return datetime.fromisoformat(found[:26].rstrip("Z") + "+00:00")


@pytest.mark.req("PF-06", part="in Docker")
async def test_jobs_end_well_before_what_needs_them_starts(stack: Stack, product: Where) -> None:
    for service in SERVICES:
        jobs = (f"{service}-database", f"{service}-migrate", "topics")
        assert {docker("inspect", "--format", "{{.State.ExitCode}}", stack.container(job)).strip() for job in jobs} == {"0"}
        assert moment(stack, f"{service}-database", "FinishedAt") <= moment(stack, f"{service}-migrate", "StartedAt")
        assert moment(stack, f"{service}-migrate", "FinishedAt") <= moment(stack, service, "StartedAt")
        assert moment(stack, "topics", "FinishedAt") <= moment(stack, service, "StartedAt")


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.req("PF-01")
def test_a_container_is_confined_and_has_no_other_services_password_nor_the_owners(stack: Stack, product: Where, service: str) -> None:
    found = json.loads(docker("inspect", stack.container(service)))[0]
    assert found["HostConfig"]["ReadonlyRootfs"] and found["HostConfig"]["CapDrop"] == ["ALL"]
    assert "no-new-privileges:true" in found["HostConfig"]["SecurityOpt"] and found["Config"]["User"] == "10001:10001"
    given = "\n".join(found["Config"]["Env"])
    known = {name for name, secret in stack.plan.secrets.items() if secret in given}
    own = {f"{service}_{use}" for use in ("app", "worker", "client", "session")}
    assert known - {"gateway", "sealing_public"} == (own | {"sealing_private"} if service == "notifier" else own)


@pytest.mark.req("PF-04", part="in containers")
@pytest.mark.req("PF-06", part="in Docker")
async def test_a_claim_becomes_a_paid_invoice_and_a_mail_in_one_trace_through_five_containers(stack: Stack, product: Where) -> None:
    claim = next(each for each in publisher.lines(seed.DATA / "claims.jsonl") if whole._payer(each) == whole.EMPLOYERS[0])
    (parent,) = await publisher.publish(product["kafka"], "claim.billed", [claim], "claim_id", at=clockfile.now(stack.plan.clock))
    await whole.bill(product, "containers")
    await whole.told_by_mail(product)
    await whole.pay(product)
    facts = await gather(product)
    assert [body["status"] for body in facts.states("invoice.state")] == ["closed"]
    assert (found := findings(facts)) == {}, report(found)
    spans = await spans_of(stack, parent.split("-")[1])
    assert {span["service"] for span in spans} == set(SERVICES)
    assert {span["service"] for span in spans if span["name"] == "transaction"} == set(SERVICES)
    assert "mail invoice_digest" in {span["name"] for span in spans if span["service"] == "notifier"}
    every = list(trace.read(stack.plan.state / "spans"))
    payment = trace.connected(every, parent.split("-")[1])  # a payment may be of many claims: its own trace is linked to theirs
    assert "gateway capture" in {span["name"] for span in every if span["trace"] in payment and span["service"] == "portal"}


async def spans_of(stack: Stack, wanted: str) -> list[dict[str, Any]]:
    """What follows a trace, once services and mail are in it; what there is when they are not within a minute."""
    for _ in range(60):
        spans = whole.following(list(trace.read(stack.plan.state / "spans")), wanted)
        names = " ".join(span["name"] for span in spans)
        if {span["service"] for span in spans} == set(SERVICES) and "mail " in names and "payment captured" in names:
            break
        await asyncio.sleep(1)
    return spans
