"""All five services in containers: what starts after what, and one claim from its publisher to a closed invoice and a mail."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from deploy import compose
from deploy.local import clockfile, demo, people, publisher, seed, trace
from deploy.local.plan import SERVICES
from deploy.local.verify.__main__ import findings, report
from deploy.local.verify.facts import gather
from deploy.local.visitor import Where
from tests import whole
from tests.containers.conftest import Stack, docker

EMPLOYER, PERSON = "79943", "dannie.donnelly@kshlerin-staffing.example.com"  # billed for nothing on the last day of the sample

@pytest.fixture(scope="module")
async def product(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Where]:
    """The product as `make up` starts it and `make up-data` fills it, though with the last day of the sample alone; PERSON is registered too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compose, "HOME", Path(compose.project(stack.plan.state)))
        patch.setattr(compose, "STATE", stack.plan.state)
        patch.setattr(demo, "FILE", tmp_path_factory.mktemp("demo") / "demo.json")
        patch.setattr(demo, "runs", lambda: False)
        patch.setattr(seed, "FIRST_DAY", seed.LAST_DAY)
        for name in compose.PORTS:
            patch.setenv(f"{name.upper()}_PORT", str(stack.plan.ports[name]))
        assert f"portal {stack.plan.url('portal')}/employerportal/ " in compose.up()
        assert people.EMPLOYER in await asyncio.to_thread(compose.data)
        at: Where = json.loads(demo.FILE.read_text())
        await people.register(at, PERSON, people.PASSWORD)
        yield at


@pytest.mark.req("PF-06", part="in Docker")
async def test_jobs_end_well_before_what_needs_them_starts(stack: Stack, product: Where) -> None:
    for service in SERVICES:
        jobs = (f"{service}-database", f"{service}-migrate", "topics")
        assert {docker("inspect", "--format", "{{.State.ExitCode}}", stack.container(job)).strip() for job in jobs} == {"0"}
        assert stack.moment(f"{service}-database", "FinishedAt") <= stack.moment(f"{service}-migrate", "StartedAt")
        assert stack.moment(f"{service}-migrate", "FinishedAt") <= stack.moment(service, "StartedAt")
        assert stack.moment("topics", "FinishedAt") <= stack.moment(service, "StartedAt")


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
async def test_a_claim_becomes_a_paid_invoice_and_a_mail_in_one_trace_through_five_containers(
    stack: Stack, product: Where, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "EMPLOYER", PERSON)
    claim = next(each for each in publisher.lines(seed.DATA / "claims.jsonl") if whole._payer(each) == EMPLOYER)
    (parent,) = await publisher.publish(product["kafka"], "claim.billed", [claim], "claim_id", at=clockfile.now(stack.plan.clock))
    await whole.bill(product, "containers")
    await whole.told_by_mail(product)
    await whole.pay(product)
    facts = await gather(product)
    (account,) = [body["account_id"] for body in facts.states("account.state") if EMPLOYER in body["payer_ids"]]
    assert [body["status"] for body in facts.states("invoice.state") if body["account_id"] == account] == ["closed"]
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


@pytest.mark.req("PF-06", part="in Docker")
def test_make_down_removes_the_containers_and_keeps_the_data(stack: Stack, product: Where) -> None:
    assert "The containers are gone; the data stays." in compose.down()
    mine = ("--quiet", "--filter", compose.LABEL + compose.project(stack.plan.state))
    assert docker("ps", "--all", *mine) == "" and docker("volume", "ls", *mine).split()
    assert not demo.FILE.exists()
