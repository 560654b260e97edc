"""Staff sign-in against the sample provider, over real HTTP; a small service with one route per kind of guard."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from joserfc import jwt
from joserfc.jwk import RSAKey

from deploy.local import oidc
from deploy.local.places import SAMPLE, free_port
from shared import auth as auth_module
from shared.application import make_app
from shared.auth import ROLES, Auth, Staff, staff, unguarded
from shared.http import public
from shared.oidc import BadToken, Provider, ServiceToken
from shared.signin import install_auth
from shared.web import make_web, page

SERVICE = "http://billing.example"
PRACTICES = {"195900": "Saltmarsh Occupational Health", "195901": "Orchard Lane"}
ONE_PRACTICE = {"sub": "kim", "name": "Kim Ode", "email": "kim@staff.example", "roles": ["poster"], "practices": ["195900"], "about": ""}
NO_ROLE = {"sub": "nora", "name": "Nora Roleless", "email": "nora@staff.example", "roles": [], "practices": "*", "about": ""}


@dataclass(frozen=True)
class Signer:
    """The sample provider's address, and its key for making tokens that it would never give."""

    issuer: str
    key: RSAKey

    def token(self, **claims: Any) -> str:
        """A token that is good but for these claims; None leaves one out."""
        usual = {"iss": self.issuer, "aud": "billfold", "sub": "program", "client_id": "program", "exp": int(time.time()) + 60}
        what = {"scope": "accounts:read", "practices": "*"}
        said = {name: value for name, value in (usual | what | claims).items() if value is not None}
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, said, self.key)


@pytest.fixture(scope="module")
async def signer() -> AsyncIterator[Signer]:
    key = RSAKey.generate_key(2048, auto_kid=True)
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    clients = {
        "billing": oidc.Client("billing", "secret", SERVICE, ()),
        "program": oidc.Client("program", "program-secret", None, ("accounts:read",)),
    }
    people = [*json.loads((SAMPLE / "staff.json").read_text()), ONE_PRACTICE, NO_ROLE]
    server = uvicorn.Server(uvicorn.Config(oidc.make_app(issuer, clients, people, key), port=port, log_level="error"))
    running = asyncio.create_task(server.serve())
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(retries=20)) as client:
        await client.get(f"{issuer}/health/ready")
    yield Signer(issuer, key)
    server.should_exit = True
    await running


def service(issuer: str) -> FastAPI:
    web = make_web("invoicing", None, secret="a secret of the tests", public_url=SERVICE)
    app = make_app(web)

    async def practices() -> Mapping[str, str]:
        return PRACTICES

    links = {"invoicing": "http://billing.example", "posting": "http://posting.example"}
    install_auth(app, Auth(web, Provider(issuer, "billing", "secret"), SERVICE, links, practices))
    router = APIRouter()

    @router.get("/staff/{practice_id}/accounts")
    async def accounts(request: Request, practice_id: str, who: Annotated[Staff, Depends(staff("accounts:read"))]) -> Response:
        return page(request, "practices.html.j2", found=[], path=who.user_name)

    @router.post("/staff/{practice_id}/settings", dependencies=[Depends(staff("settings:write"))])
    async def settings(practice_id: str) -> str:
        return "saved"

    @router.get("/api/practices/{practice_id}/accounts")
    async def program(practice_id: str, who: Annotated[Staff, Depends(staff("accounts:read"))]) -> dict[str, str]:
        return {"client": who.name}

    app.include_router(router)
    return app


@pytest.fixture
async def browser(signer: Signer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service(signer.issuer)), base_url=SERVICE) as client:
        client.headers["accept"] = "text/html"
        yield client


async def sign_in(browser: httpx.AsyncClient, person: str, page: str = "/staff/195900/accounts") -> httpx.Response:
    """Goes to the page, chooses this person at the provider, and comes back; answers what the callback answered."""
    first = await browser.get(page)
    assert first.status_code == 303
    ask = await browser.get(first.headers["location"])
    async with httpx.AsyncClient() as provider:
        back = await provider.post(ask.headers["location"], data={"sub": person})
    return await browser.get(back.headers["location"].removeprefix(SERVICE))


@pytest.mark.req("PF-08")
async def test_a_person_signs_in_at_the_provider_and_comes_back_to_the_page_they_wanted(browser):
    back = await sign_in(browser, "dana.whitfield")
    assert (back.status_code, back.headers["location"]) == (303, "/staff/195900/accounts")
    shown = await browser.get("/staff/195900/accounts")
    assert shown.status_code == 200
    assert "dana.whitfield" in shown.text and "Saltmarsh Occupational Health" in shown.text and "billing admin" in shown.text


@pytest.mark.req("PF-08")
async def test_the_bar_shows_only_areas_that_the_person_may_open_and_that_have_an_address(browser):
    await sign_in(browser, "marcus.bell")
    text = (await browser.get("/staff/195900/accounts")).text
    areas = re.findall(r'href="(http://[^"]+)"', text)
    assert [area.removeprefix("http://") for area in areas] == [
        "billing.example/staff/195900/accounts",
        "billing.example/staff/195900/invoices",
        "billing.example/staff/195900/unpaid",
        "posting.example/staff/195900/money",
    ]


@pytest.mark.req("PF-08")
async def test_a_role_without_the_permission_is_refused_in_words_that_name_who_could(browser):
    await sign_in(browser, "marcus.bell")
    answer = await browser.post("/staff/195900/settings")
    assert answer.status_code == 403
    assert "You are signed in as poster. This is for: practice admin." in answer.text


@pytest.mark.req("PF-08")
async def test_another_practice_is_refused(browser):
    await sign_in(browser, "kim")
    assert (await browser.get("/staff/195900/accounts")).status_code == 200
    answer = await browser.get("/staff/195901/accounts")
    assert answer.status_code == 403 and "not one of yours" in answer.text


@pytest.mark.req("PF-08")
async def test_a_person_without_a_role_gets_no_session(browser):
    answer = await sign_in(browser, "nora")
    assert answer.status_code == 403 and "You have no role here yet" in answer.text
    assert "invoicing_staff" not in browser.cookies


async def test_signing_out_ends_the_session(browser):
    await sign_in(browser, "dana.whitfield")
    assert (await browser.post("/staff/sign-out")).headers["location"] == "/staff/signed-out"
    assert (await browser.get("/staff/195900/accounts")).status_code == 303
    assert "You are signed out" in (await browser.get("/staff/signed-out")).text


async def test_the_first_page_leads_to_the_only_practice_of_a_person(browser):
    await sign_in(browser, "kim")
    assert (await browser.get("/staff")).headers["location"] == "/staff/195900/accounts"


async def test_the_first_page_lets_a_person_of_several_practices_choose(browser):
    await sign_in(browser, "dana.whitfield")
    shown = re.findall(r'href="(/staff/\d+/accounts)"><b>([^<]+)', (await browser.get("/staff")).text)
    assert shown == [("/staff/195901/accounts", "Orchard Lane"), ("/staff/195900/accounts", "Saltmarsh Occupational Health")]


async def test_a_session_ends_after_fifteen_idle_minutes_and_is_renewed_by_use(browser, monkeypatch):
    await sign_in(browser, "dana.whitfield")
    at = time.time()
    for minutes in (10, 20, 30):
        monkeypatch.setattr(time, "time", lambda minutes=minutes: at + minutes * 60)
        assert (await browser.get("/staff/195900/accounts")).status_code == 200, minutes
    monkeypatch.setattr(time, "time", lambda: at + 46 * 60)
    assert (await browser.get("/staff/195900/accounts")).status_code == 303


async def test_a_session_ends_after_twelve_hours_of_use(browser, monkeypatch):
    await sign_in(browser, "dana.whitfield")
    at = time.time()
    for minutes in range(10, 12 * 60, 10):
        monkeypatch.setattr(time, "time", lambda minutes=minutes: at + minutes * 60)
        assert (await browser.get("/staff/195900/accounts")).status_code == 200
    monkeypatch.setattr(time, "time", lambda: at + 12 * 3600 + 1)
    assert (await browser.get("/staff/195900/accounts")).status_code == 303


async def test_a_changed_session_cookie_is_no_session(browser):
    await sign_in(browser, "marcus.bell")
    kept = browser.cookies["invoicing_staff"]
    browser.cookies.clear()
    browser.cookies.set("invoicing_staff", ("A" if kept[0] != "A" else "B") + kept[1:])
    assert (await browser.get("/staff/195900/accounts")).status_code == 303


async def test_an_answer_to_somebody_elses_question_signs_nobody_in(browser):
    first = await browser.get("/staff/sign-in")
    state = parse_qs(urlsplit(first.headers["location"]).query)["state"][0]
    for query in (f"code=x&state={state}x", f"state={state}", "code=x", f"error=access_denied&state={state}"):
        assert (await browser.get(f"/staff/callback?{query}")).status_code == 400
    assert "invoicing_staff" not in browser.cookies


async def test_after_signing_in_nobody_is_sent_to_another_site(browser):
    for elsewhere in ("https://evil.example/", "//evil.example", "/\\evil.example"):
        back = await sign_in_from(browser, elsewhere)
        assert back.headers["location"] == "/staff"


async def sign_in_from(browser: httpx.AsyncClient, next: str) -> httpx.Response:
    ask = await browser.get("/staff/sign-in", params={"next": next})
    async with httpx.AsyncClient() as provider:
        back = await provider.post(ask.headers["location"], data={"sub": "dana.whitfield"})
    return await browser.get(back.headers["location"].removeprefix(SERVICE))


async def test_a_person_comes_back_to_the_filtered_list_and_from_a_form_to_the_page_it_stood_on(browser):
    back = await sign_in(browser, "dana.whitfield", "/staff/195900/accounts?state=open&from=11%2F01")
    assert back.headers["location"] == "/staff/195900/accounts?state=open&from=11%2F01"
    await browser.post("/staff/sign-out")
    answer = await browser.post("/staff/195900/settings", headers={"referer": f"{SERVICE}/staff/195900/settings"})
    assert answer.headers["location"] == "/staff/sign-in?next=/staff/195900/settings"


async def test_a_request_of_htmx_without_a_session_leaves_the_page(browser):
    answer = await browser.get("/staff/195900/accounts", headers={"hx-request": "true"})
    assert answer.headers["hx-redirect"] == "/staff/sign-in?next=/staff/195900/accounts"


@pytest.mark.req("PF-08")
async def test_a_program_uses_a_token_of_its_client_whose_scope_is_the_permission(browser, signer):
    token = ServiceToken(Provider(signer.issuer, "program", "program-secret"), "accounts:read")
    answer = await browser.get("/api/practices/195900/accounts", headers=await token.headers())
    assert answer.json() == {"client": "program"}
    assert await token.get() == await token.get(), "the token is kept"


@pytest.mark.req("PF-08")
@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({}, 200),
        ({"scope": "accounts:read other"}, 200),
        ({"practices": ["195900"]}, 200),
        ({"scope": "contracts:write"}, 403),
        ({"scope": ""}, 403),
        ({"practices": "195900 195901"}, 200),
        ({"practices": ["195901"]}, 403),
        ({"practices": []}, 403),
        ({"practices": None}, 403),
        ({"aud": "billing"}, 401),
        ({"iss": "https://elsewhere.example"}, 401),
        ({"exp": int(time.time()) - 120}, 401),
        ({"exp": None}, 401),
        ({"exp": "never"}, 401),
    ],
)
async def test_a_token_is_good_for_its_scope_practices_issuer_audience_and_time_only(browser, signer, claims, status):
    answer = await browser.get("/api/practices/195900/accounts", headers={"authorization": f"Bearer {signer.token(**claims)}"})
    assert answer.status_code == status, answer.text
    if status != 200:
        assert answer.headers["content-type"] == "application/problem+json"


async def test_tokens_that_are_forged_unsigned_or_nonsense_are_refused(browser, signer):
    other = Signer(signer.issuer, RSAKey.import_key(RSAKey.generate_key(2048).as_dict(private=True) | {"kid": signer.key.kid}))
    unsigned = signer.token().rsplit(".", 1)[0] + "."
    for token in (other.token(), unsigned, "nonsense", "a.b.c", ""):
        answer = await browser.get("/api/practices/195900/accounts", headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 401, token
    with pytest.raises(BadToken):
        await Provider(signer.issuer, "billing", "secret").verify(other.token(), "billfold")


async def test_a_program_without_a_token_is_told_to_fetch_one_and_is_not_sent_to_a_page(browser):
    answer = await browser.get("/api/practices/195900/accounts")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.req("PF-08")
def test_a_route_that_forgot_its_guard_is_found():
    app = service("http://nobody.example")
    assert unguarded(app) == []

    @app.get("/forgotten/{practice_id}")
    async def forgotten(practice_id: str) -> str:
        return practice_id

    inner = APIRouter(prefix="/inner")

    @inner.post("/too")
    async def too() -> str:
        return ""

    guarded = APIRouter(dependencies=[Depends(public)])

    @guarded.get("/fine")
    async def fine() -> str:
        return ""

    app.include_router(inner)
    app.include_router(guarded)
    assert unguarded(app) == ["GET /forgotten/{practice_id}", "POST /inner/too"]


@pytest.mark.req("PF-08")
def test_no_role_that_only_reads_holds_a_permission_that_changes():
    assert all(permission.endswith(":read") for permission in ROLES["auditor"])
    assert not {"payments:post", "settings:write"} & ROLES["billing_admin"]
    assert "payments:post" not in ROLES["front_desk"]


def test_the_idle_and_the_absolute_limit_are_what_the_page_promises():
    assert (auth_module.IDLE_SECONDS, auth_module.SESSION_SECONDS) == (900, 43200)
