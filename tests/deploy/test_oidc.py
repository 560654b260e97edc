"""The sample OpenID provider, through the client that the services use."""

import base64
import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from deploy.local import visitor
from deploy.local.children import Process
from shared.oidc import BadToken, Provider, ProviderTrouble, ServiceToken

BACK = "http://127.0.0.1:9001/staff/callback"
VERIFIER = "v" * 43


@pytest.fixture(scope="module")
def issuer(tool: Callable[..., tuple[str, Process]], tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("clients") / "clients.json"
    file.write_text(json.dumps({
        "invoicing": {"secret": "i", "url": "http://127.0.0.1:9001", "scopes": ["invoices:read"]},
        "portal": {"secret": "p", "url": "http://127.0.0.1:9002", "scopes": []},
        "demo": {"secret": "d", "url": None, "scopes": ["accounts:write", "claims:read"]},
    }))
    return tool("oidc", "--clients", str(file))[0]


@pytest.fixture
def invoicing(issuer: str) -> Provider:
    return Provider(issuer, "invoicing", "i")


@pytest.fixture
async def browser() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


async def code(browser: httpx.AsyncClient, url: str, sub: str = "dana.whitfield") -> str:
    """Sign in by one click and return the code that the provider sends back."""
    assert "Dana Whitfield" in (await browser.get(url)).text
    answer = await browser.post(url, data={"sub": sub})
    return parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]


async def test_a_person_chosen_by_one_click_comes_back_with_name_roles_and_practices(invoicing: Provider, browser: httpx.AsyncClient) -> None:
    url = await invoicing.sign_in_url(BACK, "the-state", "the-nonce", VERIFIER)
    answer = await browser.post(url, data={"sub": "jo.lindqvist"})
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert answer.headers["location"].startswith(BACK + "?") and query["state"] == ["the-state"]
    claims = await invoicing.exchange(query["code"][0], BACK, VERIFIER, "the-nonce")
    assert (claims["sub"], claims["name"], claims["practices"]) == ("jo.lindqvist", "Jo Lindqvist", "*")
    assert claims["roles"] == ["billing_admin", "practice_admin"]


async def test_the_next_service_signs_the_same_person_in_without_asking(issuer: str, invoicing: Provider, browser: httpx.AsyncClient) -> None:
    await code(browser, await invoicing.sign_in_url(BACK, "s", "n", VERIFIER))
    portal, back = Provider(issuer, "portal", "p"), "http://127.0.0.1:9002/staff/callback"
    silent = await browser.get(await portal.sign_in_url(back, "s2", "n2", VERIFIER))
    claims = await portal.exchange(parse_qs(urlsplit(silent.headers["location"]).query)["code"][0], back, VERIFIER, "n2")
    assert (claims["sub"], claims["aud"]) == ("dana.whitfield", "portal")


async def test_after_signing_out_the_provider_asks_again(issuer: str, invoicing: Provider, browser: httpx.AsyncClient) -> None:
    await code(browser, await invoicing.sign_in_url(BACK, "s", "n", VERIFIER))
    away = await browser.get(f"{issuer}/logout", params={"post_logout_redirect_uri": "http://127.0.0.1:9001/staff"})
    assert away.headers["location"] == "http://127.0.0.1:9001/staff"
    assert (await browser.get(await invoicing.sign_in_url(BACK, "s", "n", VERIFIER))).status_code == 200
    foreign = await browser.get(f"{issuer}/logout", params={"post_logout_redirect_uri": "http://127.0.0.1:90010/"})
    assert foreign.headers["location"] == "/"


async def test_a_code_without_its_verifier_is_worth_nothing_and_is_spent(invoicing: Provider, browser: httpx.AsyncClient) -> None:
    url = await invoicing.sign_in_url(BACK, "s", "n", VERIFIER)
    for wrong in ("", "w" * 43):
        stolen = await code(httpx.AsyncClient(), url)
        with pytest.raises(ProviderTrouble):
            await invoicing.exchange(stolen, BACK, wrong, "n")
        with pytest.raises(ProviderTrouble):
            await invoicing.exchange(stolen, BACK, VERIFIER, "n")


async def test_a_code_is_good_once_and_only_for_its_client_and_address(issuer: str, invoicing: Provider, browser: httpx.AsyncClient) -> None:
    url = await invoicing.sign_in_url(BACK, "s", "n", VERIFIER)
    once = await code(browser, url)
    await invoicing.exchange(once, BACK, VERIFIER, "n")
    with pytest.raises(ProviderTrouble):
        await invoicing.exchange(once, BACK, VERIFIER, "n")
    for other, back in ((Provider(issuer, "portal", "p"), BACK), (invoicing, BACK + "/x"), (replace(invoicing, client_secret="?"), BACK)):
        with pytest.raises(ProviderTrouble):
            await other.exchange(await code(httpx.AsyncClient(), url), back, VERIFIER, "n")


async def test_a_request_without_pkce_or_with_a_plain_challenge_is_refused(invoicing: Provider, browser: httpx.AsyncClient) -> None:
    url = await invoicing.sign_in_url(BACK, "s", "n", VERIFIER)
    for bad in (re.sub(r"&code_challenge=[^&]*", "", url), url.replace("S256", "plain")):
        answer = await browser.get(bad)
        assert parse_qs(urlsplit(answer.headers["location"]).query)["error"] == ["invalid_request"]


async def test_an_address_that_is_not_the_services_is_never_redirected_to(invoicing: Provider, browser: httpx.AsyncClient) -> None:
    for foreign in ("http://127.0.0.1:90010/staff/callback", "http://evil.example/", "//127.0.0.1:9001/"):
        answer = await browser.get(await invoicing.sign_in_url(foreign, "s", "n", VERIFIER))
        assert answer.status_code == 400 and "does not belong" in answer.text


async def test_programs_get_the_scopes_they_are_registered_for_and_no_others(issuer: str) -> None:
    demo = Provider(issuer, "demo", "d")
    claims = await demo.verify(await ServiceToken(demo, "accounts:write").get(), "billfold")
    assert (claims["client_id"], claims["scope"]) == ("demo", "accounts:write")
    with pytest.raises(ProviderTrouble):
        await ServiceToken(demo, "accounts:write contracts:write").get()
    with pytest.raises(ProviderTrouble):
        await ServiceToken(replace(demo, client_secret="x"), "accounts:write").get()


async def test_a_token_that_was_changed_is_not_believed(issuer: str) -> None:
    demo = Provider(issuer, "demo", "d")
    head, body, signature = (await ServiceToken(demo, "claims:read").get()).split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    forged = base64.urlsafe_b64encode(json.dumps(claims | {"scope": "everything"}).encode()).decode().rstrip("=")
    with pytest.raises(BadToken):
        await demo.verify(f"{head}.{forged}.{signature}", "billfold")


async def test_the_keys_and_sessions_survive_a_restart(
        tool: Callable[..., tuple[str, Process]], tmp_path: Path, browser: httpx.AsyncClient) -> None:
    clients = tmp_path / "clients.json"
    clients.write_text(json.dumps({"invoicing": {"secret": "i", "url": "http://127.0.0.1:9001", "scopes": ["invoices:read"]}}))
    url, process = tool("oidc", "--clients", str(clients), data=tmp_path)
    provider = Provider(url, "invoicing", "i")
    token = await ServiceToken(provider, "invoices:read").get()
    await code(browser, await provider.sign_in_url(BACK, "s", "n", VERIFIER))
    process.kill()
    process.wait()
    tool("oidc", "--clients", str(clients), data=tmp_path, port=urlsplit(url).port or 0)
    assert (await Provider(url, "invoicing", "i").verify(token, "billfold"))["scope"] == "invoices:read"
    assert (await browser.get(await provider.sign_in_url(BACK, "s", "n", VERIFIER))).status_code == 303
    assert (tmp_path / "oidc-key.pem").stat().st_mode & 0o077 == 0


async def test_seed_and_tour_act_as_staff_and_as_a_program_through_the_provider(issuer: str, invoicing: Provider) -> None:
    where = {"oidc": issuer, "client": {"token_url": f"{issuer}/token", "client_id": "demo", "client_secret": "d"},
             "users": {"staff": {"poster": "marcus.bell"}}}
    browser = await visitor.staff(where, "poster")
    away = await browser.get(await invoicing.sign_in_url(BACK, "s", "n", VERIFIER), follow_redirects=False)
    claims = await invoicing.exchange(parse_qs(urlsplit(away.headers["location"]).query)["code"][0], BACK, VERIFIER, "n")
    assert claims["roles"] == ["poster"]
    program = await visitor.program(where, "accounts:write")
    token = program.headers["authorization"].removeprefix("Bearer ")
    assert (await Provider(issuer, "demo", "d").verify(token, "billfold"))["scope"] == "accounts:write"
    await browser.aclose()
    await program.aclose()
