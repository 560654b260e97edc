"""A record read: envelope checked, body decoded, key and body in agreement (events: rules of all topics)."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec
from aiokafka import ConsumerRecord
from opentelemetry import trace
from opentelemetry.trace import SpanKind
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import telemetry
from shared.events import MAX_BYTES, Topic

Body = TypeVar("Body")
EVENT_ID = re.compile(r"[\x21-\x7e]{1,128}")
KEY = re.compile(r"[A-Za-z0-9._-]{1,64}/[^\x00-\x1f\x7f]{1,80}")  # a practice, and an id or a word with one, as `corporate:77001`
_PATH = re.compile(r" - at `(.*)`$")


@dataclass(frozen=True, slots=True)
class Message(Generic[Body]):
    """One event as a handler gets it. `body` is None where a state topic deletes; `trace` is the traceparent to continue."""

    topic: Topic[Body]
    key: str
    event_id: str
    time: datetime
    body: Body
    trace: str | None

    @property
    def practice_id(self) -> str:
        return self.key.split("/", 1)[0]


Handler = Callable[[AsyncConnection, list[Message[Any]]], Awaitable[None]]


def each(handle: Callable[[AsyncConnection, Message[Any]], Awaitable[None]]) -> Handler:
    """A list handler out of one for single messages, each under its own span."""

    async def handler(tx: AsyncConnection, messages: list[Message[Any]]) -> None:
        for message in messages:
            context = telemetry.parse(message.trace)
            with trace.use_span(trace.NonRecordingSpan(context)) if context else telemetry.span(message.topic.name):
                await handle(tx, message)

    return handler


class Unreadable(Exception):
    """A record that no version of this code can take in: where in it (a JSON path, a header), and why, with no value of it."""

    def __init__(self, path: str | None, reason: str) -> None:
        super().__init__(f"{reason} at {path}" if path else reason)
        self.path, self.reason = path, reason


def read(record: "ConsumerRecord[bytes, bytes]", topic: Topic[Any]) -> tuple[Message[Any], trace.Span]:
    """A record as a message and its open span; raises Unreadable."""
    headers = dict(record.headers)
    event_id = event_id_of(headers)
    time = _envelope(headers, topic)
    key = _key(record.key)
    if record.value is None:
        if not topic.deletable:
            raise Unreadable("$", "there is no body, and a missing one deletes only on state topics")
        body = None
    elif len(record.value) > MAX_BYTES:
        raise Unreadable("$", f"the body has {len(record.value)} bytes; at most {MAX_BYTES} are taken")
    else:
        body = _body(record.value, topic)
        if topic.key_of(body) != key:
            raise Unreadable("key", "the key is not practice_id/id of the body")
    parent = telemetry.parse(_text(headers, "traceparent", ""))
    span = telemetry.begin(
        f"receive {topic.name}",
        SpanKind.CONSUMER,
        parent,
        **{"messaging.kafka.partition": record.partition, "messaging.kafka.offset": record.offset},
    )
    return Message(topic, key, event_id, time, body, telemetry.render(span.get_span_context())), span


def event_id_of(headers: dict[str, bytes]) -> str:
    """The event's identity; without one a record can only be parked."""
    event_id = _text(headers, "ce_id")
    if not EVENT_ID.fullmatch(event_id):
        raise Unreadable("headers.ce_id", "an event id has 1 to 128 printable characters")
    return event_id


def _envelope(headers: dict[str, bytes], topic: Topic[Any]) -> datetime:
    if _text(headers, "ce_specversion") != "1.0":
        raise Unreadable("headers.ce_specversion", "the version of CloudEvents is 1.0")
    if _text(headers, "ce_type") != topic.name:
        raise Unreadable("headers.ce_type", "the event's type is the topic's name")
    if not _text(headers, "ce_source"):
        raise Unreadable("headers.ce_source", "the source is empty")
    if _text(headers, "ce_dataschema", topic.schema_id) != topic.schema_id:
        raise Unreadable("headers.ce_dataschema", f"this reader knows {topic.schema_id} only")
    try:
        time = datetime.fromisoformat(_text(headers, "ce_time"))
    except ValueError:
        raise Unreadable("headers.ce_time", "the time is not RFC 3339") from None
    if time.tzinfo is None:
        raise Unreadable("headers.ce_time", "the time has no zone")
    return time


def _text(headers: dict[str, bytes], name: str, default: str | None = None) -> str:
    value = headers.get(name)
    if value is None:
        if default is None:
            raise Unreadable(f"headers.{name}", "the header is missing")
        return default
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Unreadable(f"headers.{name}", "the header is not UTF-8") from None


def _key(key: bytes | None) -> str:
    try:
        text = (key or b"").decode()
    except UnicodeDecodeError:
        raise Unreadable("key", "the key is not UTF-8") from None
    if not KEY.fullmatch(text):
        raise Unreadable("key", "the key is not practice_id/id")
    return text


def _body(value: bytes, topic: Topic[Any]) -> Any:
    try:
        return topic.decode(value)
    except msgspec.ValidationError as error:
        words = str(error)
        found = _PATH.search(words)
        # The decoder quotes an unknown enum value; a report never holds a value.
        reason = "the value is none of those this reader knows" if words.startswith("Invalid enum value") else _PATH.sub("", words)
        raise Unreadable(found[1] if found else "$", reason) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise Unreadable("$", "the body is not JSON") from None
