"""What of tracing a billing run decides: an invoice has one trace, its claims came with one each."""

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import text

from services.invoicing import consumers
from shared import ids, telemetry
from shared.events.ingress import CLAIM_BILLED
from shared.messages import Message
from tests.invoicing.conftest import House
from tests.invoicing.made import NOON, claim

TRACES = [f"{n:032x}" for n in (1, 2, 3)]


@pytest.mark.req("PF-04")
async def test_the_invoice_of_several_claims_goes_on_in_the_trace_of_one_and_is_linked_to_the_others(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(telemetry, "_tracer", provider.get_tracer("tests"))
    messages = [
        Message(CLAIM_BILLED, f"p1/c{n}", ids.new(), NOON, claim(f"c{n}"), f"00-{trace}-{n + 1:016x}-01") for n, trace in enumerate(TRACES)
    ]
    async with house.worker.begin() as tx:
        await consumers.handlers(house.clock)[CLAIM_BILLED](tx, messages)
    await house.run()
    [bill] = [span for span in kept.get_finished_spans() if span.name == "bill"]
    assert f"{bill.context.trace_id:032x}" == TRACES[0]
    assert [(f"{link.context.trace_id:032x}", link.context.span_id) for link in bill.links] == [(TRACES[1], 2), (TRACES[2], 3)]
    async with house.worker.begin() as tx:
        told = (await tx.execute(text("SELECT trace FROM outbox WHERE topic IN ('invoice.issued', 'invoice.state')"))).scalars().all()
        lines = (await tx.execute(text("SELECT trace FROM outbox WHERE topic = 'invoice.line.state'"))).scalars().all()
    assert told == [telemetry.render(bill.context)] * 2
    assert sorted(trace.split("-")[1] for trace in lines) == TRACES
