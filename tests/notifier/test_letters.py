"""What stands in the mails, and what never does (NT-03); the staff page that lists them."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest

from services.notifier.letters import _frame
from services.notifier.main import build
from services.notifier.render import make_env
from shared.auth import unguarded
from shared.events.invoicing import INVOICE_OVERDUE, PRACTICE_STATE
from shared.events.portal import CONTACT_INVITED
from shared.web.show import phone
from tests.notifier.conftest import TODAY, Notifier, Settings, contact, issued, practice
from tests.notifier.test_mails import invited, ready
from tests.staff import environment, signed_in

FORBIDDEN = ("patient", "diagnos", "claim number", "birth", "balance of your account")
CONTEXT: dict[str, dict[str, Any]] = {
    "invitation": {"account": "Kutch", "name": "Paula Schaefer", "link": "http://portal.example/r/t"},
    "access_granted": {"account": "Kutch", "name": "Paula Schaefer", "link": "http://portal.example/"},
    "password_reset": {"link": "http://portal.example/reset"},
    "code": {"code": "123456", "purpose": "registration"},
    "receipt": {"account": "Kutch", "name": "Paula", "paid_rows": [("Invoice 100001", "1.00")]},
    "contract_notice": {"name": "Ana Diaz", "amount_cents": 4200, "card_words": "Visa ending 4242", "today": date(2026, 11, 20)},
    "contract_receipt": {"name": "Ana Diaz"},
    "contract_declined": {"name": "Ana Diaz", "amount_cents": 4200, "card_words": "Visa ending 4242", "retry_on": date(2026, 11, 26)},
    "contract_declined_staff": {"agreement": "12", "link": "http://contracts.example/staff/7/agreements/12", "retry_on": None},
    "contract_copy": {"name": "Ana Diaz", "copy": "agreement", "copy_rows": [("Card", "Visa ending 4242")], "terms": ["After your insurance."]},
    "invoice_digest": {
        "account": "Kutch & Co",
        "name": "Paula Schaefer",
        "overdue": [{"number": "100002", "invoice_id": "i2", "due_on": date(2026, 11, 1), "payable_cents": 78500}],
        "new": [{"number": "100003", "invoice_id": "i3", "due_on": date(2026, 12, 1), "payable_cents": 1000}],
        "reissued": [],
    },
}
CHARGED = {"amount_cents": 100, "record_number": "P-000001", "authorization_number": "A1", "card_words": "Visa ending 4242"}


@pytest.mark.req("NT-01", "NT-03")
@pytest.mark.parametrize("template", sorted(CONTEXT))
def test_a_mail_has_text_and_html_of_the_same_content_small_and_without_health_detail(template: str) -> None:
    env, settings = make_env(), Settings("", 0, "", "")
    context = _frame(msgspec.to_builtins(practice()), settings) | CHARGED | {"captured_at": datetime(2026, 11, 20, 15, tzinfo=UTC)}  # type: ignore[arg-type]
    context |= CONTEXT[template]
    subject, _, text = env.get_template(f"{template}.txt.j2").render(context).partition("\n")
    html = env.get_template(f"{template}.html.j2").render(context | {"subject": subject})
    assert subject and "\n" not in subject and len(html.encode()) < 60_000
    number = phone(practice().phone)
    assert "Saltmarsh" in subject + text and (number in text or template == "code") and number in html
    assert practice().phone not in text + html and 'lang="en"' in html
    for words in FORBIDDEN:
        assert words not in text.lower() and words not in html.lower()
    for value in ("link", "code"):
        if value in CONTEXT[template]:
            assert CONTEXT[template][value] in text and CONTEXT[template][value] in html
    assert "<script" not in html and "Kutch & Co" not in html


@pytest.mark.req("EP-25", "BX-02")
def test_the_digest_says_overdue_first_and_counts_in_its_subject() -> None:
    env, settings = make_env(), Settings("", 0, "", "")
    context = _frame(msgspec.to_builtins(practice()), settings) | CONTEXT["invoice_digest"]  # type: ignore[arg-type]
    text = env.get_template("invoice_digest.txt.j2").render(context)
    assert text.startswith("Employer Portal: 1 new invoice and 1 overdue from Saltmarsh\n")
    assert text.index("100002") < text.index("100003") and "785.00" in text


@pytest.mark.req("NT-02", "PF-08")
async def test_staff_see_every_mail_with_its_outcome(notifier: Notifier, postgres: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    more = {"SMTP_HOST": "x", "SMTP_PORT": "1", "MAIL_SENDER": "a@b.example", "SMS_URL": "http://sms", "PORTAL_URL": "http://portal"}
    environment("notifier", postgres.urls("notifier"), monkeypatch, more | {"SEALING_PRIVATE_KEY": "A" * 43 + "="})
    app = build()
    assert unguarded(app) == []
    async with signed_in(app, "billing_admin") as http:
        assert "No mails yet" in (await http.get("/staff/7/mails")).text
        assert (await http.get("/staff/7/mails", params={"cursor": "nonsense"})).status_code == 400
        person = contact(status="invited", invite_open=True)
        await ready(notifier, person)
        await notifier.give(PRACTICE_STATE, practice(version=2, zone="America/Los_Angeles"))
        await notifier.give(CONTACT_INVITED, invited(notifier, person))
        await notifier.give(INVOICE_OVERDUE, issued(kind="overdue", on=TODAY - timedelta(days=30)))
        assert (await notifier.send(), await notifier.digests()) == (1, 0)
        page = (await http.get("/staff/7/mails")).text
        assert "Invitation" in page and person.email in page
        assert "11/20/2026 6:00 AM" in page, "as the practice's clocks showed it"
        assert "1 older than three days" in page
    await app.state.service.app.close()
    await app.state.service.worker.close()
