import re
from datetime import date
from typing import Annotated, Literal

import asyncpg
import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, File, Form, Path, UploadFile
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from shared.application import _message, make_app
from shared.events.types import NO_NUL, PRINTABLE
from shared.http import Problem, public, uploads, whole_number
from shared.web import make_web
from tests.shared.gallery import make_gallery

HTML = {"accept": "text/html,application/xhtml+xml"}


class Order(BaseModel):
    cents: int
    note: str = ""


def made() -> FastAPI:
    web = make_web("toy", None, secret="a secret of the tests", public_url="https://toy.example")

    async def well() -> str | None:
        return None

    async def ill() -> str | None:
        return "the broker does not answer"

    async def broken() -> str | None:
        raise ConnectionRefusedError("nobody is there")

    app = make_app(web, checks={"database": well, "broker": ill, "relay": broken}, form_targets=["https://gateway.example/pay?x=1"])
    router = APIRouter(dependencies=[Depends(public)])

    @router.post("/api/orders")
    async def order(body: Order) -> dict[str, int]:
        return {"cents": body.cents}

    @router.get("/api/orders/{number}")
    async def one(number: Annotated[int, Path()]) -> dict[str, int]:
        raise Problem(409, "Order 7 is paid already", "Nothing was charged.", type="/problems/paid", order=number)

    @router.get("/page/{number}")
    async def page(number: int) -> dict[str, int]:
        return {"number": number}

    @router.post("/form")
    async def form(name: Annotated[str, Form()]) -> dict[str, str]:
        return {"name": name}

    @router.post("/upload")
    @uploads
    async def upload(file: Annotated[UploadFile, File()]) -> dict[str, int]:
        return {"size": len(await file.read())}

    @router.get("/api/odd")
    async def odd() -> None:
        raise asyncpg.CharacterNotInRepertoireError

    @router.get("/api/away")
    async def away() -> None:
        raise ConnectionRefusedError

    app.include_router(router)
    return app


@pytest.fixture
async def toy():
    async with httpx.AsyncClient(transport=httpx.ASGITransport(made()), base_url="https://toy.example") as client:
        yield client


@pytest.fixture
async def gallery():
    async with httpx.AsyncClient(transport=httpx.ASGITransport(make_gallery()), base_url="http://testserver") as client:
        yield client


async def test_a_program_gets_a_problem_document_with_words_and_fields(toy):
    answer = await toy.get("/api/orders/7")
    assert answer.headers["content-type"] == "application/problem+json"
    wanted = {"type": "/problems/paid", "title": "Order 7 is paid already", "status": 409, "detail": "Nothing was charged.", "order": 7}
    assert (answer.status_code, answer.json()) == (409, wanted)


async def test_a_browser_gets_the_problem_page_in_the_frame_of_whoever_asked(gallery):
    answer = await gallery.get("/gallery/refused", headers=HTML)
    assert answer.status_code == 409
    assert "<h1>Batch 20931 is assigned to mchen</h1>" in answer.text
    assert "dokafor" in answer.text, "the staff header stays"


@pytest.mark.parametrize(("path", "kind"), [("/api/nothing", "application/problem+json"), ("/nothing", "text/html; charset=utf-8")])
async def test_an_unknown_address_is_404_in_the_right_form(toy, path, kind):
    answer = await toy.get(path, headers=HTML)
    assert (answer.status_code, answer.headers["content-type"]) == (404, kind)
    assert "We cannot show this page" in answer.text


async def test_an_address_with_a_part_of_the_wrong_kind_is_404(toy):
    assert (await toy.get("/page/seven", headers=HTML)).status_code == 404


async def test_the_wrong_method_is_405_in_words(toy):
    answer = await toy.delete("/api/orders")
    assert (answer.status_code, answer.json()["title"]) == (405, "This address does not take that kind of request")
    assert answer.headers["allow"] == "POST"


async def test_values_that_cannot_be_taken_are_listed_by_path_in_words(toy):
    answer = await toy.post("/api/orders", json={"cents": "many"})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"path": "cents", "message": "Give a whole number"}]
    assert (await toy.post("/api/orders", json={})).json()["errors"] == [{"path": "cents", "message": "This is required"}]


IN_WORDS = [
    (Annotated[str, Field(pattern=NO_NUL)], "a\0b", "Use plain text"),
    (Annotated[str, Field(pattern=PRINTABLE)], "a\nb", "Use plain text"),
    (Annotated[str, Field(pattern="^[A-Z]{2}$")], "a", "This does not have the form that is expected here"),
    (Annotated[str, Field(max_length=300)], "a" * 301, "Use up to 300 characters"),
    (Annotated[str, Field(min_length=2)], "a", "Use at least 2 characters"),
    (Annotated[str, Field(min_length=1)], "", "Use at least 1 character"),
    (Annotated[list[int], Field(max_length=1000)], [1] * 1001, "Give up to 1,000 items"),
    (Annotated[list[int], Field(min_length=1)], [], "Give at least 1 item"),
    (Annotated[int, Field(ge=1)], 0, "Give 1 or more"),
    (Annotated[int, Field(le=10**12)], 10**12 + 1, "Give 1,000,000,000,000 or less"),
    (Annotated[int, Field(gt=0)], 0, "Give more than 0"),
    (Annotated[int, Field(lt=5)], 5, "Give less than 5"),
    (int, "many", "Give a whole number"),
    (int, 1.5, "Give a whole number"),
    (int, "1" * 5000, "Give a whole number"),
    (bool, "perhaps", "Give true or false"),
    (date, "soon", "Give a date like 2026-11-17"),
    (str, 3, "Give a text"),
    (list[int], 3, "Give a list"),
    (Literal["daily", "weekly"], "never", "Give 'daily' or 'weekly'"),
]


@pytest.mark.parametrize(("kind", "value", "words"), IN_WORDS)
def test_what_is_wrong_with_a_value_is_said_in_our_words(kind, value, words):
    with pytest.raises(ValidationError) as wrong:
        TypeAdapter(kind).validate_python(value)
    assert _message(wrong.value.errors()[0]) == words


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[1,", b""])
async def test_a_body_that_is_no_json_is_4xx_in_words(toy, body):
    answer = await toy.post("/api/orders", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_text_where_a_file_belongs_is_refused_in_words(toy):
    answer = await toy.post("/upload", data={"file": "text"})
    assert answer.status_code == 422 and "file: Send a file" in answer.text


async def test_a_body_over_one_mebibyte_is_413_in_words(toy):
    answer = await toy.post("/api/orders", json={"cents": 1, "note": "x" * 1_100_000})
    assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")

    async def endless():
        for _ in range(20):
            yield b"x" * 100_000

    answer = await toy.post("/api/orders", content=endless(), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")


async def test_a_route_for_uploads_takes_ten_mebibytes_and_no_more(toy):
    answer = await toy.post("/upload", files={"file": ("a.pdf", b"x" * (10 * 1024 * 1024))})
    assert answer.json() == {"size": 10 * 1024 * 1024}
    answer = await toy.post("/upload", files={"file": ("a.pdf", b"x" * (11 * 1024 * 1024))}, headers=HTML)
    assert answer.status_code == 413
    assert "This is too large" in answer.text and "up to 10 MB" in answer.text


async def test_our_own_mistake_is_500_with_a_number_that_the_log_holds_and_no_detail(gallery, caplog):
    answer = await gallery.get("/gallery/broken", headers=HTML)
    assert answer.status_code == 500
    assert "nobody outside may read this" not in answer.text
    number = re.search(r"The number is <b class=\"fig\">([0-9A-F]{4} [0-9A-F]{4})</b>", answer.text)
    assert number and number[1] in caplog.text
    assert "content-security-policy" in answer.headers


async def test_a_database_that_is_away_is_503_and_asks_to_come_back(toy):
    answer = await toy.get("/api/away")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")


@pytest.mark.parametrize(
    ("text", "number"), [("0", 0), ("100498", 100498), ("9" * 18, 10**18 - 1), ("9" * 5000, None), ("²", None), ("١", None), ("", None)]
)
def test_a_whole_number_has_plain_digits_and_not_too_many(text: str, number: int | None):
    assert whole_number(text) == number


async def test_a_value_that_no_column_takes_is_422_in_words(toy):
    answer = await toy.get("/api/odd")
    assert answer.status_code == 422 and "cannot be stored" in answer.json()["detail"]


async def test_readiness_says_in_words_what_is_wrong_and_liveness_does_not_depend_on_it(toy):
    answer = await toy.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {
        "database": "well",
        "broker": "the broker does not answer",
        "relay": "ConnectionRefusedError: nobody is there",
    }
    assert (await toy.get("/health/live")).status_code == 200


async def test_metrics_are_there_for_prometheus(toy):
    assert "python_info" in (await toy.get("/metrics")).text


async def test_pages_carry_headers_that_forbid_inline_script_framing_and_sniffing(toy):
    headers = (await toy.get("/nothing", headers=HTML)).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["script-src"] == "'self'"
    assert re.fullmatch(r"'self' 'nonce-[\w-]+'", policy["style-src"])
    assert policy["frame-ancestors"] == "'none'"
    assert policy["form-action"] == "'self' https://gateway.example"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["strict-transport-security"].startswith("max-age=")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "https://toy.example"}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "https://toy.example:8443"}, 403),
        ({"origin": "null"}, 403),
    ],
)
async def test_a_form_is_taken_from_our_own_pages_only_another_port_is_another_site(toy, headers, status):
    assert (await toy.post("/form", data={"name": "x"}, headers=headers)).status_code == status


async def test_a_link_from_elsewhere_is_followed(toy):
    assert (await toy.get("/page/7", headers={"sec-fetch-site": "cross-site"})).status_code == 200


async def test_a_notice_survives_one_redirect_and_is_shown_once(gallery):
    answer = await gallery.post("/gallery/task", data={"reason": "WA"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/gallery")
    assert "<b>Dispute sent.</b> Saltmarsh answers by Nov 23." in (await gallery.get("/gallery")).text
    assert "Dispute sent." not in (await gallery.get("/gallery/desk")).text


async def test_a_notice_that_somebody_else_wrote_is_not_shown(gallery):
    gallery.cookies.set("gallery_notice", "WyJvayIsIkhhIiwiIl0.x.y")
    answer = await gallery.get("/gallery/desk")
    assert answer.status_code == 200 and "Ha" not in answer.text.split("<main")[1].split("</h1>")[0]


async def test_a_form_with_errors_keeps_status_422_marks_title_summary_and_field(gallery):
    answer = await gallery.post("/gallery/task", data={})
    assert answer.status_code == 422
    assert "<title>Error: Submit Dispute" in answer.text
    assert '<a href="#f-reason">Choose a dispute reason</a>' in answer.text
    assert 'aria-invalid="true"' in answer.text


async def test_static_files_have_an_address_that_changes_with_them_and_are_kept_for_a_year(gallery):
    text = (await gallery.get("/gallery")).text
    sheet = re.search(r'href="(/static/[0-9a-f]{12}/billfold\.css)"', text)
    assert sheet
    answer = await gallery.get(sheet[1])
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert (await gallery.get("/static/000000000000/billfold.css")).headers["cache-control"] == "no-cache"
    assert (await gallery.get("/static/000000000000/..%2Fframe.py")).status_code == 404


async def test_no_page_writes_script_or_style_inline(gallery):
    for path in ("/gallery?wrong=1", "/gallery/desk", "/gallery/log-in", "/gallery/task"):
        text = (await gallery.get(path)).text
        assert not re.search(r"\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", text), path
        assert len(re.findall(r"<style nonce=", text)) == len(re.findall(r"<style", text))
