"""Traces, metrics and logs. One trace follows an event from its publisher through every service (PF-04)."""

import json
import logging
import random
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context

from shared.settings import Settings

FLUSH_SECONDS = 3
_tracer = trace.get_tracer("billfold")
# What PostgreSQL adds to an error: the row it is about, with people's names and money.
_DETAIL = re.compile(r"^DETAIL: .*?(?=^(?:HINT:|\[SQL|Traceback|The above|  File|\s*$)|\Z)", re.MULTILINE | re.DOTALL)


def start(service: str, settings: Settings) -> None:
    """Once per process: where spans and logs go. Spans are sampled as their parent was, new traces by TRACE_SAMPLE."""
    provider = TracerProvider(
        resource=Resource.create({"service.name": service, "service.instance.id": str(settings.replica)}),
        sampler=ParentBased(TraceIdRatioBased(settings.trace_sample)),
    )
    if settings.otel_exporter_otlp_endpoint:
        # A collector that is away does not keep a service from ending.
        exporter = OTLPSpanExporter(endpoint=f"{settings.otel_exporter_otlp_endpoint.rstrip('/')}/v1/traces", timeout=FLUSH_SECONDS)
        provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=20_000, schedule_delay_millis=1_000))
    trace.set_tracer_provider(provider)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines(service))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "aiokafka.consumer.subscription_state", "uvicorn.access", "opentelemetry.exporter"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # The producer names every topic it is not allowed to create, at each start: creation stays off.
    logging.getLogger("faststream").addFilter(lambda record: "auto create" not in record.getMessage().lower())


class JsonLines(logging.Formatter):
    """One JSON object per line, with the trace it belongs to. Messages hold ids only, never personal data."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self.service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self.service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            line["trace_id"] = format(context.trace_id, "032x")
        if record.exc_info:
            line["error"] = _DETAIL.sub("", self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def parse(traceparent: str | None) -> SpanContext | None:
    """The W3C trace context in a header; a malformed one is none."""
    parts = (traceparent or "").split("-")
    if len(parts) < 4 or len(parts[1]) != 32 or len(parts[2]) != 16 or parts[0] == "ff":
        return None
    try:
        context = SpanContext(int(parts[1], 16), int(parts[2], 16), is_remote=True, trace_flags=TraceFlags(int(parts[3], 16) & 1))
    except ValueError:
        return None
    return context if context.is_valid else None


def render(context: SpanContext) -> str:
    """The header of a trace context."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def traceparent() -> str | None:
    """The current span as a header, to be stored with what it causes."""
    context = trace.get_current_span().get_span_context()
    return render(context) if context.is_valid else None


def trace_id() -> str:
    """The current trace's id, or a fresh one where there is no span: the number a person quotes on the phone."""
    context = trace.get_current_span().get_span_context()
    return format(context.trace_id if context.is_valid else random.getrandbits(128), "032x")


def begin(name: str, kind: SpanKind, parent: SpanContext | None, **attributes: str | int) -> trace.Span:
    """A span that is not made current: for lists, where each record has its own. An unsampled parent is carried on as it came."""
    if parent is not None and not parent.trace_flags.sampled:
        return NonRecordingSpan(parent)
    context = set_span_in_context(NonRecordingSpan(parent)) if parent else otel_context.Context()
    return _tracer.start_span(name, context=context, kind=kind, attributes=attributes)


@contextmanager
def transaction(role: str, spans: Sequence[trace.Span]) -> Iterator[None]:
    """A span of a database transaction, under the first of these and linked to the others; none where none of them is recorded.

    It is not made current, because each message of a batch goes on in its own trace.
    """
    recorded = [each.get_span_context() for each in spans if each.is_recording()]
    if not recorded:
        yield
        return
    done = begin("transaction", SpanKind.CLIENT, recorded[0], **{"db.system.name": "postgresql", "db.role": role})
    for context in recorded[1:]:
        done.add_link(context)
    try:
        yield
    finally:
        done.end()


@contextmanager
def span(
    name: str, *, parent: str | None = None, links: Sequence[str | None] = (), kind: SpanKind = SpanKind.INTERNAL, **attributes: str | int
) -> Iterator[trace.Span]:
    """A current span under `parent` (a header; none: the current span), linked to other traces."""
    remote = parse(parent)
    context = set_span_in_context(NonRecordingSpan(remote)) if remote else None
    linked = [Link(found) for link in links if (found := parse(link))]
    with _tracer.start_as_current_span(name, context=context, kind=kind, attributes=attributes, links=linked) as current:
        yield current
