"""Logging in, changing and resetting a password (EP-06, EP-07). Whether an address is known can be told from neither words nor time."""

from dataclasses import dataclass
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from services.portal.identity import codes, failures, invitations, password, registration, sessions
from services.portal.identity import store as people
from services.portal.identity.gates import Gates
from services.portal.identity.store import Person, Recovery
from services.portal.identity.tables import Factor, Kind
from shared import outbox, sealing

WRONG = "E-mail or password is not right"
UNFINISHED = "Your registration is not finished. Open the link of your invitation to go on"
USED_BEFORE = "This is one of your last four passwords. Choose another one"
DEAD = "This link no longer works"
ANSWER_DIFFERS = "The answer is not the one you gave"
Refusal = Literal["wrong", "locked", "unfinished"]


@dataclass(frozen=True)
class OpenReset:
    """A reset link that works, with the proof that is asked for beside it."""

    reset: codes.Reset
    person: Person
    recovery: Recovery
    practice_id: str
    sent_to: str | None


async def log_in(gates: Gates, email: str, typed: str, device: str) -> tuple[str | None, Refusal | None]:
    """A session's token, or why not. Ten failures in a row lock an address, known or not, from wherever they come."""
    now = gates.clock.system()
    async with gates.db.begin() as tx:
        person = await _employer(tx, email)
        hashes = await people.password_hashes(tx, person.person_id) if person else []
    right = await password.fits(typed, hashes[0] if hashes else None)
    async with gates.db.begin() as tx:
        if not right or person is None:
            return None, "locked" if await failures.add(tx, now, email) >= failures.LOCKED_AT else "wrong"
        if await failures.count(tx, email, lock=True) >= failures.LOCKED_AT:
            return None, "locked"
        # Read again: a reset may have changed it while the hash was computed.
        if await people.password_hashes(tx, (await people.lock(tx, person.person_id)).person_id) != hashes:
            return None, "wrong"
        await failures.clear(tx, email)
        if person.registered_at is None:
            return None, "unfinished"
        await registration.join(tx, gates.clock, person)
        return await sessions.begin(tx, now, person.person_id, device), None


async def forgot(gates: Gates, email: str) -> None:
    """Mails a reset link to a registered person; to anybody else nothing, after the same work."""
    now = gates.clock.system()
    async with gates.db.begin() as tx:
        person = await _employer(tx, email)
        made = await codes.make_reset(tx, now, person.person_id) if person and person.registered_at else None
        if person and made:
            token, reset_id = made
            letter = gates.letters.reset(await _practice_of(tx, person), person.person_id, reset_id, person.email, token, now + codes.RESET_GOOD)
            await outbox.append(tx, gates.clock.business(), [letter])
        else:
            sealing.seal(gates.letters.public_key, {"to": email, "link": gates.letters.page("reset/" + "0" * 43)})


async def open_reset(gates: Gates, token: str) -> OpenReset | None:
    """What a reset link asks for; none for a link that no longer works."""
    now = gates.clock.system()
    async with gates.db.begin() as tx:
        reset = await codes.reset_of(tx, now, token)
        if reset is None:
            return None
        person, recovery = await people.get(tx, reset.person_id), await people.recovery(tx, reset.person_id)
        if recovery is None:
            return None
        sent_to = await codes.newest_phone(tx, now, person.person_id, "reset")
        return OpenReset(reset, person, recovery, await _practice_of(tx, person), sent_to)


async def send_reset_code(gates: Gates, token: str) -> str | None:
    """Sends the code of a reset to the person's own number; words where that cannot be."""
    opened = await open_reset(gates, token)
    if opened is None or opened.recovery.phone is None:
        return DEAD
    return await send_code(gates, opened.person.person_id, "reset", opened.recovery.phone, opened.practice_id)


async def send_code(gates: Gates, person_id: str, purpose: Literal["registration", "reset"], phone: str, practice_id: str) -> str | None:
    """Sends six digits by text message; words where too many were sent."""
    async with gates.db.begin() as tx:
        await people.lock(tx, person_id)
        code = await codes.make(tx, gates.clock.system(), gates.secret, person_id, purpose, phone)
        if code is None:
            return codes.TOO_MANY
        letter = gates.letters.code(practice_id, person_id, code.code_id, purpose, phone, code.digits, code.expires_at)
        await outbox.append(tx, gates.clock.business(), [letter])
    return None


async def reset(gates: Gates, token: str, proof: str, new: str) -> dict[str, str]:
    """Sets a new password by link and proof; the words by field where that cannot be. Ends every session and a lock-out."""
    opened = await open_reset(gates, token)
    if opened is None:
        return {"": DEAD}
    now = gates.clock.system()
    person_id = opened.person.person_id
    if opened.recovery.kind is Factor.SMS:
        async with gates.db.begin() as tx:
            await people.lock(tx, person_id)
            wrong = await codes.check(tx, now, gates.secret, person_id, "reset", str(opened.recovery.phone), proof)
        if wrong:
            return {"proof": wrong} | _refused(new, opened.person.email)
    elif not await password.fits(password.plain_answer(proof), opened.recovery.answer_hash):
        async with gates.db.begin() as tx:
            again = await codes.reset_of(tx, now, token)
            left = await codes.count_try(tx, again) if again else 0
        return {"proof": f"{ANSWER_DIFFERS}. {codes.tries(left)}"} if left else {"": DEAD}
    if errors := _refused(new, opened.person.email):
        return errors
    async with gates.db.begin() as tx:
        hashes = await people.password_hashes(tx, person_id)
    if await password.fits_any(new, hashes):
        return {"password": USED_BEFORE}
    made = await password.hash_of(new)
    async with gates.db.begin() as tx:
        await people.lock(tx, person_id)
        if await codes.reset_of(tx, now, token) is None:
            return {"": DEAD}
        await people.set_password(tx, now, person_id, made)
        await codes.use(tx, now, person_id, "reset")
        await codes.use_resets(tx, now, person_id)
        await sessions.end_others(tx, person_id)
        await failures.clear(tx, opened.person.email)
    return {}


async def change_password(gates: Gates, person_id: str, session_id: str, current: str, new: str) -> dict[str, str]:
    """Sets a new password for who is logged in and knows the current one; the words by field where not. Ends all other sessions."""
    now = gates.clock.system()
    async with gates.db.begin() as tx:
        person = await people.get(tx, person_id)
        hashes = await people.password_hashes(tx, person_id)
    if not await password.fits(current, hashes[0]):
        # Whoever finds a browser left open gets no more tries than at the log-in page.
        async with gates.db.begin() as tx:
            if await failures.add(tx, now, person.email) >= failures.LOCKED_AT:
                await sessions.end_others(tx, person_id)
        return {"current": "This is not your current password"}
    if errors := _refused(new, person.email):
        return errors
    if await password.fits_any(new, hashes):
        return {"password": USED_BEFORE}
    made = await password.hash_of(new)
    async with gates.db.begin() as tx:
        if await failures.count(tx, person.email, lock=True) >= failures.LOCKED_AT:
            return {"current": "This is not your current password"}
        await failures.clear(tx, person.email)
        await people.set_password(tx, now, person_id, made)
        await codes.use_resets(tx, now, person_id)
        await sessions.end_others(tx, person_id, session_id)
    return {}


def _refused(new: str, email: str) -> dict[str, str]:
    words = password.problem(new, email)
    return {"password": words} if words else {}


async def _employer(tx: AsyncConnection, email: str) -> Person | None:
    person = await people.find(tx, email)
    return person if person and person.kind is Kind.EMPLOYER else None


async def _practice_of(tx: AsyncConnection, person: Person) -> str:
    """The practice whose name a mail to this person carries."""
    places = await invitations.places_of(tx, person.person_id)
    here = [place.practice_id for place in places]
    return str(person.start_practice_id if person.start_practice_id in here or not here else here[0])
