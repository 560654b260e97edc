"""Posting's staff pages: money, a payment batch with its transactions, a deposit, posting a payer's answer, a claim's account."""

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request, Response

from services.posting import batches, read
from services.posting.domain.batch import DepositType, NotBalanced
from services.posting.domain.claim import Claim, Payer
from services.posting.domain.payment import LineAnswer, Refused
from services.posting.handlers.remittance import post_payment
from services.posting.rows import procedures_of
from shared import money
from shared.auth import Staff, staff
from shared.clock import local_date
from shared.http import Problem, whole_number
from shared.idempotency import Answer, Reused, begin, finish, pressed
from shared.keyset import decode_cursor, make_page
from shared.service import Service
from shared.web import page, redirect
from shared.web.show import parse_day

Reader = Annotated[Staff, Depends(staff("payments:read"))]
Poster = Annotated[Staff, Depends(staff("payments:post"))]
TYPES = [(kind.value, kind.value.upper() if kind is DepositType.EFT else kind.value.capitalize()) for kind in DepositType]
WAITING = 12
USED = "This form was already used: {}. Look at {} first, then send this only if it is still to be done"
KINDS = {"corporate": "employer", "insurance": "insurance", "patient": "patient"}


def make_router(service: Service) -> APIRouter:
    """The router of all of posting's pages."""
    router = APIRouter(include_in_schema=False)

    @router.get("/staff/{practice_id}/money")
    async def overview(request: Request, practice_id: str, who: Reader, state: str = "", cursor: str = "") -> Response:
        state = state if state in ("open", "closed") else ""
        at = decode_cursor(cursor, int)
        async with service.app.begin(practice_id) as tx:
            listed = make_page(await read.batches(tx, practice_id, state, at), read.PAGE, at, lambda row: (row.number,))
        return page(request, "money.html.j2", where="Money", listed=listed, summary=read.summary, state=state, who=who)

    @router.get("/staff/{practice_id}/money/batches/{batch_id}")
    async def batch(request: Request, practice_id: str, batch_id: str, who: Reader, cursor: str = "") -> Response:
        return await _batch_page(request, practice_id, batch_id, who, {}, cursor)

    async def _batch_page(request: Request, practice_id: str, batch_id: str, who: Staff, errors: dict[str, str], cursor: str = "") -> Response:
        at = decode_cursor(cursor, str)
        async with service.app.begin(practice_id) as tx:
            found = await read.one_batch(tx, practice_id, batch_id)
            if found is None:
                raise Problem(404)
            listed = make_page(await read.transactions(tx, practice_id, batch_id, at), read.PAGE, at, lambda row: (row.payment_id,))
            home = await read.practice(tx, practice_id)
            posting = found.route == "manual" and found.state == "open"
            waiting = await read.awaiting(tx, practice_id, "insurance", WAITING + 1) if posting else []
        names = {each["bank_account_id"]: each["name"] for each in home.bank_accounts} if home else {}
        context = {"batch": found, "listed": listed, "sums": read.summary(found), "bank": names.get(found.bank_account_id, "UNKNOWN")}
        context |= {"waiting": waiting[:WAITING], "more": len(waiting) > WAITING}
        return page(request, "batch.html.j2", status=422 if errors else 200, where="Money", who=who, errors=errors, **context)

    @router.post("/staff/{practice_id}/money/batches/{batch_id}/close")
    async def close(request: Request, practice_id: str, batch_id: str, who: Poster) -> Response:
        try:
            async with service.app.begin(practice_id) as tx:
                await batches.close_batch(tx, practice_id, batch_id, service.clock.business())
        except NotBalanced as error:
            return await _batch_page(request, practice_id, batch_id, who, {"close": str(error)})
        return redirect(request, f"/staff/{practice_id}/money", "Closed.", "The payment batch is in balance and closed.")

    @router.get("/staff/{practice_id}/money/deposits/new")
    async def new_deposit(request: Request, practice_id: str, who: Poster) -> Response:
        async with service.app.begin(practice_id) as tx:
            home = await _home(tx, practice_id)
        day = local_date(service.clock.business(), home.zone)
        values = {"day": f"{day:%m/%d/%Y}", "account": "", "amount": "", "target": "", "check": "", "type": "check", "notes": "", "by_site": ""}
        return _deposit_page(request, home, values, {})

    def _deposit_page(request: Request, home: Any, values: dict[str, str], errors: dict[str, str]) -> Response:
        accounts = [(each["bank_account_id"], f"{each['name']} ··{each['last4']}") for each in home.bank_accounts]
        status = 422 if errors else 200
        return page(request, "deposit.html.j2", status=status, where="Money", home=home, values=values, errors=errors, accounts=accounts, types=TYPES)

    @router.post("/staff/{practice_id}/money/deposits/new")
    async def create_deposit(
        request: Request,
        practice_id: str,
        who: Poster,
        day: Annotated[str, Form()] = "",
        account: Annotated[str, Form()] = "",
        amount: Annotated[str, Form()] = "",
        target: Annotated[str, Form()] = "",
        check: Annotated[str, Form()] = "",
        type: Annotated[str, Form()] = "check",
        by_site: Annotated[str, Form()] = "",
        notes: Annotated[str, Form()] = "",
        once: Annotated[str, Form()] = "",
    ) -> Response:
        values = {
            "day": day,
            "account": account,
            "amount": amount,
            "target": target,
            "check": check,
            "type": type,
            "notes": notes,
            "by_site": by_site,
        }
        errors: dict[str, str] = {}
        cents = {name: _cents(values[name], name, errors) for name in ("amount", "target")}
        deposit_date: date | None = None
        try:
            deposit_date = parse_day(day)
        except ValueError as error:
            errors["day"] = str(error)
        if type not in {kind for kind, _ in TYPES}:
            errors["type"] = "Choose how the bank got the money"
        async with service.app.begin(practice_id) as tx:
            home = await _home(tx, practice_id)
        if not errors and deposit_date:
            key = pressed(practice_id, "deposit form", [*values.items(), ("once", once)], who.sub)
            try:
                async with service.app.begin(practice_id) as tx:
                    if kept := await begin(tx, key):
                        return redirect(request, kept.body["to"], "Saved.", "The deposit and its payment batch are open.")
                    batch_id = await batches.create_deposit(
                        tx,
                        practice_id,
                        deposit_date=deposit_date,
                        today=local_date(service.clock.business(), home.zone),
                        bank_account_id=account or None,
                        amount_cents=cents["amount"],
                        kind=DepositType(type),
                        by_site=bool(by_site),
                        notes=notes[:500],
                        target_cents=cents["target"],
                        check_number=check[:40] or None,
                        user=who.user_name,
                    )
                    to = f"/staff/{practice_id}/money/batches/{batch_id}"
                    await finish(tx, key, Answer(303, {"to": to}))
                return redirect(request, to, "Saved.", "The deposit and its payment batch are open.")
            except NotBalanced as error:
                errors[error.field] = str(error)
            except Reused:
                errors[""] = USED.format("a deposit was saved with it", "the payment batches")
        return _deposit_page(request, home, values, errors)

    @router.get("/staff/{practice_id}/money/batches/{batch_id}/post")
    async def post_form(request: Request, practice_id: str, batch_id: str, who: Poster, claim: str = "") -> Response:
        return await _post_page(request, practice_id, batch_id, claim.strip(), {}, {})

    async def _post_page(
        request: Request, practice_id: str, batch_id: str, claim_id: str, values: dict[str, str], errors: dict[str, str]
    ) -> Response:
        async with service.app.begin(practice_id) as tx:
            found = await read.one_batch(tx, practice_id, batch_id)
            account = await read.account(tx, practice_id, claim_id)
            lines = await read.columns(tx, practice_id, claim_id)
        if found is None:
            raise Problem(404)
        if account is None or account.content is None:
            missing = f"There is no claim {claim_id}" if claim_id else "Enter a claim number"
            return await _batch_page(request, practice_id, batch_id, request.state.staff, {"claim": missing})
        asked = Payer(account.current_kind, account.current_payer_id)
        open_lines = [line for line in lines if (line.kind, line.payer_id) == asked and line.balance_cents]
        context = {"batch": found, "sums": read.summary(found), "account": account, "lines": open_lines, "asked": asked, "kinds": KINDS}
        context["procedures"] = procedures_of(account.content)
        return page(request, "post.html.j2", status=422 if errors else 200, where="Money", values=values, errors=errors, **context)

    @router.post("/staff/{practice_id}/money/batches/{batch_id}/post")
    async def post(request: Request, practice_id: str, batch_id: str, who: Poster) -> Response:
        sent = [(name, str(value)) for name, value in (await request.form()).multi_items()]
        form = dict(sent)
        claim_id, errors, lines = form.get("claim", ""), dict[str, str](), list[LineAnswer]()
        for charge_id in [name.removeprefix("paid-") for name, _ in sent if name.startswith("paid-")]:
            if not (form[f"paid-{charge_id}"].strip() or form.get(f"adjusted-{charge_id}", "").strip()):
                continue  # nothing was said of it: nobody's answer moves it to the next payer
            paid = _cents(form[f"paid-{charge_id}"] or "0", f"paid-{charge_id}", errors)
            adjusted = _cents(form.get(f"adjusted-{charge_id}") or "0", f"adjusted-{charge_id}", errors)
            group, _, code = (form.get(f"reason-{charge_id}") or "CO 45").strip().upper().partition(" ")
            if not (group.isalpha() and len(group) == 2 and code.isalnum() and len(code) <= 5):
                errors[f"reason-{charge_id}"] = "Enter a group and a reason code, like CO 45"
            lines.append(LineAnswer(charge_id, paid, adjusted, group, code))
        if not errors:
            key = pressed(practice_id, f"post form {batch_id}", sent, who.sub)
            to = f"/staff/{practice_id}/money/batches/{batch_id}"
            try:
                async with service.app.begin(practice_id) as tx:
                    if kept := await begin(tx, key):
                        return redirect(request, to, "Posted.", kept.body["words"])
                    seen = whole_number(form.get("seen", ""))
                    after = await post_payment(tx, service.clock, practice_id, batch_id, claim_id, lines, who.user_name, seen)
                    words = f"Claim {claim_id} is posted; {money.usd(after.open_cents)} is open{_now_asked(after)}."
                    await finish(tx, key, Answer(303, {"words": words}))
                return redirect(request, to, "Posted.", words)
            except Refused as error:
                errors[f"paid-{error.charge_id}" if error.charge_id else ""] = str(error)
            except Reused:
                errors[""] = USED.format("a payment was posted with it", "the batch")
        return await _post_page(request, practice_id, batch_id, claim_id, form, errors)

    @router.get("/staff/{practice_id}/money/claims/{claim_id:path}")
    async def claim_account(request: Request, practice_id: str, claim_id: str, who: Reader, cursor: str = "") -> Response:
        at = decode_cursor(cursor, int)
        async with service.app.begin(practice_id) as tx:
            account = await read.account(tx, practice_id, claim_id)
            lines = await read.columns(tx, practice_id, claim_id)
            listed = make_page(await read.entries(tx, practice_id, claim_id, at), read.PAGE, at, lambda row: (row.no,))
        if account is None or account.content is None:
            raise Problem(404)
        return page(request, "account.html.j2", where="Money", account=account, lines=lines, listed=listed, kinds=KINDS)

    return router


async def _home(tx: Any, practice_id: str) -> Any:
    home = await read.practice(tx, practice_id)
    if home is None:
        raise Problem(404)
    return home


def _cents(text: str, name: str, errors: dict[str, str]) -> int:
    try:
        return money.parse(text)
    except money.BadAmount as error:
        errors[name] = str(error)
        return 0


def _now_asked(claim: Claim) -> str:
    """Whom a posted claim asks now, where it asks anybody."""
    return f" and is asked of {claim.current.kind} {claim.current.payer_id} now" if claim.open_cents and claim.current else ""
