"""OpenID Connect: discovery, authorization code with PKCE, verified tokens, and tokens for our own programs."""

import base64
import hashlib
import secrets
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

ALGORITHMS = ["RS256", "ES256", "EdDSA", "PS256"]
LEEWAY = 30
KEYS_AGE = 3600
KEYS_RETRY = 10


class ProviderTrouble(Exception):
    """The provider did not answer, or not in a way that can be trusted. The message is for the log and holds no token."""


class BadToken(ValueError):
    """A token that is not from our provider, not for us, changed, or too old."""


@dataclass
class Provider:
    """One provider and our registration with it; discovery and keys are read on first use and kept for an hour."""

    issuer: str
    client_id: str
    client_secret: str
    _found: dict[str, Any] = field(default_factory=dict)
    _keys: KeySet | None = None
    _read_at: float = 0.0

    async def address(self, name: str) -> str:
        """An endpoint by its name in the discovery document."""
        if not self._found:
            found = await _get(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
            if found.get("issuer") != self.issuer:
                raise ProviderTrouble("the discovery document names another issuer")
            self._found = found
        return str(self._found[name])

    async def verify(self, token: str, audience: str, *, nonce: str | None = None) -> dict[str, Any]:
        """The claims of a signed token whose issuer, audience, time (and nonce) are right; raises BadToken otherwise."""
        try:
            decoded = jwt.decode(token, await self._key_set(), algorithms=ALGORITHMS)
        except (JoseError, ValueError):
            # A key we have not seen may have been added since; ask once, but not for every forged token.
            try:
                decoded = jwt.decode(token, await self._key_set(fresh=True), algorithms=ALGORITHMS)
            except (JoseError, ValueError) as error:
                raise BadToken("the signature is not our provider's") from error
        rules = jwt.JWTClaimsRegistry(
            leeway=LEEWAY,
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
        )
        try:
            rules.validate(decoded.claims)
        except JoseError as error:
            raise BadToken(str(error)) from error
        if nonce is not None and not secrets.compare_digest(str(decoded.claims.get("nonce", "")), nonce):
            raise BadToken("the nonce is another sign-in's")
        return dict(decoded.claims)

    async def sign_in_url(self, redirect_uri: str, state: str, nonce: str, verifier: str) -> str:
        """Where the browser goes to sign in."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": redirect_uri,
            "scope": "openid profile",
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{await self.address('authorization_endpoint')}?{urlencode(query)}"

    async def exchange(self, code: str, redirect_uri: str, verifier: str, nonce: str) -> dict[str, Any]:
        """The person's claims for a code the provider sent back."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri, "code_verifier": verifier}
        answer = await self._token(form)
        return await self.verify(str(answer.get("id_token", "")), self.client_id, nonce=nonce)

    async def _token(self, form: dict[str, str]) -> dict[str, Any]:
        return await _post(await self.address("token_endpoint"), form, (self.client_id, self.client_secret))

    async def _key_set(self, *, fresh: bool = False) -> KeySet:
        age = time.monotonic() - self._read_at
        if self._keys is None or age > KEYS_AGE or (fresh and age > KEYS_RETRY):
            self._keys = KeySet.import_key_set(await _get(await self.address("jwks_uri")))  # type: ignore[arg-type]
            self._read_at = time.monotonic()
        return self._keys


@dataclass
class ServiceToken:
    """A bearer token for calls from one of our services to another, by client credentials; kept until shortly before it ends."""

    provider: Provider
    scope: str
    _token: str = ""
    _until: float = 0.0

    async def get(self) -> str:
        """The token's text; raises ProviderTrouble when the provider cannot be asked."""
        if time.monotonic() >= self._until:
            answer = await self.provider._token({"grant_type": "client_credentials", "scope": self.scope})
            self._token = str(answer["access_token"])
            self._until = time.monotonic() + max(0, int(answer.get("expires_in", 60)) - 30)
        return self._token

    async def headers(self) -> dict[str, str]:
        """The header to send along."""
        return {"Authorization": f"Bearer {await self.get()}"}


async def _get(url: str) -> dict[str, Any]:
    return await _ask("GET", url)


async def _post(url: str, form: dict[str, str], login: tuple[str, str]) -> dict[str, Any]:
    return await _ask("POST", url, data=form, auth=login)


async def _ask(method: str, url: str, **options: Any) -> dict[str, Any]:
    try:
        async with httpx.AsyncClient(timeout=10) as client:
            answer = await client.request(method, url, **options)
            answer.raise_for_status()
            found = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise ProviderTrouble(f"{url}: {type(error).__name__}") from error
    if not isinstance(found, dict):
        raise ProviderTrouble(f"{url}: the answer is no object")
    return found
