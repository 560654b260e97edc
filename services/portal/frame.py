"""The frame of every employer's page: the practice's brand, the account, the cart, the person's menu."""

from typing import Any

from fastapi import Request
from sqlalchemy import text

from services.portal.identity import sessions
from services.portal.identity.gates import gates_of
from services.portal.identity.here import CHOOSE, HOME, LOG_OUT, LOGIN, STAY, Here
from services.portal.identity.sessions import Session
from shared.http import Problem, way_back
from shared.service import Service
from shared.web import use
from shared.web.brand import Colours
from shared.web.frame import Idle, Link, Visitor
from shared.web.show import moment

NAV = (Link("Home", HOME), Link("Payments", "/employerportal/payments"), Link("Help", "/employerportal/help"))
MENU = (
    Link("Profile", "/employerportal/profile"),
    Link("Security", "/employerportal/security"),
    Link("Sessions and devices", "/employerportal/sessions"),
    Link("Log out", LOG_OUT, post=True),
)
CART = "/employerportal/cart"
KEPT = "Your cart is kept."
_FRAME = text(
    "SELECT p.body AS practice, a.name AS account, cart.invoices AS in_cart, cart.cents AS cart_cents,"
    " (SELECT count(*) FROM memberships WHERE person_id = :person_id) AS accounts"
    " FROM practices p JOIN accounts a ON a.practice_id = p.practice_id AND a.account_id = :account_id,"
    " LATERAL (SELECT count(*) AS invoices, coalesce(sum(c.seen_cents), 0)::bigint AS cents"
    "   FROM carts c JOIN invoices i ON i.practice_id = c.practice_id AND i.invoice_id = c.invoice_id"
    "   WHERE c.practice_id = :practice_id AND c.person_id = :person_id AND c.account_id = :account_id AND i.status NOT IN ('closed', 'pending')"
    "   AND NOT EXISTS (SELECT 1 FROM live_invoices l WHERE l.practice_id = i.practice_id AND l.invoice_id = i.invoice_id)"
    "   AND NOT EXISTS (SELECT 1 FROM payment_marks m WHERE m.practice_id = i.practice_id AND m.invoice_id = i.invoice_id)) AS cart"
    " WHERE p.practice_id = :practice_id"
)


async def dress(request: Request, here: Here) -> None:
    """Sets the frame around whatever page answers this request."""
    service: Service = request.app.state.service
    async with service.app.begin(here.practice_id) as tx:
        names = {"practice_id": here.practice_id, "account_id": here.account_id, "person_id": here.person_id}
        row = (await tx.execute(_FRAME, names)).one_or_none()
    if row is None:
        raise Problem(503, "This account is not here yet", "It arrives within seconds. Please try again.", headers={"Retry-After": "5"})
    cart = Link(f"Cart, {row.in_cart} {'invoice' if row.in_cart == 1 else 'invoices'}", CART, count=row.in_cart)
    session = getattr(request.state, "session", None)
    request.state.practice, request.state.cart_cents = row.practice, row.cart_cents
    use(
        request,
        visitor(
            row.practice,
            nav=NAV,
            person=here.name,
            menu=MENU,
            account=row.account,
            switch=CHOOSE if row.accounts > 1 else "",
            cart=cart,
            idle=_idle(request, session, row.practice["zone"]) if session else None,
        ),
    )


def visitor(practice: dict[str, Any], **around: Any) -> Visitor:
    """A frame in a practice's brand, from the body of its state; also for pages before log-in."""
    look = practice["brand"]
    logo = f"/employerportal/logo/{practice['practice_id']}/{look['logo_id']}" if look["logo_id"] else ""
    return Visitor(
        practice["display_name"],
        brand=Colours(look["accent"], look["accent_on"], look["accent_edge"], look["accent_soft"]),
        home=HOME,
        logo=logo,
        logo_alt=look["logo_alt"],
        phone=practice["phone"],
        hours=practice["hours"],
        **around,
    )


def _idle(request: Request, session: Session, zone: str) -> Idle:
    """The warning of the page around this request: 2 minutes before the session ends, by idleness or by its age."""
    gates = gates_of(request.app.state.service)
    now = gates.clock.system()
    end = min(now + gates.limits.idle, session.began_at + gates.limits.absolute)
    seconds = max(0, int((end - now).total_seconds()))
    before = int(sessions.WARNED.total_seconds())
    leave = f"{LOGIN}?next={way_back(request, HOME)}&ended=yes"
    at = moment(end, zone).split(", ")[-1]
    return Idle(warn=max(0, seconds - before), end=seconds, stay=STAY, leave=leave, log_out=LOG_OUT, ends=at, kept=KEPT)
