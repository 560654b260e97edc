"""Receives traces (OTLP over HTTP) and appends each span to a file of JSON lines, which `make trace` reads.

python -m deploy.local.telemetry [--host H] --port N --data DIR
"""

import argparse
import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

LIMIT = 200 * 1024 * 1024  # of one file; the one before it is kept


class Spans:
    """The file of spans, and the one before it."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.path = file
        self._file = file.open("ab", buffering=0)

    def append(self, spans: list[dict[str, Any]]) -> None:
        self._file.write(b"".join(json.dumps(span, separators=(",", ":"), ensure_ascii=False).encode() + b"\n" for span in spans))
        if self._file.tell() > LIMIT:
            self._file.close()
            self.path.replace(self.path.with_suffix(".old.jsonl"))
            self._file = self.path.open("ab", buffering=0)


def spans_of(request: ExportTraceServiceRequest) -> list[dict[str, Any]]:
    """The spans of a request as flat objects; times in microseconds since 1970."""
    return [
        {
            "trace": span.trace_id.hex(), "span": span.span_id.hex(), "parent": span.parent_span_id.hex() or None,
            "service": _attributes(resource.resource.attributes).get("service.name", "?"), "name": span.name,
            "start_us": span.start_time_unix_nano // 1000, "end_us": span.end_time_unix_nano // 1000,
            "attributes": _attributes(span.attributes), "error": span.status.message or "error" if span.status.code == 2 else None,
            "links": [[link.trace_id.hex(), link.span_id.hex()] for link in span.links],
        }
        for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans
    ]


def _attributes(values: Iterable[KeyValue]) -> dict[str, Any]:
    found = {}
    for pair in values:
        kind = pair.value.WhichOneof("value")
        found[pair.key] = getattr(pair.value, kind) if kind in ("string_value", "int_value", "double_value", "bool_value") else str(pair.value)
    return found


def make_app(spans: Spans) -> FastAPI:
    app = FastAPI(title="Telemetry")

    @app.post("/v1/traces")
    async def traces(request: Request) -> Response:
        body = await request.body()
        try:
            plain = gzip.decompress(body) if request.headers.get("content-encoding") == "gzip" else body
            spans.append(spans_of(ExportTraceServiceRequest.FromString(plain)))
        except (DecodeError, OSError):
            return Response("The body is no OTLP trace request.", 400)
        return Response(ExportTraceServiceResponse().SerializeToString(), media_type="application/x-protobuf")

    @app.get("/health/ready")
    async def ready() -> dict[str, str]:
        return {"status": "ready"}

    return app


def main() -> None:
    parser = argparse.ArgumentParser(prog="deploy.local.telemetry")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    uvicorn.run(make_app(Spans(options.data / "spans.jsonl")), host=options.host, port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
