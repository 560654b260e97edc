"""Revisions on a database that is in use: rows of the release before are carried over under row-level security."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text

from shared.db import Database
from shared.migrate import behind, head, migrate
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
PERSON = "INSERT INTO persons (person_id, kind, name, email, address, began_at) VALUES (:key, 'employer', 'Cfo', :email, :address, now())"
CONTACT = (
    "INSERT INTO contacts (practice_id, contact_id, account_id, version, name, email, address, role, status, invite_no)"
    " VALUES ('7', :key, 'a1', 1, 'Cfo', :email, :address, 'owner', 'not_invited', 1)"
)
INVITATION = (
    "INSERT INTO invitations (token_hash, invitation_id, practice_id, contact_id, address, sent_at) VALUES (:key, :key, '7', :key, :address, now())"
)


@asynccontextmanager
async def first_release(postgres: Server, service: str) -> AsyncIterator[Database]:
    """A database as the first revision left it, open to the worker; `migrate` brings it on."""
    urls = await postgres.fresh(service)
    await migrate(service, urls.owner, "0001")
    worker = Database(urls.worker, "test")
    yield worker
    await worker.close()


async def test_lines_of_claims_that_moved_are_marked(postgres: Server) -> None:
    async with first_release(postgres, "invoicing") as worker:
        async with worker.begin() as tx:
            await tx.execute(text(ACCOUNT))
            for number, invoice in enumerate(("i1", "i2")):
                await tx.execute(text(INVOICE), {"invoice": invoice, "number": number})
            for line, invoice, claim, gone in (("l1", "i1", "c1", True), ("l2", "i2", "c1", False), ("l3", "i2", "c2", False)):
                row = {"line": line, "invoice": invoice, "claim": claim, "withdrawn": gone, "status": "withdrawn" if gone else "closed"}
                await tx.execute(text(LINE), row)
        await migrate("invoicing", postgres.urls("invoicing").owner)
        async with worker.begin() as tx:
            rows = await tx.execute(text("SELECT line_id, moved FROM invoice_line"))
            assert {row.line_id: row.moved for row in rows} == {"l1": True, "l2": True, "l3": False}
            await tx.execute(text(ACCOUNT.replace("'a1'", "'a2'")))  # as the release before still does


async def test_what_a_payment_brought_into_each_batch_comes_from_the_ledger(postgres: Server) -> None:
    async with first_release(postgres, "posting") as worker:
        async with worker.begin() as tx:
            for practice, payment, cents in (("7", "p1", 70), ("8", "p1", 5), ("7", "p2", 0)):
                await tx.execute(text(PAYMENT), {"practice": practice, "payment": payment, "cents": cents})
            for number, (practice, batch, cents) in enumerate((("7", "b1", 10), ("7", "b1", 20), ("7", "b2", 40), ("8", "b2", 5))):
                row = {"practice": practice, "id": f"t{number}", "cents": cents, "payment": "p1", "batch": batch}
                await tx.execute(text(LEG), row)
        await migrate("posting", postgres.urls("posting").owner)
        async with worker.begin() as tx:
            rows = await tx.execute(text("SELECT practice_id, payment_id, batch_id, cents FROM batch_payments ORDER BY 1, 2, 3"))
            assert [tuple(row) for row in rows] == [("7", "p1", "b1", 30), ("7", "p1", "b2", 40), ("7", "p2", "b2", 0), ("8", "p1", "b2", 5)]


async def test_an_address_that_was_compared_as_its_look_alike_is_compared_as_it_is_mailed(postgres: Server) -> None:
    people = (("1", "cfo@straße.example", "cfo@strasse.example"), ("2", "Cfo@kuvalis.example", "cfo@kuvalis.example"))
    async with first_release(postgres, "portal") as worker:
        async with worker.begin() as tx:
            for key, email, address in people:
                for statement in (PERSON, CONTACT, INVITATION):
                    await tx.execute(text(statement), {"key": key, "email": email, "address": address})
        await migrate("portal", postgres.urls("portal").owner)
        async with worker.begin() as tx:
            for table in ("persons", "contacts"):
                rows = await tx.execute(text(f"SELECT address FROM {table} ORDER BY email"))
                assert {row.address for row in rows} == {"cfo@straße.example", "cfo@kuvalis.example"}
            assert (await tx.execute(text("SELECT contact_id FROM invitations"))).scalars().all() == ["2"], "the other link is dead"


@pytest.mark.parametrize(("found", "well"), [(None, False), ("0001", False), (head("invoicing"), True), ("0999", True)])
@pytest.mark.req("PF-05")
def test_code_works_with_its_own_schema_and_newer_ones_and_says_what_an_older_one_needs(found: str | None, well: bool) -> None:
    words = behind("invoicing", found)
    assert (words is None) == well
    said = f"the schema is at revision {found or 'none'}, this code needs {head('invoicing')}: run `python -m services.invoicing migrate`"
    assert well or words == said
