"""The notifier's sender with a mailbox in the test's hand, and what may never be in it."""

from dataclasses import dataclass
from typing import Any

from services.notifier import digest
from services.notifier.letters import Letter
from services.notifier.render import make_env
from services.notifier.sender import Sender
from shared.events.invoicing import DISPUTE_STATE, INVOICE_CLOSED, INVOICE_ISSUED, INVOICE_OVERDUE, INVOICE_REISSUED
from shared.events.portal import PAYMENT_CAPTURED
from tests.flows.world import Broken, World
from tests.notifier.conftest import Settings

FACTS = (INVOICE_ISSUED, INVOICE_REISSUED, INVOICE_OVERDUE, INVOICE_CLOSED)


@dataclass(frozen=True)
class _Sender(Sender):
    """Sends into a list, after looking at what is being said."""

    office: "Post"

    async def _send(self, mail: Any, letter: Letter) -> bool:
        """Keeps what is wrong with a mail, since a sender goes on with the next one."""
        try:
            await self.office.look(mail, letter)
            return await super()._send(mail, letter)
        except Exception as error:
            self.office.wrong.append(error)
            raise

    async def _post(self, message: Any) -> None:
        self.office.world.box.append(message)


class Post:
    """Digests and mails of the played world."""

    def __init__(self, world: World) -> None:
        self.world = world
        settings: Any = Settings("127.0.0.1", 1, "http://127.0.0.1:1", world.keys[1])
        client: Any = None
        self.sender = _Sender(world.worker["notifier"], world.clock, settings, make_env(), client, self)
        self.wrong: list[Exception] = []
        self.told: dict[tuple[Any, ...], str] = {}
        self.notices: dict[tuple[str, int], Any] = {}

    async def go(self) -> None:
        """Makes the digests that are due and sends what waits; a mail that was wrong is raised."""
        self.world.clock.move(seconds=25)
        await digest.run_once(self.world.worker["notifier"], self.world.clock)
        await self.sender.run_once()
        if self.wrong:
            raise self.wrong[0]
        await self.world.collect("notifier")

    async def look(self, mail: Any, letter: Letter) -> None:
        """No mail about an invoice from a copy older than anything read of it, none after its close, in dispute or pending; none twice."""
        if mail.template == "contract_notice":
            key = mail.cause["charge_id"], mail.cause["notice_no"]
            self.notices.setdefault(key, self.world.clock.now)
        for item in letter.told:
            [row] = await self.world.rows("notifier", "SELECT version, body FROM invoices WHERE invoice_id = $1", item["invoice_id"])
            state = row["body"]
            at = item["invoice_id"], item["kind"], item["issue_no"], mail.facts["contact_id"]
            named = {payment["payment_id"] for payment in state["payments"]}
            wrong = {
                "twice": self.told.setdefault(at, mail.mail_id) != mail.mail_id,
                "after close": state["status"] == "closed",
                "while a payment is pending": state["status"] == "pending" and item["kind"] != "reissued",
                "in review": item["kind"] != "reissued" and state["payable_cents"] <= 0,
                "from a copy older than its facts": row["version"] < self._highest(item["invoice_id"]),
                "from a copy older than a dispute": row["version"] < self._disputed(item["invoice_id"]),
                "after a capture was read that the copy does not name": not self._captured(item["invoice_id"]) <= named,
            }
            for words, is_so in wrong.items():
                if is_so:
                    raise Broken(f"mail {item['kind']} {words}")

    def _read(self, reader: str, *topics: Any) -> list[Any]:
        """What the notifier has taken in so far."""
        return [
            topic.decode(entry.value)
            for topic in topics
            for (name, key), log in self.world.logs.items()
            if name == topic.name
            for entry in log[: self.world.heard.get((reader, name, key), 0)]
        ]

    def _highest(self, invoice_id: str) -> int:
        return max((f.state_version for f in self._read("notifier.facts", *FACTS) if f.invoice_id == invoice_id), default=0)

    def _disputed(self, invoice_id: str) -> int:
        return max((d.invoice_version for d in self._read("notifier.copies", DISPUTE_STATE) if d.invoice_id == invoice_id), default=0)

    def _captured(self, invoice_id: str) -> set[str]:
        paid = self._read("notifier.facts", PAYMENT_CAPTURED)
        return {p.payment_id for p in paid if any(i.invoice_id == invoice_id for i in p.invoices)}
