"""Revisions on a database that is in use: rows of the release before are carried over under row-level security."""

from sqlalchemy import text

from shared.db import Database
from shared.migrate import migrate
from tests.conftest import Database as Server

ACCOUNT = (
    "INSERT INTO account (practice_id, account_id, version, name, address, phone, net_days, frequency, overdue_again_days, show_adjustments,"
    " cover_sheet, mask) VALUES ('p1', 'a1', 1, 'Dock', '{}', '', 30, 'daily', 60, true, false, '{}')"
)
INVOICE = (
    "INSERT INTO invoice (practice_id, invoice_id, number, account_id, status, first_billed_on, last_billed_on, due_on, closing_no,"
    " original_cents, balance_cents) VALUES ('p1', :invoice, :number, 'a1', 'due', '2026-11-02', '2026-11-02', '2026-12-02', 0, 100, 0)"
)
LINE = (
    "INSERT INTO invoice_line (practice_id, line_id, invoice_id, claim_id, payer_id, withdrawn, held, status, charged_cents, paid_cents,"
    " adjusted_cents, transferred_in_cents, transferred_out_cents, balance_cents)"
    " VALUES ('p1', :line, :invoice, :claim, 'e1', :withdrawn, false, :status, 0, 0, 0, 0, 0, 0)"
)


async def test_lines_of_claims_that_moved_are_marked(postgres: Server) -> None:
    urls = await postgres.fresh("invoicing")
    await migrate("invoicing", urls.owner, "0001")
    worker = Database(urls.worker, "test")
    async with worker.begin() as tx:
        await tx.execute(text(ACCOUNT))
        for number, invoice in enumerate(("i1", "i2")):
            await tx.execute(text(INVOICE), {"invoice": invoice, "number": number})
        for line, invoice, claim, gone in (("l1", "i1", "c1", True), ("l2", "i2", "c1", False), ("l3", "i2", "c2", False)):
            row = {"line": line, "invoice": invoice, "claim": claim, "withdrawn": gone, "status": "withdrawn" if gone else "closed"}
            await tx.execute(text(LINE), row)
    await migrate("invoicing", urls.owner)
    async with worker.begin() as tx:
        rows = await tx.execute(text("SELECT line_id, moved FROM invoice_line"))
        assert {row.line_id: row.moved for row in rows} == {"l1": True, "l2": True, "l3": False}
        await tx.execute(text(ACCOUNT.replace("'a1'", "'a2'")))  # as the release before still does
    await worker.close()
