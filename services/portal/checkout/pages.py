"""The cart, and the way from it to a payment; each page shows where the attempt stands, however the person came to it (EP-13, EP-26)."""

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Request, Response

from services.portal.checkout import cart, pay, store
from services.portal.checkout.pay import Checkout, NothingToPay, TooManyClaims
from services.portal.checkout.states import LIVE, Attempt
from services.portal.checkout.words import ENDINGS, many
from services.portal.frame import CART
from services.portal.identity.here import HOME, Here
from services.portal.identity.session import own_page, signed_in
from services.portal.invoices import words
from services.portal.roles import must_pay
from shared import ids
from shared.clock import local_date
from shared.gateway import Unknown
from shared.http import Problem
from shared.service import Service
from shared.web import page, redirect
from shared.web.show import plural

Person = Annotated[Here, Depends(signed_in)]
Text = Annotated[str, Form()]
STEPS = ("Review cart", "Card details", "Confirm", "Receipt")
SILENT = "The card processor does not answer right now. Nothing was charged. Please try again in a minute."


def make_router(service: Service, till: Checkout, portal_url: str) -> APIRouter:
    """The router of cart and payment; `till` has the app's role."""
    router = APIRouter(include_in_schema=False)

    @router.post("/employerportal/cart/add")
    async def add(request: Request, here: Person, invoice: Annotated[list[str], Form()] = [], only: Text = "", back: Text = "") -> Response:  # noqa: B006
        chosen = [only] if only else invoice[: cart.LARGEST]
        async with service.app.begin(here.practice_id) as tx:
            await must_pay(tx, here)
            added = await cart.add(tx, here, chosen)
        back = own_page(back)
        if not chosen:
            return redirect(request, back, "Nothing chosen.", "Tick the invoices first, then add them.", kind="info")
        if added < len(chosen):
            missing = plural(len(chosen) - added, "invoice")
            return redirect(request, back, f"{missing} not added.", "What is closed, pending or in review cannot be paid.", kind="warn")
        return redirect(request, back, "In your cart.", f"{plural(added, 'invoice')} added.")

    @router.post("/employerportal/cart/remove")
    async def remove(request: Request, here: Person, invoice: Annotated[list[str], Form()] = [], only: Text = "", back: Text = "") -> Response:  # noqa: B006
        async with service.app.begin(here.practice_id) as tx:
            removed = await cart.remove(tx, here, [only] if only else invoice[: cart.LARGEST])
        return redirect(request, own_page(back), "Removed." if removed else "", f"{plural(removed, 'invoice')} left your cart.")

    @router.get("/employerportal/cart")
    async def show_cart(request: Request, here: Person) -> Response:
        async with service.app.begin(here.practice_id) as tx:
            basket = await cart.read(tx, here)
        today = local_date(service.clock.business(), request.state.practice["zone"])
        return page(request, "checkout/cart.html.j2", here=here, cart=basket, steps=STEPS, words=words, today=today)

    @router.post("/employerportal/cart/pay")
    async def proceed(request: Request, here: Person, once: Text = "") -> Response:
        return await _proceed(request, here, once)

    async def _proceed(request: Request, here: Here, once: str) -> Response:
        async with service.app.begin(here.practice_id) as tx:
            await must_pay(tx, here)
        # Two presses of one form are one attempt.
        attempt_id = ids.derived("attempt", here.practice_id, here.person_id, once) if once else ids.new()
        try:
            address = await pay.start(till, here, attempt_id, _return(portal_url, attempt_id), request.state.practice["display_name"])
        except NothingToPay:
            return redirect(request, CART, "Nothing to pay.", "Your cart holds no invoice that can be paid now.", kind="info")
        except TooManyClaims:
            return redirect(request, CART, "Too many claims for one payment.", "Take an invoice out of the cart and pay it by itself.", kind="warn")
        except Unknown:
            await pay.let_go(till, here.practice_id, attempt_id, "unreachable")
            return redirect(request, CART, "Not yet.", SILENT, kind="warn")
        return redirect(request, address)

    @router.get("/employerportal/pay/{attempt_id}")
    async def where(request: Request, here: Person, attempt_id: str) -> Response:
        await _mine(here, attempt_id)
        attempt = await pay.returned(till, here.practice_id, attempt_id)
        if attempt.state == Attempt.UNKNOWN:
            attempt = await pay.clear_up(till, here.practice_id, attempt_id)
        return await _stand(request, here, attempt)

    @router.post("/employerportal/pay/{attempt_id}/confirm")
    async def confirm(request: Request, here: Person, attempt_id: str) -> Response:
        attempt = await _mine(here, attempt_id)
        async with service.app.begin(here.practice_id) as tx:
            await must_pay(tx, here)
        attempt = await pay.confirm(till, here.practice_id, attempt_id)
        if attempt.reason == "changed":
            await pay.clear_up(till, here.practice_id, attempt_id)
            return redirect(request, CART, "Nothing was charged.", "Something changed while you paid. Please look at your cart again.", kind="warn")
        return redirect(request, f"/employerportal/pay/{quote(attempt_id)}")

    @router.post("/employerportal/pay/{attempt_id}/cancel")
    async def cancel(request: Request, here: Person, attempt_id: str, to: Text = "") -> Response:
        await _mine(here, attempt_id)
        attempt = await pay.let_go(till, here.practice_id, attempt_id, "cancelled")
        if attempt.state in LIVE | {Attempt.CAPTURED}:
            return redirect(request, f"/employerportal/pay/{quote(attempt_id)}")
        if to == "cart":
            return redirect(request, CART)
        return redirect(request, HOME, "Cancelled.", "Nothing was charged. Your cart is kept.", kind="info")

    @router.post("/employerportal/pay/{attempt_id}/card")
    async def another_card(request: Request, here: Person, attempt_id: str, once: Text = "") -> Response:
        await _mine(here, attempt_id)
        attempt = await pay.let_go(till, here.practice_id, attempt_id, "cancelled")
        if attempt.state in LIVE | {Attempt.CAPTURED}:
            return redirect(request, f"/employerportal/pay/{quote(attempt_id)}")
        return await _proceed(request, here, once)

    async def _mine(here: Here, attempt_id: str) -> Any:
        async with service.app.begin(here.practice_id) as tx:
            attempt = await store.find(tx, here.practice_id, attempt_id)
        if attempt is None or attempt.account_id != here.account_id or attempt.person_id != here.person_id:
            raise Problem(404)
        return attempt

    async def _stand(request: Request, here: Here, attempt: Any) -> Response:
        """The page of where an attempt stands."""
        if attempt.state == Attempt.CAPTURED:
            return redirect(request, f"/employerportal/payments/{quote(attempt.attempt_id)}?paid=now")
        async with service.app.begin(here.practice_id) as tx:
            invoices = await store.invoices_of(tx, here.practice_id, attempt.attempt_id)
        common = {"here": here, "attempt": attempt, "invoices": invoices, "steps": STEPS, "words": words, "practice": request.state.practice}
        if attempt.state == Attempt.READY:
            return page(request, "checkout/confirm.html.j2", **common)
        if attempt.state in LIVE:
            return page(request, "checkout/processing.html.j2", many=many(len(invoices), "invoice"), **common)
        if attempt.state == Attempt.STARTED:
            return page(request, "checkout/card.html.j2", address=await _card_page(attempt), **common)
        return page(request, "checkout/ended.html.j2", ending=ENDINGS.get(attempt.reason, ENDINGS["released"]), **common)

    async def _card_page(attempt: Any) -> str:
        """The gateway's page of an attempt that is still there; empty while the gateway does not answer."""
        try:
            return await till.gateway.start(attempt.attempt_id, attempt.amount_cents, _return(portal_url, attempt.attempt_id), "", pay.BRANDS)
        except Unknown:
            return ""

    return router


def _return(portal_url: str, attempt_id: str) -> str:
    return f"{portal_url.rstrip('/')}/employerportal/pay/{quote(attempt_id)}"
