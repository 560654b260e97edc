"""`make trace ID=…`: one trace as a tree of spans across services, with the traces that it links to and that link to it."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy.local.places import LOCAL

Span = dict[str, Any]
FILES = ("spans.old.jsonl", "spans.jsonl", "docker/spans/spans.old.jsonl", "docker/spans/spans.jsonl")  # of the demo, and of containers
SHOWN = 60  # characters of a span's attributes
MOST_TRACES = 20
BATCH = "transaction"  # one for all records of a batch


def show(trace_id: str, folder: Path = LOCAL) -> str:
    """The tree as text; a traceparent is taken as well. SystemExit when no span has this trace."""
    wanted = trace_id.split("-")[1] if trace_id.count("-") == 3 else trace_id.strip().lower()
    spans = list(read(folder))
    traces = connected(spans, wanted)
    if not traces:
        raise SystemExit(f"No span of trace {wanted} was found. Spans arrive within two seconds, and only from a demo that ran with traces.")
    services = {span["service"] for span in spans if span["trace"] in traces}
    return "\n".join([*(line for trace in traces for line in tree(spans, trace)),
                      f"{sum(span['trace'] in traces for span in spans)} spans of {len(services)} services in {len(traces)} linked traces"])


def read(folder: Path) -> Iterator[Span]:
    """All spans kept, the older file first; a line that is being written is left out."""
    for name in FILES:
        file = folder / name
        for line in file.read_bytes().splitlines(keepends=True) if file.exists() else ():
            if line.endswith(b"\n"):
                yield json.loads(line)


def connected(spans: list[Span], wanted: str) -> list[str]:
    """This trace first, then the traces that span links lead to, in either direction, nearest first. What shares a batch is no company."""
    near: defaultdict[str, set[str]] = defaultdict(set)
    for span in spans:
        for trace, _ in span["links"] if span["name"] != BATCH else ():
            near[span["trace"]].add(trace)
            near[trace].add(span["trace"])
    there = {span["trace"] for span in spans}
    found = [wanted] if wanted in there else []
    for trace in found:
        found += [other for other in sorted(near[trace]) if other in there and other not in found]
        if len(found) >= MOST_TRACES:
            return found[:MOST_TRACES]
    return found


def tree(spans: list[Span], trace: str) -> Iterator[str]:
    """The lines of one trace: indented by parent, in order of start, with the start in ms since the trace's first span."""
    mine = sorted((span for span in spans if span["trace"] == trace), key=lambda span: int(span["start_us"]))
    known = {span["span"] for span in mine}
    children: defaultdict[str | None, list[Span]] = defaultdict(list)
    for span in mine:
        children[span["parent"] if span["parent"] in known else None].append(span)
    began = mine[0]["start_us"]
    yield f"trace {trace}"
    todo = [(span, 0) for span in reversed(children[None])]
    while todo:
        span, depth = todo.pop()
        took = (span["end_us"] - span["start_us"]) / 1000
        name = f"{'  ' * depth}{span['service']}: {span['name']}"
        links = f"  linked to {', '.join(sorted({other[:8] for other, _ in span['links']}))}" if span["links"] else ""
        error = f"  ERROR {span['error']}" if span["error"] else ""
        yield f"  {(span['start_us'] - began) / 1000:>10.1f} ms  {name:<58} {took:>8.1f} ms  {_short(span['attributes'])}{links}{error}".rstrip()
        todo += [(child, depth + 1) for child in reversed(children[span["span"]])]


def _short(attributes: dict[str, Any]) -> str:
    text = " ".join(f"{name.rsplit('.', 1)[-1]}={value}" for name, value in attributes.items())
    return text if len(text) <= SHOWN else text[:SHOWN - 1] + "…"
