"""Registration, one page per step (EP-05). Each page asks the rows where this registration stands; nothing is kept in the browser."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request, Response

from services.portal.identity import codes, password, registration, sessions, signin
from services.portal.identity import store as people
from services.portal.identity.addresses import show_phone, us_phone
from services.portal.identity.gates import gates_of
from services.portal.identity.here import HOME, LOGIN
from services.portal.identity.password import WORDS
from services.portal.identity.places import Home, home, remember, welcome
from services.portal.identity.registration import STEPS, DeadLink, Registered, Registration, Step
from services.portal.identity.session import keep
from services.portal.identity.store import AddressTaken, Person, Recovery
from services.portal.identity.tables import Factor
from services.portal.identity.terms import TERMS, VERSION
from shared.http import Problem, SeeOther, public
from shared.service import Service
from shared.web import page, redirect

REGISTER = "/employerportal/register/{token}"
QUESTIONS = (
    "What was the name of your first pet?",
    "In what city did your parents meet?",
    "What was the model of your first car?",
    "What is the middle name of your oldest cousin?",
    "What was the name of your first teacher?",
)
SHORTEST_ANSWER = 3
PAGES = {
    Step.EMAIL: "register_email",
    Step.PASSWORD: "register_password",
    Step.RECOVERY: "register_recovery",
    Step.ACCOUNT: "register_account",
    Step.TERMS: "register_terms",
}


def make_router(service: Service) -> APIRouter:
    router = APIRouter(prefix=REGISTER, include_in_schema=False, dependencies=[Depends(public)])
    gates = gates_of(service)

    async def where(request: Request, token: str) -> Registration:
        """Where this link's registration stands; leads to log-in when it is done, refuses in words when it cannot go on."""
        practice_id: str | None = None
        found = None
        taken = False
        try:
            async with service.app.begin() as tx:
                found = await registration.opened(tx, token)
            practice_id = found.link.practice_id
        except Registered as done:
            remember(request, done.practice_id)
            raise SeeOther(f"{LOGIN}?practice={done.practice_id}") from done
        except DeadLink as dead:
            practice_id = dead.practice_id
        except AddressTaken:
            taken = True
        asked = await welcome(request, practice_id)
        if taken:
            raise Problem(409, people.NOT_HERE)
        if found is None:
            raise Problem(410, signin.DEAD, f"Please ask {f'{asked.call},' if asked.call else 'the practice'} for a new invitation.")
        remember(request, found.link.practice_id)
        return found

    async def person_of(request: Request, token: str, step: Step) -> tuple[Registration, Person]:
        """For a form of this step: the person; a form that comes too early leads to the step that is due."""
        found = await where(request, token)
        if found.person is None or found.step < step:
            raise SeeOther(REGISTER.format(token=token))
        return found, found.person

    async def show(
        request: Request, token: str, found: Registration, step: Step, errors: dict[str, str] | None = None, values: dict[str, str] | None = None
    ) -> Response:
        async with service.app.begin() as tx:
            asked: Home = await home(tx, found.link.practice_id)
            sent_to = await codes.newest_phone(tx, service.clock.system(), found.person.person_id, "registration") if found.person else None
        known = {"method": "sms", "phone": show_phone(sent_to or found.contact.phone or ""), "question": QUESTIONS[0], "code": "", "answer": ""}
        base = REGISTER.format(token=token)
        before = int(step) - (2 if step is Step.TERMS and len(found.open_to) == 1 else 1)
        return page(
            request,
            f"identity/{PAGES[step]}.html.j2",
            status=422 if errors else 200,
            base=base,
            home=asked,
            found=found,
            steps=STEPS,
            step=int(step),
            back=f"{base}?step={before}" if step > Step.PASSWORD else "",
            errors=errors or {},
            values=known | (values or {}),
            sent=show_phone(sent_to) if sent_to else "",
            questions=[(each, each) for each in QUESTIONS],
            hint=WORDS,
            terms=TERMS,
            version=VERSION,
        )

    @router.get("")
    async def opened(request: Request, token: str, step: str = "") -> Response:
        """The step that is due, or an earlier one to do again."""
        found = await where(request, token)
        wanted = Step(int(step)) if step in {"2", "3", "4"} else found.step
        return await show(request, token, found, min(wanted, found.step))

    @router.get("/later")
    async def later(request: Request, token: str) -> Response:
        await where(request, token)
        return page(request, "identity/register_later.html.j2", base=REGISTER.format(token=token))

    @router.post("/email")
    async def confirm(request: Request, token: str) -> Response:
        found = await where(request, token)
        try:
            async with service.app.begin() as tx:
                await registration.confirm_email(tx, service.clock.system(), found)
        except AddressTaken as taken:
            raise Problem(409, str(taken)) from taken
        return redirect(request, REGISTER.format(token=token))

    @router.post("/password")
    async def set_password(request: Request, token: str, new: Annotated[str, Form(alias="password")] = "") -> Response:
        found, person = await person_of(request, token, Step.PASSWORD)
        async with service.app.begin() as tx:
            hashes = await people.password_hashes(tx, person.person_id)
        wrong = password.problem(new, person.email)
        if not wrong and await password.fits_any(new, hashes[1:]):
            wrong = signin.USED_BEFORE
        if wrong:
            return await show(request, token, found, Step.PASSWORD, {"password": wrong})
        if not hashes or not await password.fits(new, hashes[0]):
            made = await password.hash_of(new)
            async with service.app.begin() as tx:
                await people.set_password(tx, service.clock.system(), person.person_id, made)
        return redirect(request, REGISTER.format(token=token))

    @router.post("/code")
    async def send(request: Request, token: str, phone: Annotated[str, Form()] = "") -> Response:
        found, person = await person_of(request, token, Step.RECOVERY)
        number = us_phone(phone)
        wrong = (
            await signin.send_code(gates, person.person_id, "registration", number, found.link.practice_id)
            if number
            else "Enter a US phone number with 10 digits"
        )
        if wrong:
            return await show(request, token, found, Step.RECOVERY, {"phone": wrong}, {"phone": phone})
        return redirect(request, f"{REGISTER.format(token=token)}?step=3", "The code is on its way.", "Enter it below within 10 minutes.")

    @router.post("/recovery")
    async def recover(
        request: Request,
        token: str,
        method: Annotated[str, Form()] = "",
        phone: Annotated[str, Form()] = "",
        code: Annotated[str, Form()] = "",
        question: Annotated[str, Form()] = "",
        answer: Annotated[str, Form()] = "",
    ) -> Response:
        found, person = await person_of(request, token, Step.RECOVERY)
        values = {"method": method, "phone": phone, "code": code, "question": question, "answer": answer}
        errors: dict[str, str] = {}
        chosen: Recovery | None = None
        if method == Factor.SMS:
            number = us_phone(phone)
            if number is None:
                errors["phone"] = "Enter a US phone number with 10 digits"
            async with service.app.begin() as tx:
                await people.lock(tx, person.person_id)
                wrong = await codes.check(tx, service.clock.system(), gates.secret, person.person_id, "registration", number or "", code)
            if wrong and (number or code):
                errors["code"] = wrong
            chosen = Recovery(Factor.SMS, number, None, None)
        elif method == Factor.QUESTION:
            plain = password.plain_answer(answer)
            if question not in QUESTIONS:
                errors["question"] = "Choose a question"
            if len(plain) < SHORTEST_ANSWER:
                errors["answer"] = f"Enter an answer of at least {SHORTEST_ANSWER} letters or digits"
            if len(answer) > password.LONGEST:
                errors["answer"] = password.TOO_LONG
            if not errors:
                chosen = Recovery(Factor.QUESTION, None, question, await password.hash_of(plain))
        else:
            errors["method"] = "Choose how we can reach you"
        if errors or chosen is None:
            return await show(request, token, found, Step.RECOVERY, errors, values)
        async with service.app.begin() as tx:
            await people.set_recovery(tx, service.clock.system(), person.person_id, chosen)
            await codes.use(tx, service.clock.system(), person.person_id, "registration")
        return redirect(request, REGISTER.format(token=token))

    @router.post("/location")
    async def location(request: Request, token: str, practice_id: Annotated[str, Form()] = "") -> Response:
        found, person = await person_of(request, token, Step.ACCOUNT)
        if practice_id not in dict(found.locations):
            return await show(request, token, found, Step.ACCOUNT, {"practice_id": "Choose a provider location"})
        only = [each.contact_id for each in found.open_to if each.practice_id == practice_id]
        async with service.app.begin() as tx:
            await people.start_at(tx, person.person_id, practice_id, only[0] if len(only) == 1 else None)
        return redirect(request, REGISTER.format(token=token))

    @router.post("/account")
    async def account(request: Request, token: str, contact_id: Annotated[str, Form()] = "") -> Response:
        found, person = await person_of(request, token, Step.ACCOUNT)
        wanted = next((each for each in found.open_to if each.contact_id == contact_id), None)
        if wanted is None:
            return await show(request, token, found, Step.ACCOUNT, {"contact_id": "Choose an account"})
        async with service.app.begin() as tx:
            await people.start_at(tx, person.person_id, wanted.practice_id, wanted.contact_id)
        return redirect(request, REGISTER.format(token=token))

    @router.post("/elsewhere")
    async def elsewhere(request: Request, token: str) -> Response:
        """Back to the choice of a location."""
        _, person = await person_of(request, token, Step.ACCOUNT)
        async with service.app.begin() as tx:
            await people.start_at(tx, person.person_id, None, None)
        return redirect(request, f"{REGISTER.format(token=token)}?step=4")

    @router.post("/terms")
    async def sign(request: Request, token: str, agree: Annotated[str, Form()] = "") -> Response:
        found, person = await person_of(request, token, Step.TERMS)
        if not agree:
            return await show(request, token, found, Step.TERMS, {"agree": "Agree to the terms to continue"})
        device = sessions.device_words(request.headers.get("user-agent", ""))
        try:
            async with service.app.begin() as tx:
                session = await registration.complete(tx, service.clock, gates.limits, found, device)
        except Registered as done:
            raise SeeOther(f"{LOGIN}?practice={done.practice_id}") from done
        except DeadLink as dead:
            raise Problem(410, signin.DEAD, "Please ask the practice for a new invitation.") from dead
        keep(request, session)
        return redirect(request, HOME, f"Welcome, {person.name}.", "You are registered. Here are your invoices.")

    return router
