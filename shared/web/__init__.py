"""Pages on the server: one Jinja2 environment per service, `page`, `redirect`, notices that survive a redirect, cookies."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import itsdangerous
import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse
from markupsafe import Markup

from shared import money
from shared.web import show, static
from shared.web.frame import Desk, Visitor

HERE = Path(__file__).parent
FLASH_SECONDS = 120


@dataclass(frozen=True)
class Web:
    """What a service needs to make pages; `make_app` keeps it at `app.state.web`."""

    service: str
    env: jinja2.Environment
    static: static.Static
    secret: str
    public_url: str
    pages: Mapping[str, str]

    def secure(self, path: str) -> bool:
        """Whether people open this path by https: at the address of its pages, where they have one of their own, else at the service's."""
        address = next((own for start, own in self.pages.items() if path.startswith(start)), self.public_url)
        return urlsplit(address).scheme == "https"

    def signer(self, purpose: str) -> itsdangerous.URLSafeTimedSerializer:
        """Signs what a cookie carries; one purpose's text is no other's."""
        return itsdangerous.URLSafeTimedSerializer(self.secret, salt=f"{self.service}/{purpose}")


def make_web(service: str, folder: Path | None, *, secret: str, public_url: str, pages: Mapping[str, str] | None = None) -> Web:
    """Templates are found in `folder/templates`, then among the shared ones; static files in `folder/static` join the shared ones.

    `pages` are those that people open at another address than `public_url`: the start of their paths, and that address.
    """
    own = [folder / "templates"] if folder else []
    files = static.load(*([folder / "static"] if folder else []))
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*own, HERE / "templates"]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.globals.update(
        icon=_icons(files),
        usd=money.usd,
        dollars=show.dollars,
        day=show.day,
        short_day=show.short_day,
        staff_day=show.staff_day,
        moment=show.moment,
        address=show.address,
        staff_moment=show.staff_moment,
        plural=show.plural,
        phone=show.phone,
        card=show.card,
        initials=show.initials,
        static=files.url,
        new_key=lambda: secrets.token_urlsafe(16),
    )
    # Template modules as globals: `{{ ui.badge(...) }}` in every page, with no import line.
    env.globals["ui"] = env.get_template("components.html.j2").module
    env.globals["form"] = env.get_template("forms.html.j2").module
    return Web(service, env, files, secret, public_url, pages or {})


def use(request: Request, frame: Visitor | Desk) -> None:
    """Sets the header and footer of whatever page answers this request, a problem page too."""
    request.state.frame = frame


def page(request: Request, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """Renders a page. It gets the frame, the notice a redirect left, and the nonce of this answer beside the given context."""
    web: Web = request.app.state.web
    around = {
        "request": request,
        "frame": getattr(request.state, "frame", None),
        "nonce": request.state.nonce,
        "notice": _take_notice(request, web),
        "where": "",
    }
    html = web.env.get_template(template).render(around | context)
    return HTMLResponse(html, status_code=status)


def redirect(request: Request, url: str, notice: str = "", text: str = "", *, kind: str = "ok") -> RedirectResponse:
    """To another page after a form (303). `notice` in bold and `text` after it stand at the top of that page, once."""
    if notice:
        web: Web = request.app.state.web
        set_cookie(request, f"{web.service}_notice", str(web.signer("notice").dumps([kind, notice, text])), max_age=FLASH_SECONDS)
    return RedirectResponse(url, status_code=303)


def set_cookie(request: Request, name: str, value: str, *, max_age: int | None = None) -> None:
    """Adds a cookie (HttpOnly, SameSite=Lax, Secure where this page is opened by https) to whatever answers this request; `max_age` 0 deletes it."""
    web: Web = request.app.state.web
    parts = [f"{name}={value}", "Path=/", "HttpOnly", "SameSite=Lax"]
    parts += [f"Max-Age={max_age}"] if max_age is not None else []
    parts += ["Secure"] if web.secure(request.url.path) else []
    request.state.cookies.append("; ".join(parts))


def _take_notice(request: Request, web: Web) -> dict[str, str] | None:
    name = f"{web.service}_notice"
    if name not in request.cookies:
        return None
    set_cookie(request, name, "", max_age=0)
    try:
        kind, title, text = web.signer("notice").loads(request.cookies[name], max_age=FLASH_SECONDS)
    except itsdangerous.BadData:
        return None
    return {"kind": kind, "title": title, "text": text}


def _icons(files: static.Static) -> Callable[..., Markup]:
    names = {path.stem for path in static.ICONS.glob("*.svg")}
    sprite = files.url("icons.svg")

    @cache
    def icon(name: str, cls: str = "") -> Markup:
        """A decorative drawing, hidden from screen readers: the words beside it say the same. KeyError for a name that is not there."""
        if name not in names:
            raise KeyError(f"no drawing is named {name}")
        return Markup('<svg class="i {}" aria-hidden="true"><use href="{}#{}"/></svg>').format(cls, sprite, name)

    return icon
