"""Papers and logos come from invoicing, with the portal's own token; nothing of them is kept but logos, which never change under their id."""

from collections import OrderedDict
from dataclasses import dataclass, field
from urllib.parse import quote

import httpx

from shared import telemetry
from shared.http import Problem
from shared.oidc import Provider, ProviderTrouble, ServiceToken

LOGOS = 64
SCOPE = "invoices:read"


@dataclass(frozen=True, slots=True)
class File:
    """A document's bytes and what they are."""

    content: bytes
    media_type: str


@dataclass
class Papers:
    """Invoicing as the portal sees it."""

    url: str
    token: ServiceToken
    _client: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(timeout=20))
    _logos: "OrderedDict[tuple[str, str], File]" = field(default_factory=OrderedDict)

    async def invoice(self, practice_id: str, invoice_id: str, no: int) -> File:
        """The PDF of a sending, exactly as it was sent. Problem 404, or 503 while invoicing is away."""
        return await self._get(practice_id, "invoices", invoice_id, "issues", f"{no}.pdf")

    async def logo(self, practice_id: str, logo_id: str) -> File:
        """A practice's logo. Problem 404, or 503 while invoicing is away and the logo was not asked for before."""
        key = practice_id, logo_id
        if key not in self._logos:
            self._logos[key] = await self._get(practice_id, "documents", logo_id)
            while len(self._logos) > LOGOS:
                self._logos.popitem(last=False)
        return self._logos[key]

    async def close(self) -> None:
        await self._client.aclose()

    async def _get(self, practice_id: str, *path: str) -> File:
        place = "/".join(quote(part, safe="") for part in (practice_id, *path))
        try:
            headers = await self.token.headers() | {"traceparent": telemetry.traceparent() or ""}
            answer = await self._client.get(f"{self.url}/api/practices/{place}", headers=headers)
        except (httpx.HTTPError, ProviderTrouble) as error:
            raise _away() from error
        if answer.status_code == 404:
            raise Problem(404)
        if answer.status_code != 200:
            raise _away()
        return File(answer.content, answer.headers.get("content-type", "application/octet-stream"))


def make_papers(url: str, issuer: str, client_id: str, secret: str) -> Papers:
    """Invoicing at this address, reached with a token of the provider."""
    return Papers(url.rstrip("/"), ServiceToken(Provider(issuer, client_id, secret), SCOPE))


def _away() -> Problem:
    return Problem(503, "This paper cannot be fetched right now", "Please try again in a minute.", headers={"Retry-After": "30"})
