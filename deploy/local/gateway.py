"""Sandbox card processor: hosted card page, payments API, faults on demand. A tool of the demo and the tests; it knows no real card.

python -m deploy.local.gateway [--host H] --port N --data DIR, with the secret of the API in GATEWAY_SECRET
"""

import argparse
import asyncio
import hmac
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Form, Header, HTTPException, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import AnyHttpUrl, BaseModel, Field
from starlette.types import Receive, Scope, Send

from deploy.local import cards, pages, processor
from deploy.local.faults import Control, Fault, Faults
from deploy.local.processor import Book, Payment, answer

Cents = Annotated[int, Field(gt=0, le=10_000_000_000)]
FormText = Annotated[str, Form()]


class Start(BaseModel):
    amount_cents: Cents
    return_url: AnyHttpUrl
    description: str = Field(max_length=200)
    brands: list[Literal["VI", "MC", "DS", "AX"]] = Field(min_length=1)


class Amount(BaseModel):
    amount_cents: Cents


class Charge(BaseModel):
    amount_cents: Cents
    token: str


class CardNumber(BaseModel):
    number: str
    exp_month: int = Field(ge=1, le=12)
    exp_year: int = Field(ge=2000, le=2099)


class CutOff(Response):
    """An answer that never comes: headers that promise a body, then the end of the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"999")]})


def make_app(book: Book, secret: str) -> FastAPI:
    """The processor as a web application; `book` holds its state."""
    faults = Faults()
    later: set[asyncio.Task[None]] = set()
    tried: set[str] = set()
    app = FastAPI(title="Sandbox Card Processor")

    def signed(authorization: Annotated[str, Header()] = "") -> None:
        if not hmac.compare_digest(authorization.encode(), f"Bearer {secret}".encode()):
            raise HTTPException(401, "The secret in the Authorization header is missing or wrong.")

    async def act(key: str, fault: Fault | None, action: Callable[[], Payment], amount_cents: int) -> Response:
        """Do an action under a fault."""
        if faults.latency_ms:
            await asyncio.sleep(faults.latency_ms / 1000)
        if fault == "late":
            task = asyncio.create_task(perform_later(action))
            later.add(task)
            task.add_done_callback(later.discard)
            return JSONResponse({"detail": "The processor did not answer in time."}, 504)
        if fault == "declined":
            return JSONResponse(answer(book.decline(key, amount_cents)))
        if fault == "doubled":
            action()
        payment = action()
        return CutOff() if fault == "lost" else JSONResponse(answer(payment))

    async def perform_later(action: Callable[[], Payment]) -> None:
        await asyncio.sleep(faults.late_ms / 1000)
        action()

    def fault_of(key: str, outcome: str) -> Fault | None:
        """The fault of a capture: of the test card whose first charge gets no answer, else what control says."""
        if outcome == "late" and book.find(key).state in ("unknown_key", "authorised") and key not in tried:
            tried.add(key)
            return "late"
        return faults.draw()

    api = APIRouter(dependencies=[Depends(signed)])

    @api.post("/payments/{key}")
    async def start(key: str, body: Start, request: Request) -> dict[str, str]:
        payment = book.start(key, body.amount_cents, str(body.return_url), body.description, tuple(body.brands))
        if payment.page is None:
            raise HTTPException(409, f"This key is {payment.state}.")
        return {"page_url": f"{request.base_url}pay/{payment.page}"}

    @api.get("/payments/{key}")
    async def ask(key: str) -> dict[str, Any]:
        return answer(book.find(key))

    @api.post("/payments/{key}/capture")
    async def capture(key: str, body: Amount) -> Response:
        fault = fault_of(key, book.find(key).outcome)
        return await act(key, fault, lambda: book.capture(key, body.amount_cents), body.amount_cents)

    @api.post("/payments/{key}/charge")
    async def charge(key: str, body: Charge) -> Response:
        fault = fault_of(key, book.tokens[body.token]["outcome"] if body.token in book.tokens else "approve")
        return await act(key, fault, lambda: book.charge(key, body.token, body.amount_cents), body.amount_cents)

    @api.post("/payments/{key}/release")
    async def release(key: str) -> Response:
        fault = faults.draw()
        return await act(key, None if fault == "declined" else fault, lambda: book.release(key), 0)

    @api.post("/payments/{key}/refunds/{refund_key}")
    async def refund(key: str, refund_key: str, body: Amount) -> Response:
        fault = faults.draw()
        return await act(key, None if fault == "declined" else fault, lambda: book.refund(key, refund_key, body.amount_cents), 0)

    @api.post("/tokens", status_code=201)
    async def tokenise(body: CardNumber) -> dict[str, Any]:
        number = cards.digits(body.number)
        if words := cards.complaint(number, list(cards.BRANDS)) or expired(body.exp_month, body.exp_year):
            raise HTTPException(422, words)
        card = processor.card(number, body.exp_month, body.exp_year)
        return {"token": book.tokenise(card), "card": processor.shown(card)}

    @api.get("/tokens/{token}")
    async def token(token: str) -> dict[str, Any]:
        card = book.tokens.get(token)
        return {"card": processor.shown(card) if card else None}

    @api.post("/control")
    async def control(body: Control) -> dict[str, Any]:
        faults.set(body)
        return {"next": list(faults.queue), "rates": faults.rates, "latency_ms": faults.latency_ms, "late_ms": faults.late_ms}

    @api.get("/ledger")
    async def ledger() -> dict[str, Any]:
        return {"entries": book.ledger}

    app.include_router(api)

    def payment_of(page: str) -> Payment:
        if page not in book.pages:
            raise HTTPException(404)
        return book.find(book.pages[page])

    def card_page(request: Request, payment: Payment, errors: dict[str, str], typed: dict[str, str]) -> Response:
        return pages.render(request, "card.html.j2", 422 if errors else 200, payment=payment, errors=errors, typed=typed,
                            brands=[cards.BRANDS[b] for b in payment.brands], test_cards=cards.TEST_CARDS)

    @app.get("/pay/{page}")
    async def show(page: str, request: Request) -> Response:
        payment = payment_of(page)
        return card_page(request, payment, {}, {}) if payment.state == "started" else pages.render(request, "card-done.html.j2", payment=payment)

    @app.post("/pay/{page}")
    async def pay(page: str, request: Request, number: FormText = "", expires: FormText = "", code: FormText = "",
                  name: FormText = "") -> Response:
        payment = payment_of(page)
        plain = cards.digits(number)
        errors = {"number": cards.complaint(plain, list(payment.brands)), "name": None if name.strip() else "Enter the name on the card."}
        month, year, errors["expires"] = expiry(expires)
        length = 4 if cards.brand(plain) == "AX" else 3
        errors["code"] = None if code.isdecimal() and len(code) == length else f"Enter the {length} digits of the security code."
        if found := {field: words for field, words in errors.items() if words}:
            if payment.state == "started":
                return card_page(request, payment, found, {"number": number, "expires": expires, "name": name})
        else:
            book.authorise(payment.key, processor.card(plain, month, year))
        return RedirectResponse(payment.return_url, 303)

    @app.get("/health/ready")
    async def ready() -> dict[str, str]:
        return {"status": "ready"}

    pages.attach(app)
    return app


def expiry(text: str) -> tuple[int, int, str | None]:
    """Month and year of MM/YY, and what is wrong with it in words."""
    month, _, year = text.replace(" ", "").replace("-", "/").partition("/")
    if not (month.isdecimal() and year.isdecimal() and 1 <= int(month) <= 12 and len(year) in (2, 4)):
        return 0, 0, "Enter month and year as on the card, like 04/29."
    full = int(year) + (2000 if len(year) == 2 else 0)
    return int(month), full, expired(int(month), full)


def expired(month: int, year: int) -> str | None:
    today = datetime.now(UTC)
    return "This card has expired." if (year, month) < (today.year, today.month) else None


def main() -> None:
    parser = argparse.ArgumentParser(prog="deploy.local.gateway")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    app = make_app(Book(options.data / "gateway.jsonl"), os.environ["GATEWAY_SECRET"])
    uvicorn.run(app, host=options.host, port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
