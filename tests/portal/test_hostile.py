"""Every route of the portal, asked with odd values by somebody who is employer and staff at once."""

import httpx

from tests.hostile import Service, mistakes
from tests.portal.conftest import PAULA, Portal
from tests.portal.made import invoice
from tests.staff import signed_in


async def test_no_value_is_a_mistake_of_ours(portal: Portal) -> None:
    await portal.show(invoice("i1", "100001", (10000,)))

    def browser() -> httpx.AsyncClient:
        http = signed_in(portal.web, "billing_admin")
        http.headers["x-who"] = PAULA.person_id
        return http

    ids = {"practice_id": "7", "account_id": "a1", "invoice_id": "i1"}
    # Paula is here by a header and has no log-in of her own to change; papers come from invoicing, which is not there.
    left_out = ("/employerportal/security", "/employerportal/invoices/{invoice_id}/pdf")
    assert await mistakes(Service(portal.web, browser, ids, left_out=left_out)) == []
