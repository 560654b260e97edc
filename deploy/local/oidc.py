"""A small OpenID provider for sample staff and for programs: code flow with PKCE, one session for all services, client credentials.

python -m deploy.local.oidc [--host H] --port N [--issuer URL] --data DIR --clients FILE
The clients' file: {client_id: {"secret": …, "url": base address of its pages or null, "scopes": [what its programs may ask for]}}
"""

import argparse
import base64
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlencode

import uvicorn
from fastapi import Depends, FastAPI, Form, Header, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from itsdangerous import BadSignature, URLSafeSerializer
from joserfc import jwt
from joserfc.jwk import RSAKey

from deploy.local import pages
from deploy.local.places import SAMPLE

COOKIE = "billfold_provider"
CODE_SECONDS = 60
TOKEN_SECONDS = 3600
FormText = Annotated[str, Form()]
ROLE_WORDS = {"billing_admin": "Billing admin", "poster": "Poster", "posting_manager": "Posting manager", "front_desk": "Front desk",
              "practice_admin": "Practice admin", "auditor": "Auditor"}


@dataclass(frozen=True)
class Client:
    id: str
    secret: str
    url: str | None
    scopes: tuple[str, ...]


@dataclass(frozen=True)
class Grant:
    """A code that was given out: to be redeemed once, by this client, with the verifier of this challenge."""

    client_id: str
    redirect_uri: str
    challenge: str
    nonce: str | None
    sub: str
    expires: float


class Refused(Exception):
    """An answer in the form of OAuth's errors."""

    def __init__(self, status: int, error: str, words: str) -> None:
        self.status, self.error, self.words = status, error, words


def make_app(issuer: str, clients: dict[str, Client], staff: list[dict[str, Any]], key: RSAKey) -> FastAPI:
    """The provider as a web application; sessions are signed with the private key's digest, so they outlive a restart."""
    app = FastAPI(title="Sample Sign-In")
    people = {person["sub"]: person for person in staff}
    cookies = URLSafeSerializer(hashlib.sha256(key.as_pem(private=True)).hexdigest(), "session")
    grants: dict[str, Grant] = {}

    def signed_in(request: Request) -> dict[str, Any] | None:
        try:
            return people.get(cookies.loads(request.cookies.get(COOKIE, "")))
        except BadSignature:
            return None

    def client_of(client_id: FormText = "", client_secret: FormText = "", authorization: Annotated[str, Header()] = "") -> Client:
        """The client of a token request, by HTTP Basic or by form fields."""
        if authorization.startswith("Basic "):
            try:
                client_id, client_secret = (unquote(part) for part in base64.b64decode(authorization[6:]).decode().split(":", 1))
            except ValueError:
                raise Refused(401, "invalid_client", "The Authorization header cannot be read.") from None
        client = clients.get(client_id)
        if client is None or not hmac.compare_digest(client.secret.encode(), client_secret.encode()):
            raise Refused(401, "invalid_client", "Client id or secret is wrong.")
        return client

    def sign(claims: dict[str, Any]) -> str:
        now = int(time.time())
        return jwt.encode({"alg": "RS256", "kid": key.kid}, {"iss": issuer, "iat": now, "exp": now + TOKEN_SECONDS} | claims, key)

    def known(query: dict[str, str]) -> str | None:
        """What makes it unsafe to redirect; None for a client and an address that belong together."""
        client = clients.get(query.get("client_id", ""))
        if client is None or client.url is None:
            return "No service is registered under this client id."
        if not query.get("redirect_uri", "").startswith(client.url + "/"):
            return "This return address does not belong to the service that asks."
        return None

    def back(query: dict[str, str], **answer: str) -> Response:
        answer |= {"state": query["state"]} if "state" in query else {}
        return RedirectResponse(query["redirect_uri"] + ("&" if "?" in query["redirect_uri"] else "?") + urlencode(answer), 303)

    def give_code(query: dict[str, str], sub: str) -> Response:
        now = time.time()
        for old in [code for code, grant in grants.items() if grant.expires < now]:
            del grants[old]
        code = secrets.token_urlsafe(32)
        grants[code] = Grant(query["client_id"], query["redirect_uri"], query["code_challenge"], query.get("nonce"), sub, now + CODE_SECONDS)
        return back(query, code=code)

    def people_page(request: Request, query: dict[str, str], now: dict[str, Any] | None) -> Response:
        return pages.render(request, "people.html.j2", staff=staff, query=query, now=now, words=ROLE_WORDS, service=query.get("client_id"))

    @app.get("/authorize")
    async def authorize(request: Request) -> Response:
        query = dict(request.query_params)
        if words := known(query):
            return pages.render(request, "problem.html.j2", 400, words=words, title=app.title)
        if query.get("response_type") != "code" or "openid" not in query.get("scope", "").split():
            return back(query, error="invalid_request", error_description="Ask for response_type=code and scope openid.")
        if query.get("code_challenge_method") != "S256" or len(query.get("code_challenge", "")) != 43:
            return back(query, error="invalid_request", error_description="PKCE with S256 is required.")
        person = signed_in(request)
        if query.get("prompt") == "none" and person is None:
            return back(query, error="login_required")
        if person and query.get("prompt") not in ("login", "select_account"):
            return give_code(query, person["sub"])
        return people_page(request, query, person)

    @app.post("/authorize")
    async def choose(request: Request, sub: FormText) -> Response:
        query = dict(request.query_params)
        if sub not in people or known(query) or len(query.get("code_challenge", "")) != 43:
            return pages.render(request, "problem.html.j2", 400, words="This sign-in has become invalid.", title=app.title)
        answer = give_code(query, sub)
        remember(answer, sub)
        return answer

    @app.get("/")
    async def home(request: Request) -> Response:
        return people_page(request, {}, signed_in(request))

    @app.post("/")
    async def switch(sub: FormText = "") -> Response:
        answer = RedirectResponse("/", 303)
        remember(answer, sub if sub in people else "")
        return answer

    def remember(answer: Response, sub: str) -> None:
        if sub:
            answer.set_cookie(COOKIE, str(cookies.dumps(sub)), httponly=True, samesite="lax")
        else:
            answer.delete_cookie(COOKIE)

    @app.post("/token")
    async def token(client: Annotated[Client, Depends(client_of)], grant_type: FormText = "", code: FormText = "", code_verifier: FormText = "",
                    redirect_uri: FormText = "", scope: FormText = "") -> Response:
        if grant_type == "client_credentials":
            asked = scope.split() or list(client.scopes)
            if missing := sorted(set(asked) - set(client.scopes)):
                raise Refused(400, "invalid_scope", f"{client.id} may not have: {' '.join(missing)}")
            claims = {"sub": client.id, "client_id": client.id, "aud": "billfold", "scope": " ".join(asked), "practices": "*"}
            return tokens({"access_token": sign(claims), "scope": " ".join(asked)})
        if grant_type != "authorization_code":
            raise Refused(400, "unsupported_grant_type", "Use authorization_code or client_credentials.")
        grant = grants.pop(code, None)
        if grant is None or grant.expires < time.time() or (grant.client_id, grant.redirect_uri) != (client.id, redirect_uri):
            raise Refused(400, "invalid_grant", "This code is unknown, used, expired or another client's.")
        challenge = base64.urlsafe_b64encode(hashlib.sha256(code_verifier.encode()).digest()).rstrip(b"=").decode()
        if not hmac.compare_digest(challenge, grant.challenge):
            raise Refused(400, "invalid_grant", "The code verifier is missing or wrong.")
        person = people[grant.sub]
        claims = {"sub": grant.sub, "aud": client.id, "name": person["name"], "preferred_username": grant.sub, "email": person["email"],
                  "roles": person["roles"], "practices": person["practices"]} | ({"nonce": grant.nonce} if grant.nonce else {})
        return tokens({"id_token": sign(claims), "access_token": sign({"sub": grant.sub, "aud": "billfold", "scope": "openid"})})

    def tokens(values: dict[str, Any]) -> Response:
        return JSONResponse(values | {"token_type": "Bearer", "expires_in": TOKEN_SECONDS}, headers={"Cache-Control": "no-store"})

    @app.get("/logout")
    async def end_session(request: Request, post_logout_redirect_uri: str = "", state: str = "") -> Response:
        own = any(client.url and (post_logout_redirect_uri + "/").startswith(client.url + "/") for client in clients.values())
        answer: Response = RedirectResponse("/", 303)
        if own:
            answer = RedirectResponse(post_logout_redirect_uri + (f"?{urlencode({'state': state})}" if state else ""), 303)
        remember(answer, "")
        return answer

    @app.get("/jwks")
    async def jwks() -> dict[str, Any]:
        return {"keys": [key.as_dict(private=False, use="sig", alg="RS256")]}

    @app.get("/.well-known/openid-configuration")
    async def discovery() -> dict[str, Any]:
        return {
            "issuer": issuer, "authorization_endpoint": f"{issuer}/authorize", "token_endpoint": f"{issuer}/token", "jwks_uri": f"{issuer}/jwks",
            "end_session_endpoint": f"{issuer}/logout", "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"], "scopes_supported": ["openid", "profile", "email"],
            "grant_types_supported": ["authorization_code", "client_credentials"], "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        }

    @app.get("/health/ready")
    async def ready() -> dict[str, str]:
        return {"status": "ready"}

    @app.exception_handler(Refused)
    async def refused(request: Request, e: Refused) -> Response:
        return JSONResponse({"error": e.error, "error_description": e.words}, e.status, {"Cache-Control": "no-store"})

    pages.attach(app)
    return app


def kept_key(file: Path) -> RSAKey:
    """The signing key, made on first use."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_bytes(RSAKey.generate_key(2048, auto_kid=True).as_pem(private=True))
    key = RSAKey.import_key(file.read_bytes())
    key.ensure_kid()
    return key


def main() -> None:
    parser = argparse.ArgumentParser(prog="deploy.local.oidc")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--issuer", help="the address that browsers and services reach it by; default: this machine's")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--clients", type=Path, required=True)
    options = parser.parse_args()
    clients = {id_: Client(id_, c["secret"], c["url"], tuple(c["scopes"])) for id_, c in json.loads(options.clients.read_text()).items()}
    staff = json.loads((SAMPLE / "staff.json").read_text())
    app = make_app(options.issuer or f"http://127.0.0.1:{options.port}", clients, staff, kept_key(options.data / "oidc-key.pem"))
    uvicorn.run(app, host=options.host, port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
