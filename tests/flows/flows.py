"""The flows of the product, as things that people and systems do at the same time (events: how the flows close)."""

from tests.flows.gateway import OUTCOMES
from tests.flows.play import Action, Flow

Thread = tuple[Action, ...]
BILLED: Thread = (("bill", "c1", 10000), ("bill", "c2", 6000), ("run_now",))
ONE: Thread = (("bill", "c1", 10000), ("run_now",))
ADJUDICATED: Thread = (("sign", 50000), ("bill", "k1", 10000, "I"), ("check", "k1", 4000, 1000))
NOTICED: Thread = (*ADJUDICATED, ("mails",), ("day", 5), ("fall_due",))
RETRIED: Thread = (("ask",), ("land",), ("ask",))
PAULA_PAYS: Thread = (("proceed", "Paula"), ("confirm", "Paula"))
LEE_PAYS: Thread = (("proceed", "Lee"), ("confirm", "Lee"))
NEXT_DAY: Thread = (("day",), ("invoicing_day",))
CHARGED: Thread = (("mails",), ("day", 5), ("fall_due",), ("charge",))

# What in some schedules is read late.
MONEY = (
    ("invoicing.rest", "claim.balances.state"),
    ("invoicing.rest", "payment.state"),
    ("invoicing.rest", "invoice.payment_captured"),
    ("posting.facts", "invoice.payment_captured"),
    ("posting.facts", "claim.redropped"),
    ("posting.claims", "claim.billed"),
    ("posting.claims", "claim.corrected.state"),
    ("portal.read-model", "invoice.line.state"),
    ("portal.read-model", "invoice.state"),
    ("portal.read-model", "dispute.state"),
)
CARD = (
    ("contracts.facts", "claim.balances.state"),
    ("contracts.facts", "payment.state"),
    ("contracts.facts", "claim.adjudicated"),
    ("contracts.facts", "notification.sent"),
    ("posting.facts", "contract.charged"),
    ("notifier.copies", "contract.state"),
)
MAILS = (
    ("notifier.copies", "invoice.state"),
    ("notifier.copies", "dispute.state"),
    ("notifier.facts", "invoice.closed"),
    ("notifier.facts", "invoice.payment_captured"),
    ("notifier.facts", "invoice.issued"),
    ("invoicing.rest", "invoice.payment_captured"),
)

FLOWS: dict[str, Flow] = {
    # bill
    "bill": Flow(
        start=(),
        threads=((("bill", "c1", 10000), ("bill", "c1", 9000)), (("bill", "c2", 6000), ("void", "c2"), ("bill", "c2", 5000))),
        same_end=True,
    ),
    "bill, hold and release": Flow(
        start=ONE,
        threads=((("pm_hold", "c1"), ("pm_redrop", "c1"), ("pm_hold", "c1"), ("pm_redrop", "c1")), NEXT_DAY),
    ),
    "bill, the same version again": Flow(
        start=(),
        threads=((("bill", "c1", 10000), ("bill", "c1", 12000, {"same_version": True})),),
        same_end=True,
    ),
    # changes after invoicing
    "change": Flow(start=BILLED, threads=((("bill", "c1", 12000), ("void", "c2"), ("bill", "c1", 8000)),), same_end=True, seldom=MONEY),
    "change while paying": Flow(
        start=BILLED,
        threads=(
            (*PAULA_PAYS, *RETRIED),
            LEE_PAYS,
            (("bill", "c1", 12000), ("bill", "c2", 4000)),
            (("hold", "c2"), ("redrop", "c2", {"cents": 5000})),
        ),
        seldom=MONEY,
    ),
    "payer away and back": Flow(
        start=ONE,
        threads=((("bill", "c1", 10000, "e9"), ("bill", "c1", 10000)), PAULA_PAYS, (("run_now",), *LEE_PAYS), NEXT_DAY),
        seldom=MONEY,
    ),
    "void and back while paying": Flow(
        start=ONE, threads=((("void", "c1"), ("bill", "c1", 10000)), PAULA_PAYS, (("run_now",), *LEE_PAYS), NEXT_DAY), seldom=MONEY
    ),
    "void and back during a call": Flow(
        start=ONE,
        threads=((("proceed", "Paula"), ("confirm", "Paula", "late"), ("void", "c1"), ("bill", "c1", 10000), ("run_now",), *LEE_PAYS, *RETRIED),),
        seldom=MONEY,
    ),
    "correction undone": Flow(
        start=ONE,
        threads=((("hold", "c1"), ("redrop", "c1", {"cents": 8000})), (("bill", "c1", 10000), ("bill", "c1", 11000)), PAULA_PAYS, NEXT_DAY),
        seldom=MONEY,
    ),
    # dispute, re-drop, re-issue
    "dispute": Flow(
        start=BILLED,
        threads=((("dispute", "Paula", "c1"), ("redrop", "c1", {"cents": 8000, "write_off": 500}), *NEXT_DAY),),
        same_end=True,
        seldom=MONEY,
    ),
    "dispute and payment": Flow(
        start=BILLED,
        threads=(
            (("dispute", "Paula", "c1"), ("redrop", "c1", {"write_off": 1000}), *NEXT_DAY),
            LEE_PAYS,
            (("dispute", "Lee", "c1"), ("redrop", "c1")),
            (*PAULA_PAYS, *RETRIED),
        ),
        seldom=MONEY,
    ),
    "write-off and check": Flow(
        start=BILLED,
        threads=((("dispute", "Paula", "c1"), ("redrop", "c1", {"write_off": 1000})), (("check", "c1", 10000),), NEXT_DAY),
        seldom=MONEY,
    ),
    "equal amounts": Flow(
        start=(("bill", "c1", 10000), ("bill", "c2", 10000), ("run_now",), ("dispute", "Paula", "c2")),
        threads=((*PAULA_PAYS, ("redrop", "c2"), *NEXT_DAY, *LEE_PAYS),),
        seldom=(("portal.read-model", "invoice.line.state"),),
    ),
    # portal payment
    "pay": Flow(start=BILLED, threads=(PAULA_PAYS,), same_end=True, seldom=MONEY),
    "pay for two payer ids": Flow(
        start=(("bill", "c1", 10000), ("bill", "c2", 6000, "e2"), ("run_now",)), threads=(PAULA_PAYS,), same_end=True, seldom=MONEY, whole=True
    ),
    "pay in parts": Flow(start=BILLED, threads=(PAULA_PAYS, LEE_PAYS), seldom=MONEY, claims_per_part=1),
    "two people, a call late": Flow(
        start=BILLED,
        threads=((("proceed", "Paula"), ("confirm", "Paula", "late"), *RETRIED), (*LEE_PAYS, *RETRIED), (("check", "c1", 10000),)),
        seldom=MONEY,
    ),
    "two people and a check of all": Flow(start=ONE, threads=(PAULA_PAYS, (("check", "c1", 10000),), LEE_PAYS), seldom=MONEY),
    "two people, a call lost": Flow(
        start=BILLED,
        threads=(
            (("proceed", "Paula"), ("confirm", "Paula", "lost"), *RETRIED),
            (("proceed", "Lee"), ("confirm", "Lee", "died after"), *RETRIED),
        ),
        seldom=MONEY,
    ),
    "two people, a call refused": Flow(
        start=BILLED,
        threads=(
            (("proceed", "Paula"), ("confirm", "Paula", "declined"), *PAULA_PAYS),
            (("proceed", "Lee"), ("confirm", "Lee", "died before"), *RETRIED, *LEE_PAYS),
        ),
        seldom=MONEY,
    ),
    "paid before posting has the version": Flow(
        start=(("bill", "c1", 10000),), threads=((("bill", "c1", 12000), ("run_now",), *PAULA_PAYS),), seldom=MONEY, whole=True
    ),
    "payment after a dispute": Flow(
        start=BILLED,
        threads=((("dispute", "Paula", "c1"), ("wait",), *LEE_PAYS),),
        seldom=(("portal.read-model", "invoice.line.state"), ("portal.read-model", "invoice.state")),
    ),
    "payment while invoicing is behind": Flow(
        start=BILLED, threads=((("bill", "c1", 4000),), PAULA_PAYS), seldom=(("invoicing.claims", "claim.billed"),)
    ),
    "dispute and payment at one moment": Flow(start=ONE, threads=((("proceed", "Paula"), ("confirm_beside_a_dispute", "Paula", "Lee", "c1")),)),
    "anything with employers": Flow(
        start=(("bill", "c1", 10000), ("bill", "c2", (4000, 2000)), ("run_now",), ("bill", "c3", 5000)),
        threads=(
            *((("proceed", who), ("confirm", who, outcome), *RETRIED) for who in ("Paula", "Lee") for outcome in OUTCOMES),
            PAULA_PAYS,
            LEE_PAYS,
            (("dispute", "Paula", "c1"), ("redrop", "c1", {"cents": 8000, "write_off": 500}), *NEXT_DAY, *PAULA_PAYS),
            (("dispute", "Lee", "c2"), ("redrop", "c2", {"write_off": 500}), *NEXT_DAY, ("dispute", "Lee", "c2")),
            (("bill", "c1", 9000), ("bill", "c1", 12000)),
            (("void", "c2"), ("bill", "c2", 7000), ("run_now",)),
            (("bill", "c1", 10000, "e9"), ("bill", "c1", 10000), ("run_now",)),
            (("hold", "c1"), ("correct", "c1", 7000), ("redrop", "c1", {"cents": 7500})),
            (("pm_hold", "c2"), ("pm_redrop", "c2"), ("pm_hold", "c2")),
            (("check", "c1", 3000), ("check", "c2", 4000)),
            (("run_now",), ("day",), ("invoicing_day",), ("mails",)),
            (("day", 31), ("invoicing_day",), ("day",), ("mails",)),
        ),
        seldom=MONEY + MAILS,
        picks=6,
    ),
    # contract charge
    "contract": Flow(start=ADJUDICATED, threads=(CHARGED,), same_end=True, seldom=CARD),
    "contract, cancelled": Flow(start=ADJUDICATED, threads=(CHARGED, (("cancel",),)), seldom=CARD),
    "contract, billed again": Flow(
        start=ADJUDICATED,
        threads=(CHARGED, (("bill", "k1", 9000, "I"), ("check", "k1", 1000)), CHARGED),
        seldom=CARD,
    ),
    "contract, the balance rises": Flow(
        start=NOTICED, threads=((("charge",), *CHARGED), (("hold", "k1"), ("redrop", "k1", {"cents": 12000}))), seldom=CARD[:1]
    ),
    "contract, billed again after the charge": Flow(
        start=(*NOTICED, ("charge",)), threads=((("bill", "k1", 10000, "I"), ("check", "k1", 1000)), CHARGED), seldom=CARD
    ),
    "contract, a limit for two claims": Flow(
        start=(("sign", 6000),),
        threads=(
            (("bill", "k1", 10000, "I"), ("check", "k1", 4000, 1000), *CHARGED),
            (("bill", "k2", 9000, "I"), ("check", "k2", 4000), *CHARGED),
        ),
        seldom=CARD,
    ),
    "contract, a call late": Flow(
        start=NOTICED, threads=((("charge", "late"), ("land",), ("charge",), ("land",)), (("cancel",),), (("void", "k1"),)), seldom=CARD
    ),
    "contract, billed again during the call": Flow(
        start=NOTICED,
        threads=((("charge", "dropped"), ("charge",)), (("bill", "k1", 9000, "I"), ("check", "k1", 1000)), CHARGED),
        seldom=CARD,
    ),
    "contract, mails down for four days": Flow(start=ADJUDICATED, threads=((("day", 4), ("mails",), ("notice_again",), *CHARGED),), seldom=CARD),
    "anything with patients": Flow(
        start=(("sign", 7000), ("bill", "k1", 10000, "I")),
        threads=(
            (("check", "k1", 4000, 1000), *CHARGED),
            (("bill", "k2", 9000, "I"), ("check", "k2", 4000), *CHARGED),
            *((("charge", outcome), ("charge",), ("land",)) for outcome in OUTCOMES),
            CHARGED,
            (("cancel",),),
            (("void", "k1"), ("bill", "k1", 9500, "I"), ("check", "k1", 500)),
            (("bill", "k1", 9000, "I"), ("check", "k1", 1000)),
            (("hold", "k1"), ("redrop", "k1", {"cents": 12000})),
            (("day", 4), ("mails",), ("notice_again",), *CHARGED),
        ),
        seldom=CARD,
        picks=5,
    ),
    # mails
    "mails": Flow(start=ONE, threads=((("day",), ("mails",)), PAULA_PAYS, (("dispute", "Lee", "c1"),), (("mails",),)), seldom=MAILS),
    "mails, overdue": Flow(
        start=(*ONE, ("day", 31)),
        threads=((("invoicing_day",), ("day",), ("mails",), ("mails",)), (("check", "c1", 10000),), (("dispute", "Lee", "c1"),)),
        seldom=MAILS,
    ),
}
