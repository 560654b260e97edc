"""Card payments: the port, and the adapter of the sandbox processor.

Every call names our own key, committed before the call; the processor does a key's action at most once. Any doubt raises `Unknown`, and
is cleared up by `ask`, never by a second attempt under another key. A clear refusal is an `Answer`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar
from urllib.parse import quote

import httpx
import msgspec
from opentelemetry.trace import SpanKind

from shared import telemetry

State = Literal["unknown_key", "started", "authorised", "captured", "declined", "released", "refunded"]
Brand = Literal["VI", "MC", "DS", "AX"]
T = TypeVar("T")


class Unknown(Exception):
    """Nobody can say yet whether the call did something: a timeout, a lost connection, an answer that is no answer."""


@dataclass(frozen=True, slots=True)
class Card:
    brand: Brand
    last4: str
    exp_month: int
    exp_year: int


@dataclass(frozen=True, slots=True)
class Decline:
    """Why not. After a `soft` decline the same card may work later; after a `hard` one it will not."""

    code: str
    kind: Literal["soft", "hard"]
    words: str


@dataclass(frozen=True, slots=True)
class Answer:
    """How the processor's record of a key stands. `released`: nothing was and nothing will be taken under this key. `refunded`: all of what
    was captured went back. A refused refund leaves the state and fills `decline`."""

    state: State
    amount_cents: int = 0
    captured_cents: int = 0
    refunded_cents: int = 0
    card: Card | None = None
    authorization_number: str | None = None
    processor_ref: str | None = None
    decline: Decline | None = None


@dataclass(frozen=True, slots=True)
class _Page:
    page_url: str


@dataclass(frozen=True, slots=True)
class _Token:
    card: Card | None


class Gateway(Protocol):
    """What a card processor does for us. All amounts are cents of one currency; all methods may raise `Unknown`."""

    async def start(self, key: str, amount_cents: int, return_url: str, description: str, brands: Sequence[str]) -> str:
        """Open a page on which a person gives a card; the address of the page. It authorises only, and comes back to `return_url` by GET."""
        ...

    async def ask(self, key: str) -> Answer: ...

    async def capture(self, key: str, amount_cents: int) -> Answer:
        """Take what was authorised, or less."""
        ...

    async def release(self, key: str) -> Answer:
        """Let go of an authorisation. Also closes a key never heard of, so that a call still under way can do nothing. `captured` in the
        answer means that it came too late."""
        ...

    async def refund(self, key: str, refund_key: str, amount_cents: int) -> Answer: ...

    async def charge(self, key: str, token: str, amount_cents: int) -> Answer:
        """Authorise and capture in one on a card on file."""
        ...

    async def card(self, token: str) -> Card | None:
        """The card behind a token; None when the processor knows no such token."""
        ...


class SandboxGateway:
    """The sandbox's HTTP interface. One of these per process; it never repeats a call by itself."""

    def __init__(self, url: str, secret: str, timeout_seconds: float = 15) -> None:
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {secret}"},
            timeout=httpx.Timeout(timeout_seconds, connect=3),
            limits=httpx.Limits(max_connections=200, max_keepalive_connections=100),
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def start(self, key: str, amount_cents: int, return_url: str, description: str, brands: Sequence[str]) -> str:
        body = {"amount_cents": amount_cents, "return_url": return_url, "description": description, "brands": list(brands)}
        return (await self._call(_Page, "POST", "payments", key, body=body)).page_url

    async def ask(self, key: str) -> Answer:
        return await self._call(Answer, "GET", "payments", key)

    async def capture(self, key: str, amount_cents: int) -> Answer:
        return await self._call(Answer, "POST", "payments", key, "capture", body={"amount_cents": amount_cents})

    async def release(self, key: str) -> Answer:
        return await self._call(Answer, "POST", "payments", key, "release")

    async def refund(self, key: str, refund_key: str, amount_cents: int) -> Answer:
        return await self._call(Answer, "POST", "payments", key, "refunds", refund_key, body={"amount_cents": amount_cents})

    async def charge(self, key: str, token: str, amount_cents: int) -> Answer:
        return await self._call(Answer, "POST", "payments", key, "charge", body={"token": token, "amount_cents": amount_cents})

    async def card(self, token: str) -> Card | None:
        return (await self._call(_Token, "GET", "tokens", token)).card

    async def _call(self, shape: type[T], method: str, *path: str, body: dict[str, object] | None = None) -> T:
        """One request, one readable answer with status 200, or Unknown."""
        what = path[0] if len(path) == 2 else path[2]
        with telemetry.span(f"gateway {what}", kind=SpanKind.CLIENT):
            try:
                response = await self._client.request(method, "/" + "/".join(quote(part, safe="") for part in path), json=body)
            except httpx.HTTPError as e:
                raise Unknown(f"{method} {what}: {type(e).__name__}") from e
        if response.status_code != 200:
            raise Unknown(f"the gateway answered {response.status_code}")
        try:
            return msgspec.json.decode(response.content, type=shape)
        except msgspec.MsgspecError as e:
            raise Unknown(f"the gateway's answer cannot be read: {e}") from e
