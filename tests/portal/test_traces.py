"""A payment is a trace of its own, and its claims came with one each: the span of what was captured links to them."""

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.portal.checkout import pay
from shared import ids, telemetry
from shared.events.invoicing import INVOICE_LINE_STATE, INVOICE_STATE
from shared.messages import Message
from tests.portal.conftest import Portal, authorised
from tests.portal.made import invoice

TRACES = [f"00-{n:032x}-{n + 1:016x}-01" for n in (1, 2, 3)]


@pytest.mark.req("PF-04")
async def test_a_captured_payment_is_linked_to_the_traces_of_the_claims_it_pays(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(telemetry, "_tracer", provider.get_tracer("tests"))
    one, two, other = invoice(), invoice("i2", "100438", (5000,)), invoice("i3", "100439", (7000,))
    await portal.give(INVOICE_STATE, one.header, two.header, other.header)
    lines = [*one.lines, *two.lines, *other.lines]
    came = [*TRACES, f"00-{9:032x}-{9:016x}-01"]
    messages = [
        Message(INVOICE_LINE_STATE, INVOICE_LINE_STATE.key_of(line), ids.new(), portal.clock.business(), line, trace)
        for line, trace in zip(lines, came, strict=True)
    ]
    async with portal.worker.begin() as tx:
        await portal.consumptions[INVOICE_LINE_STATE].handlers[INVOICE_LINE_STATE](tx, messages)
    attempt_id = await authorised(portal, "i1", "i2")
    with telemetry.span("POST confirm") as confirm:
        await pay.confirm(portal.till, "7", attempt_id)
    [captured] = [span for span in kept.get_finished_spans() if span.name == "payment captured"]
    assert captured.context.trace_id == confirm.get_span_context().trace_id
    assert [telemetry.render(link.context) for link in captured.links] == TRACES
    [told] = await portal.rows("SELECT trace FROM outbox WHERE topic = 'invoice.payment_captured'")
    assert told.trace == telemetry.render(captured.context)
