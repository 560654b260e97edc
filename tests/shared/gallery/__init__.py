"""A little service that shows every part of the pages: for the tests, and for looking at (`python -m tests.shared.gallery`)."""

from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Form, Request, Response

from shared.application import make_app
from shared.http import Problem, public
from shared.web import make_web, page, redirect, use
from shared.web.brand import brand
from shared.web.frame import Desk, Idle, Link, Visitor

ROWS = [
    ("100517", "Nov 16, 2026", "Dec 16, 2026", "Due", "", 124000, 0, 124000, ""),
    ("100498", "Nov 9, 2026", "Dec 9, 2026", "In-Review", "", 293050, 50000, 236550, ""),
    ("100482", "Nov 2, 2026", "Dec 2, 2026", "Due", "", 341800, 0, 341800, "in"),
    ("100461", "Oct 26, 2026", "Nov 25, 2026", "Pending", "", 96000, 0, 96000, "no"),
    ("100437", "Oct 12, 2026", "Nov 11, 2026", "Overdue", "6 days", 412775, 150000, 262775, "in"),
    ("100388", "Sep 14, 2026", "Oct 14, 2026", "Closed", "", 1294000, 1294000, 0, "no"),
]
LOGO = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 36 36'%3E%3Crect width='36' height='36' rx='9' fill='%230B5E6B'/%3E%3C/svg%3E"  # noqa: E501
)
VISITOR = Visitor(
    practice="Saltmarsh Occupational Health",
    brand=brand("#0B5E6B"),
    home="/gallery",
    logo=LOGO,
    logo_alt="Saltmarsh",
    phone="(555) 010-0142",
    hours="Mon–Fri 8:00–5:00 Eastern",
    nav=(Link("Home", "/gallery"), Link("Payments", "/gallery/payments"), Link("Help", "/gallery/help")),
    person="Paula Schaefer",
    menu=(Link("Profile", "/profile"), Link("Log out", "/log-out", post=True)),
    account="Kuvalis Warehousing & Logistics, Inc.",
    switch="/switch",
    cart=Link("Cart, 3 invoices", "/cart", count=3),
    idle=Idle(780, 900, "/gallery/stay", "/gallery/log-in", "/log-out", "10:23 AM Eastern", "Your cart is kept."),
)
AREAS = (Link("Accounts", "#a"), Link("Invoices", "#i"), Link("Holds", "#h"), Link("Money", "#m"), Link("Mails", "#n"))
DESK = Desk("Saltmarsh Occupational Health", areas=AREAS, person="dokafor", roles="billing admin")
ERRORS = {"refund": "Enter 2,627.75 or less. That is what was paid", "reason": "Choose a dispute reason"}


def make_gallery(public_url: str = "http://testserver") -> FastAPI:
    app = make_app(make_web("gallery", Path(__file__).parent, secret="a secret of the tests", public_url=public_url))
    everybody: dict[str, Any] = {"dependencies": [Depends(public)]}

    @app.get("/gallery", **everybody)
    async def visitor(request: Request, wrong: bool = False) -> Response:
        use(request, VISITOR)
        return page(request, "visitor.html.j2", where="Home", rows=ROWS, errors=ERRORS if wrong else {})

    @app.get("/gallery/desk", **everybody)
    async def desk(request: Request) -> Response:
        use(request, DESK)
        return page(request, "desk.html.j2", where="Accounts", errors={}, counts={"Holds": 7})

    @app.get("/gallery/log-in", **everybody)
    async def log_in(request: Request, wrong: bool = False) -> Response:
        use(request, VISITOR)
        return page(request, "log_in.html.j2", errors={"email": "E-mail or password is not right"} if wrong else {})

    @app.get("/gallery/task", **everybody)
    async def task(request: Request) -> Response:
        use(request, VISITOR)
        return page(request, "task_page.html.j2", errors={})

    @app.post("/gallery/task", **everybody)
    async def send(request: Request, reason: Annotated[str, Form()] = "") -> Response:
        use(request, VISITOR)
        if not reason:
            return page(request, "task_page.html.j2", status=422, errors={"reason": "Choose a dispute reason"})
        return redirect(request, "/gallery", "Dispute sent.", "Saltmarsh answers by Nov 23.")

    @app.get("/gallery/broken", **everybody)
    async def broken(request: Request) -> Response:
        use(request, VISITOR)
        raise RuntimeError("nobody outside may read this")

    @app.get("/gallery/refused", **everybody)
    async def refused(request: Request) -> Response:
        use(request, DESK)
        raise Problem(409, "Batch 20931 is assigned to mchen", "Ask mchen to reassign it.", holder="mchen")

    @app.get("/gallery/missing", **everybody)
    async def missing(request: Request) -> Response:
        raise Problem(404)

    return app
