"""How seed, tour and checks act on a running product: only as others could. `where` is what `.local/demo.json` holds."""

from typing import Any

import httpx

Where = dict[str, Any]


async def program(where: Where, scope: str = "") -> httpx.AsyncClient:
    """A client with a token of these scopes (default: all that the demo's program has), for the services' APIs."""
    client = where["client"]
    form = {"grant_type": "client_credentials", "scope": scope}
    async with httpx.AsyncClient() as provider:
        answer = await provider.post(client["token_url"], data=form, auth=(client["client_id"], client["client_secret"]))
    token = answer.raise_for_status().json()["access_token"]
    return httpx.AsyncClient(headers={"Authorization": f"Bearer {token}", "Accept": "application/json"}, timeout=30)


async def staff(where: Where, role: str) -> httpx.AsyncClient:
    """A browser without script, of the sample person with this role: every service's staff pages sign it in silently."""
    client = httpx.AsyncClient(follow_redirects=True, headers={"Accept": "text/html"}, timeout=30)
    (await client.post(f"{where['oidc']}/", data={"sub": where["users"]["staff"][role]})).raise_for_status()
    return client


async def reads_mails(where: Where) -> bool:
    """Whether the mailbox is the demo's own."""
    async with httpx.AsyncClient() as client:
        return (await client.get(where["mail_api"])).status_code == 200


async def mails(where: Where, to: str, subject: str = "") -> list[dict[str, Any]]:
    """What was mailed or texted to somebody, newest first."""
    async with httpx.AsyncClient() as client:
        found: list[dict[str, Any]] = (await client.get(where["mail_api"], params={"to": to, "subject": subject})).raise_for_status().json()
    return found
