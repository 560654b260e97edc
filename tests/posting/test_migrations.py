"""Revisions on a database that is in use: rows of the release before are carried over under row-level security."""

from sqlalchemy import text

from shared.db import Database
from shared.migrate import migrate
from tests.conftest import Database as Server

PAYMENT = (
    "INSERT INTO payments (practice_id, payment_id, source, payer_kind, payer_id, amount_cents, parts, parts_posted, credited_cents, version,"
    " batch_id, posted_on, user_name, transaction_type)"
    " VALUES (:practice, :payment, 'portal', 'corporate', 'E', :cents, 2, '{1,2}', 0, 1, 'b2', '2026-11-20', '', '')"
)
LEG = (
    "INSERT INTO legs (practice_id, transaction_id, no, account, amount_cents, payment_id, batch_id, \"on\")"
    " VALUES (:practice, :id, 1, 'cash', :cents, :payment, :batch, '2026-11-20'),"
    " (:practice, :id, 2, 'unapplied', -:cents, :payment, :batch, '2026-11-20')"
)


async def test_what_a_payment_brought_into_each_batch_comes_from_the_ledger(postgres: Server) -> None:
    urls = await postgres.fresh("posting")
    await migrate("posting", urls.owner, "0001")
    worker = Database(urls.worker, "test")
    async with worker.begin() as tx:
        for practice, payment, cents in (("7", "p1", 70), ("8", "p1", 5), ("7", "p2", 0)):
            await tx.execute(text(PAYMENT), {"practice": practice, "payment": payment, "cents": cents})
        for number, (practice, batch, cents) in enumerate((("7", "b1", 10), ("7", "b1", 20), ("7", "b2", 40), ("8", "b2", 5))):
            row = {"practice": practice, "id": f"t{number}", "cents": cents, "payment": "p1", "batch": batch}
            await tx.execute(text(LEG), row)
    await migrate("posting", urls.owner)
    async with worker.begin() as tx:
        rows = await tx.execute(text("SELECT practice_id, payment_id, batch_id, cents FROM batch_payments ORDER BY 1, 2, 3"))
        assert [tuple(row) for row in rows] == [("7", "p1", "b1", 30), ("7", "p1", "b2", 40), ("7", "p2", "b2", 0), ("8", "p1", "b2", 5)]
    await worker.close()
