"""Mails are handed over by TLS and a login where the settings ask for them, or not at all (PF-05)."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from pydantic import ValidationError

from deploy.local.places import free_port
from services.notifier.sender import Sender
from services.notifier.settings import Settings
from shared import sealing
from shared.settings import wrong
from tests.certificates import Certificates, certificates
from tests.shared.test_start import AUTHORITIES, GOOD

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # the server does not see TLS that came first
PASSWORD = "p-of-the-tests"
MAILS = {
    "smtp_host": "127.0.0.1", "smtp_port": 25, "mail_sender": "mail@billfold.example", "sms_url": "http://texts", "portal_url": "http://portal",
    "sealing_private_key": sealing.new_keys()[1],
}  # fmt: skip


@pytest.fixture
def trusted(tmp_path: Path) -> Certificates:
    return certificates(tmp_path)


class Box:
    """What a mail server took, and from whom."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes | None, bool]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.taken.append((session.auth_data, isinstance(server.transport.get_extra_info("ssl_object"), ssl.SSLObject)))
        return "250 taken"


@pytest.fixture
def box() -> Box:
    return Box()


def login(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    good = isinstance(data, LoginPassword) and data == LoginPassword(b"notifier", PASSWORD.encode())
    return AuthResult(success=good, handled=False, auth_data=data.login)


@pytest.fixture
async def servers(box: Box, trusted: Certificates) -> AsyncIterator[dict[str, int]]:
    """The ports of mail servers by SMTP_TLS; the one for `none` offers no TLS."""
    asked = {"authenticator": login, "auth_required": True, "auth_require_tls": False, "hostname": "mail"}
    loop, ports = asyncio.get_running_loop(), {name: free_port() for name in ("none", "starttls", "implicit")}
    listening = [
        await loop.create_server(lambda: SMTP(box, hostname="mail"), "127.0.0.1", ports["none"]),
        await loop.create_server(lambda: SMTP(box, tls_context=trusted.context(), require_starttls=True, **asked), "127.0.0.1", ports["starttls"]),
        await loop.create_server(lambda: SMTP(box, **asked), "127.0.0.1", ports["implicit"], ssl=trusted.context()),
    ]
    yield ports
    for server in listening:
        server.close()


async def post(**settings: Any) -> None:
    nothing: Any = None
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "mail@billfold.example", "paula@kuvalis.example", "Your code"
    await Sender(nothing, nothing, Settings(**GOOD | MAILS | settings), nothing, nothing)._post(message)


@pytest.mark.parametrize("kind", ["starttls", "implicit"])
@pytest.mark.req("PF-05")
async def test_a_mail_goes_by_tls_and_login(servers: dict[str, int], box: Box, trusted: Certificates, kind: str) -> None:
    await post(smtp_port=servers[kind], smtp_tls=kind, smtp_user="notifier", smtp_password=PASSWORD, smtp_ca_file=trusted.authority)
    assert box.taken == [(b"notifier", True)]


@pytest.mark.parametrize("kind", ["starttls", "implicit"])
@pytest.mark.parametrize(
    "change",
    [{"smtp_password": "another-of-the-tests"}, {"smtp_ca_file": AUTHORITIES}, {"smtp_host": "localhost"}],
    ids=["password", "authority", "name"],
)
@pytest.mark.req("PF-05")
async def test_a_server_or_a_login_that_is_refused_gets_no_mail(
    servers: dict[str, int], box: Box, trusted: Certificates, kind: str, change: dict[str, Any]
) -> None:
    settings = {"smtp_port": servers[kind], "smtp_tls": kind, "smtp_user": "notifier", "smtp_password": PASSWORD, "smtp_ca_file": trusted.authority}
    with pytest.raises((OSError, aiosmtplib.SMTPException)) as refused:  # the sender's reasons to try later
        await post(**settings | change)
    assert box.taken == [] and "of-the-tests" not in str(refused.value)


@pytest.mark.req("PF-05")
async def test_a_server_that_has_no_tls_gets_no_mail_where_tls_is_asked_for(servers: dict[str, int], box: Box) -> None:
    with pytest.raises(aiosmtplib.SMTPException):
        await post(smtp_port=servers["none"], smtp_tls="starttls")
    await post(smtp_port=servers["none"])
    assert box.taken == [(None, False)]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"smtp_user": "u", "smtp_password": "hidden"}, "with SMTP_TLS=none there is no use for SMTP_USER, SMTP_PASSWORD"),
        ({"smtp_ca_file": AUTHORITIES}, "with SMTP_TLS=none there is no use for SMTP_CA_FILE"),
        ({"smtp_tls": "starttls", "smtp_password": "hidden"}, "give SMTP_USER and SMTP_PASSWORD together"),
        ({"smtp_tls": "yes"}, "SMTP_TLS: input should be 'none', 'starttls' or 'implicit'"),
    ],
)
@pytest.mark.req("PF-05")
def test_settings_of_the_mail_server_that_do_not_go_together_are_named(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(**GOOD | MAILS | given)
    assert wrong(refused.value) == words and "hidden" not in str(refused.value)
