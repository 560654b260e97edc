"""Traces: from the exporter of the product into the file, and from the file as a tree."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Link, Status, StatusCode, set_span_in_context

from deploy.local import telemetry, trace
from deploy.local.children import Process


async def test_spans_of_several_services_and_linked_traces_come_out_as_one_tree(tool: Callable[..., tuple[str, Process]], tmp_path: Path) -> None:
    url, _ = tool("telemetry", data=tmp_path)

    def tracer(service: str) -> TracerProvider:
        provider = TracerProvider(resource=Resource.create({"service.name": service}))
        provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=f"{url}/v1/traces")))
        return provider

    invoicing, notifier = tracer("invoicing").get_tracer("t"), tracer("notifier").get_tracer("t")
    with invoicing.start_as_current_span("take claim.billed", attributes={"messaging.partition": 3}) as taken:
        pass
    with notifier.start_as_current_span("send mail", context=set_span_in_context(taken)) as sent:
        sent.set_status(Status(StatusCode.ERROR, "refused"))
    with invoicing.start_as_current_span("billing run", links=[Link(taken.get_span_context())]) as run:
        pass
    trace_id = format(taken.get_span_context().trace_id, "032x")
    shown = trace.show(trace_id, tmp_path).splitlines()
    assert shown[0] == f"trace {trace_id}"
    assert "  invoicing: take claim.billed" in shown[1] and "partition=3" in shown[1]
    assert "    notifier: send mail" in shown[2] and shown[2].endswith("ERROR refused")
    assert shown[3] == f"trace {run.get_span_context().trace_id:032x}"
    assert shown[4].endswith(f"linked to {trace_id[:8]}")
    assert shown[5] == "3 spans of 2 services in 2 linked traces"
    assert trace.show(f"00-{trace_id}-{'0' * 16}-01", tmp_path).splitlines() == shown
    from_the_run = trace.show(format(run.get_span_context().trace_id, "032x"), tmp_path)
    assert "notifier: send mail" in from_the_run


def test_a_trace_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="No span of trace abc"):
        trace.show("abc", tmp_path)


def test_a_body_that_is_no_trace_is_refused(tool: Callable[..., tuple[str, Process]]) -> None:
    url, _ = tool("telemetry")
    assert httpx.post(f"{url}/v1/traces", content=b"\xff\xff").status_code == 400


def test_the_file_of_spans_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "LIMIT", 300)
    spans = telemetry.Spans(tmp_path / "spans.jsonl")
    for number in range(20):
        spans.append([{"trace": "t", "number": number, "text": "x" * 100}])
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 1000
    kept = [json.loads(line)["number"] for name in ("spans.old.jsonl", "spans.jsonl") for line in (tmp_path / name).read_text().splitlines()]
    assert kept[-1] == 19 and kept == sorted(kept)
