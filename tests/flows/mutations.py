"""Rules that seem to be more than is needed, each taken out of the real code; without any of them a schedule breaks a promise.

One row per rule of "how the flows close" (docs/architecture/events.md). Each names a flow and the seed of a schedule that finds it missing.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from pytest import MonkeyPatch
from sqlalchemy import bindparam, text

from services.contracts import charging
from services.contracts.domain import charge as charge_rules
from services.contracts.domain.charge import COUNTED
from services.contracts.handlers import charges
from services.invoicing.domain import money as line_money
from services.notifier import consumers, copies, sender
from services.notifier.sender import Sender
from services.portal import marks
from services.portal.checkout import pay, store
from services.portal.invoices import payable, standing
from services.posting.domain import content as content_rules
from services.posting.domain import payment as payment_rules
from services.posting.handlers import money as posting_money
from shared.gateway import Answer


@dataclass(frozen=True)
class Mutation:
    """A rule, how it is taken out, and the schedule that then breaks; `breaks` is in the words of what is found."""

    rule: str
    take_out: Callable[[MonkeyPatch], None]
    flow: str
    seed: int
    breaks: str


def write_off_of_nothing(patch: MonkeyPatch) -> None:
    write_off = payment_rules.write_off

    def named_if_any(claim: Any, write_off_id: str, charge_id: str, cents: int) -> Any:
        after, entries = write_off(claim, write_off_id, charge_id, cents)
        return (after, entries) if any(entry.amount_cents for entry in entries) else (claim, [])

    patch.setattr(payment_rules, "write_off", named_if_any)


def release_first(patch: MonkeyPatch) -> None:
    clear_up = pay.clear_up

    async def believe(till: Any, practice_id: str, attempt_id: str) -> Any:
        class Believed:
            ask = till.gateway.ask

            async def release(self, key: str) -> Answer:
                return Answer("released")

        return await clear_up(replace(till, gateway=Believed()), practice_id, attempt_id)

    patch.setattr(pay, "clear_up", believe)


def dispute_versions(patch: MonkeyPatch) -> None:
    without = "DELETE FROM dispute_marks m USING cases c WHERE c.practice_id = m.practice_id AND c.dispute_id = m.dispute_id"
    patch.setattr(marks, "_DISPUTED", without)
    free = payable._free
    patch.setattr(payable, "_free", lambda line, own: free(line, replace(own, open_cases=frozenset())))


def highest_version_named(patch: MonkeyPatch) -> None:
    patch.setattr(copies, "_NAMED", copies._NAMED.replace("greatest(", "least("))


def captures_and_disputes_read(patch: MonkeyPatch) -> None:
    async def not_noted(tx: Any, messages: Any) -> None:
        return

    patch.setattr(consumers, "_disputed", not_noted)
    patch.setattr(copies, "caught_up", lambda invoice, known: invoice is not None and (known is None or invoice["version"] >= known.version))


def skipped_is_said(patch: MonkeyPatch) -> None:
    end = Sender._end

    async def quiet(self: Any, tx: Any, mail: Any, outcome: str, *more: Any) -> None:
        if outcome == "skipped":
            await sender._change(tx, mail, state=outcome, reason=more[0])
        else:
            await end(self, tx, mail, outcome, *more)

    patch.setattr(Sender, "_end", quiet)


def balance_whole(patch: MonkeyPatch) -> None:
    def mixed(claim: Any, payer_id: str, balances: Any) -> Any:
        column = {line.charge_id: line for line in balances.lines if line.payer_id == payer_id} if balances else {}
        return {charge.charge_id: line_money._own(charge.amount_cents, column.get(charge.charge_id)) for charge in claim.charges}

    patch.setattr(line_money, "by_charge", mixed)


def line_names_payments(patch: MonkeyPatch) -> None:
    taken, free = payable._taken, payable._free
    patch.setattr(payable, "_taken", lambda line, invoice, own: taken(replace(line, named=invoice.named), invoice, own))
    patch.setattr(payable, "_free", lambda line, own: free(replace(line, pending=False), own))


def _own(counts: Callable[[Any, Any], int]) -> Any:
    return lambda balance, known: sum(counts(balance, charge) for charge in known if charge.status in COUNTED)


def captures_joined_with_balances(patch: MonkeyPatch) -> None:
    patch.setattr(charge_rules, "own_cents", _own(lambda balance, c: c.posted.credited_cents if c.posted else c.submitted_cents))


def credit_of_captures(patch: MonkeyPatch) -> None:
    def counts(balance: Any, charge: Any) -> int:
        return 0 if charge.posted and balance.version >= charge.posted.balances_version else int(charge.submitted_cents)

    patch.setattr(charge_rules, "own_cents", _own(counts))


def later_record_of_a_version(patch: MonkeyPatch) -> None:
    take = content_rules.take

    def first(claim: Any, content: Any) -> Any:
        return (claim, []) if claim.content and claim.content.order == content.order else take(claim, content)

    patch.setattr(content_rules, "take", first)


def content_the_payer_saw(patch: MonkeyPatch) -> None:
    def any_content(claim: Any, seen: Any) -> bool:
        return claim is not None and claim.content is not None

    patch.setattr(payment_rules, "ready", any_content)
    patch.setattr(posting_money, "ready", any_content)


def marks_belong_to_the_claim(patch: MonkeyPatch) -> None:
    here = " AND c.line_id IN (SELECT line_id FROM lines WHERE practice_id = :practice_id AND invoice_id IN :invoices)"
    captured, _, rest = standing._MARKS.text.partition(" UNION ALL SELECT 'claim'")
    by_line = f"{captured}{here} UNION ALL SELECT 'invoice'{rest.partition(chr(39) + 'invoice' + chr(39))[2]}"
    patch.setattr(standing, "_MARKS", text(by_line).bindparams(bindparam("invoices", expanding=True)))
    only = "INSERT INTO live_invoices (practice_id, invoice_id, attempt_id) SELECT practice_id, invoice_id, attempt_id FROM attempt_invoices"

    async def only_invoices(tx: Any, practice_id: str, attempt_id: str) -> None:
        await tx.execute(text(f"{only} WHERE attempt_id = :attempt_id"), {"attempt_id": attempt_id})

    patch.setattr(store, "take", only_invoices)


def same_locks(patch: MonkeyPatch) -> None:
    async def none(*args: Any) -> None:
        return

    patch.setattr(standing, "lock", none)


def looked_at_again(patch: MonkeyPatch) -> None:
    look_again = charges.look_again

    async def when_adjudicated(*args: Any) -> None:
        if sys._getframe(1).f_code.co_name == "adjudicated":
            await look_again(*args)

    patch.setattr(charges, "look_again", when_adjudicated)
    patch.setattr(charging, "look_again", when_adjudicated)


MUTATIONS = {
    each.take_out.__name__: each
    for each in (
        Mutation("a write-off is named also when nothing of it was open", write_off_of_nothing, "write-off and check", 1, "the re-issue"),
        Mutation("only the answer `released` ends an attempt", release_first, "two people, a call late", 0, "the processor took"),
        Mutation("a dispute's mark goes when both copies show the case", dispute_versions, "payment after a dispute", 3, "open dispute"),
        Mutation(
            "a mail waits for the highest version that anything named",
            highest_version_named, "mails, overdue", 1, "older than its facts",
        ),
        Mutation("a mail waits for captures and disputes that were read", captures_and_disputes_read, "mails", 8, "mail"),
        Mutation("a notice that is not sent is said", skipped_is_said, "contract, mails down for four days", 0, "still scheduled"),
        Mutation("a line takes posting's balance whole", balance_whole, "payment while invoicing is behind", 6, "false demand"),
        Mutation("a line names its payments, pending ones too", line_names_payments, "equal amounts", 1, "payable twice"),
        Mutation(
            "own captures count until the balance contains them",
            captures_joined_with_balances, "contract, the balance rises", 3, "above the balance",
        ),
        Mutation(
            "the later record of a version counts",
            later_record_of_a_version, "bill, the same version again", 0, "content of c1 differs",
        ),
        Mutation(
            "money waits for the content that its payer saw",
            content_the_payer_saw, "paid before posting has the version", 3, "asked of its payer again",
        ),
        Mutation(
            "a mark belongs to the claim, on whatever line",
            marks_belong_to_the_claim, "void and back during a call", 4, "payable twice",
        ),
        Mutation("what of an own capture is credit still counts", credit_of_captures, "contract, billed again after the charge", 1, "credit"),
        Mutation("payment and dispute take the same locks", same_locks, "dispute and payment at one moment", 0, "open dispute"),
        Mutation(
            "what is owed is looked at again whenever a copy or charge changes",
            looked_at_again, "contract, billed again during the call", 0, "never noticed",
        ),
    )
}
