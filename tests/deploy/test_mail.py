"""The sink that takes the mails and text messages of the demo and of tests."""

import smtplib
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from deploy.local.children import Process
from deploy.local.places import free_port

PIXEL = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def smtp_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def mailbox(tool: Callable[..., tuple[str, Process]], smtp_port: int) -> str:
    return tool("mail", "--smtp-port", str(smtp_port))[0]


def post(port: int, to: str, subject: str) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"], mail["Message-ID"] = "Berkshire <billing@example.org>", to, subject, "<n1@billfold>"
    mail.set_content("Grüße. Register: http://127.0.0.1:9/register?a=1&b=2\n")
    mail.add_alternative('<html><head></head><body><img src="cid:logo"><a href="http://127.0.0.1:9/register?a=1&amp;b=2">Register</a>'
                         "<script>document.title='run'</script></body></html>", subtype="html")
    html = mail.get_payload()[1]  # type: ignore[index]
    html.add_related(PIXEL, "image", "png", cid="<logo>")  # type: ignore[union-attr]
    with smtplib.SMTP("127.0.0.1", port, timeout=5) as smtp:
        smtp.send_message(mail)


def test_a_mail_can_be_found_by_recipient_and_subject_with_its_text_html_links_and_headers(mailbox: str, smtp_port: int) -> None:
    post(smtp_port, "paula@kuvalis.example", "You are invited – Berkshire")
    post(smtp_port, "lee@stoughton.example", "Your code")
    found = httpx.get(f"{mailbox}/api/messages", params={"to": "Paula@", "subject": "invited"}).json()
    assert len(found) == 1
    assert found[0]["links"] == ["http://127.0.0.1:9/register?a=1&b=2"]
    assert found[0]["headers"]["Message-ID"] == "<n1@billfold>"
    assert found[0]["subject"] == "You are invited – Berkshire" and "Grüße" in found[0]["text"]
    assert "data:image/png;base64," in found[0]["html"]
    newest = httpx.get(f"{mailbox}/api/messages").json()
    assert newest[0]["to"] == ["lee@stoughton.example"]


def test_the_api_gives_as_many_messages_as_are_asked_for(mailbox):
    for n in range(101):
        httpx.post(f"{mailbox}/sms", json={"to": "+15550111", "text": f"code {n}"}).raise_for_status()
    assert len(httpx.get(f"{mailbox}/api/messages", params={"to": "+15550111"}).json()) == 100
    assert len(httpx.get(f"{mailbox}/api/messages", params={"to": "+15550111", "limit": 1000}).json()) == 101


def test_a_text_message_is_kept_beside_the_mails(mailbox: str) -> None:
    assert httpx.post(f"{mailbox}/sms", json={"to": "+15550100", "text": "Your code is 123456"}).status_code == 202
    found = httpx.get(f"{mailbox}/api/messages", params={"to": "+15550100"}).json()
    assert (found[0]["channel"], found[0]["text"]) == ("sms", "Your code is 123456")
    assert httpx.post(f"{mailbox}/sms", json={"to": ""}).status_code == 422


def test_a_mail_is_shown_without_its_scripts(mailbox: str, smtp_port: int) -> None:
    post(smtp_port, "script@example.org", "<b>Hello</b>")
    id_ = httpx.get(f"{mailbox}/api/messages", params={"to": "script@"}).json()[0]["id"]
    page = httpx.get(f"{mailbox}/messages/{id_}")
    assert "&lt;b&gt;Hello&lt;/b&gt;" in page.text
    policy = httpx.get(f"{mailbox}/messages/{id_}/html").headers["content-security-policy"]
    assert policy.startswith("sandbox ") and "allow-scripts" not in policy and "script-src" not in policy and "default-src 'none'" in policy
    assert httpx.get(f"{mailbox}/messages/9999", headers={"accept": "text/html"}).status_code == 404


@pytest.mark.parametrize("code, answer", [(451, 503), (550, 422)])
def test_it_refuses_as_many_messages_as_it_was_told_to(mailbox: str, smtp_port: int, code: int, answer: int) -> None:
    httpx.post(f"{mailbox}/control", json={"fail": 2, "code": code}).raise_for_status()
    with pytest.raises(smtplib.SMTPDataError) as refusal:
        post(smtp_port, "later@example.org", "Try again")
    assert refusal.value.smtp_code == code
    assert httpx.post(f"{mailbox}/sms", json={"to": "1", "text": "x"}).status_code == answer
    post(smtp_port, f"later{code}@example.org", "Try again")
    assert len(httpx.get(f"{mailbox}/api/messages", params={"to": f"later{code}@"}).json()) == 1


def test_messages_survive_a_kill(tool: Callable[..., tuple[str, Process]], tmp_path: Path) -> None:
    port = free_port()
    url, process = tool("mail", "--smtp-port", str(port), data=tmp_path)
    post(port, "kept@example.org", "Kept")
    before = httpx.get(f"{url}/api/messages").json()
    process.kill()
    process.wait()
    tool("mail", "--smtp-port", str(port), data=tmp_path, port=urlsplit(url).port or 0)
    assert httpx.get(f"{url}/api/messages").json() == before
