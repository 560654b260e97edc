"""Mail and SMS sink: takes everything, sends nothing on, shows it to whoever plays the recipient.

python -m deploy.local.mail [--host H] --port N --smtp-port N --data DIR
"""

import argparse
import asyncio
import base64
import contextlib
import email
import email.policy
import json
import re
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Literal

import uvicorn
from aiosmtpd.smtp import SMTP, Envelope, Session
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, Field

from deploy.local import pages

LINK = re.compile(r"https?://[^\s\"'<>]+")
PAGE = 100
# The shown mail is a document of its own without scripts; its links open in the whole window.
MAIL_POLICY = ("sandbox allow-popups allow-popups-to-escape-sandbox allow-top-navigation-by-user-activation; default-src 'none'; "
               "style-src 'unsafe-inline'; img-src data: http: https:")


@dataclass(frozen=True)
class Message:
    """A mail or a text message. `headers` has each header's last value; `links` are the addresses in it, each once, in order."""

    id: int
    channel: Literal["email", "sms"]
    received_at: str
    sender: str
    to: list[str]
    subject: str
    headers: dict[str, str]
    text: str
    html: str | None
    links: list[str]


class Sms(BaseModel):
    to: str = Field(min_length=1, max_length=40)
    text: str = Field(min_length=1, max_length=1600)


class Control(BaseModel, extra="forbid"):
    """Refuse the next `fail` messages: for now (451), or for good (550)."""

    fail: int = Field(ge=0)
    code: Literal[451, 550] = 451


class Sink:
    """All messages, in memory and in a file of JSON lines; also the handler of the SMTP server."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.messages = [Message(**json.loads(line)) for line in file.read_bytes().splitlines()] if file.exists() else []
        self._file = file.open("ab", buffering=0)
        self.refusal = Control(fail=0)

    def refuses(self) -> int | None:
        """The code to refuse this message with, or None to take it."""
        if not self.refusal.fail:
            return None
        self.refusal.fail -= 1
        return self.refusal.code

    def take(self, message: Message) -> None:
        self._file.write(json.dumps(asdict(message), ensure_ascii=False).encode() + b"\n")
        self.messages.append(message)

    def next_id(self) -> int:
        return len(self.messages) + 1

    def find(self, to: str, subject: str, limit: int = PAGE) -> list[Message]:
        """The `limit` newest messages whose recipient and subject contain these words, newest first."""
        def fits(message: Message) -> bool:
            return to.lower() in " ".join(message.to).lower() and subject.lower() in message.subject.lower()

        return [message for message in reversed(self.messages) if fits(message)][:limit]

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if code := self.refuses():
            return f"{code} This sink was told to refuse the message"
        assert isinstance(envelope.content, bytes)
        self.take(from_mail(self.next_id(), envelope.mail_from or "", envelope.rcpt_tos, envelope.content))
        return "250 Taken"


def from_mail(id_: int, sender: str, to: list[str], content: bytes) -> Message:
    mail = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    text, html = (part.get_content() if (part := mail.get_body((kind,))) else None for kind in ("plain", "html"))
    if html:
        html = _with_images(html, mail)
    links = list(dict.fromkeys(link.replace("&amp;", "&") for link in LINK.findall(f"{text or ''} {html or ''}")))
    return Message(id_, "email", _now(), str(mail.get("From", sender)), to, str(mail.get("Subject", "")),
                   {name: str(value) for name, value in mail.items()}, text or "", html, links)


def _with_images(html: str, mail: EmailMessage) -> str:
    """Images that the mail brings along, put into its HTML, because a browser cannot follow cid: addresses."""
    for part in mail.walk():
        if (name := str(part.get("Content-ID", "")).strip("<>")) and part.get_content_maintype() == "image":
            data = base64.b64encode(part.get_payload(decode=True)).decode()  # type: ignore[arg-type]
            html = html.replace(f"cid:{name}", f"data:{part.get_content_type()};base64,{data}")
    return html


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def make_app(sink: Sink, smtp_port: int, host: str) -> FastAPI:
    """The SMTP server, the pages and the API, in one loop."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        server = await asyncio.get_running_loop().create_server(
            lambda: SMTP(sink, enable_SMTPUTF8=True, hostname="mail.localhost"), host, smtp_port)
        yield
        server.close()

    app = FastAPI(title="Sample Mailbox", lifespan=lifespan)

    def message_of(id_: int) -> Message:
        if not 1 <= id_ <= len(sink.messages):
            raise HTTPException(404)
        return sink.messages[id_ - 1]

    @app.get("/")
    async def inbox(request: Request, to: str = "") -> Response:
        found = sink.find(to, "")
        return pages.render(request, "inbox.html.j2", messages=found, to=to, total=len(sink.messages), limit=PAGE)

    @app.get("/messages/{id_}")
    async def show(request: Request, id_: int, view: Literal["html", "text", "headers"] = "html") -> Response:
        message = message_of(id_)
        views = ["html", "text", "headers"] if message.html else ["text", "headers"] if message.headers else ["text"]
        return pages.render(request, "message.html.j2", message=message, views=views, view=view if view in views else views[0])

    @app.get("/messages/{id_}/html")
    async def html(id_: int) -> Response:
        body = message_of(id_).html or ""
        return HTMLResponse('<base target="_top">' + body if "<head>" not in body else body.replace("<head>", '<head><base target="_top">', 1),
                            headers={"Content-Security-Policy": MAIL_POLICY})

    @app.get("/api/messages")
    async def messages(to: str = "", subject: str = "", limit: int = PAGE) -> list[dict[str, Any]]:
        return [asdict(message) for message in sink.find(to, subject, limit)]

    @app.post("/sms")
    async def sms(body: Sms) -> Response:
        if code := sink.refuses():
            return JSONResponse({"detail": "This sink was told to refuse the message."}, 503 if code == 451 else 422)
        sink.take(Message(sink.next_id(), "sms", _now(), "", [body.to], "", {}, body.text, None, LINK.findall(body.text)))
        return JSONResponse({"id": str(len(sink.messages))}, 202)

    @app.post("/control")
    async def control(body: Control) -> Control:
        sink.refusal = body
        return body

    @app.get("/health/ready")
    async def ready() -> dict[str, str]:
        return {"status": "ready"}

    pages.attach(app)
    return app


def main() -> None:
    parser = argparse.ArgumentParser(prog="deploy.local.mail")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--smtp-port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    app = make_app(Sink(options.data / "mail.jsonl"), options.smtp_port, options.host)
    uvicorn.run(app, host=options.host, port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
