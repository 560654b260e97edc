"""A browser without script, as seed, tour and chaos use it: reads a page's links and forms and sends them as a person would."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx


@dataclass
class Form:
    """A form of a page with the values it holds."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


@dataclass
class Page:
    """What a page offers: its address, text, links (words, address) and forms."""

    url: str
    status: int
    text: str
    links: list[tuple[str, str]]
    forms: list[Form]

    def form(self, action: str) -> Form:
        """The form whose address contains this; LookupError names the page when there is none."""
        for each in self.forms:
            if action in _within(each.action):
                return each
        raise LookupError(f"no form to {action} on {self.url} ({self.status}): {self.text[:300]}")

    def link(self, part: str) -> str:
        """The first link whose address contains this."""
        for _, address in self.links:
            if part in _within(address):
                return address
        raise LookupError(f"no link to {part} on {self.url}")


class _Reader(HTMLParser):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.url, self.links, self.forms, self.words = url, list[tuple[str, str]](), list[Form](), list[str]()
        self._link: str | None = None
        self._hidden, self._select = 0, ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in given:
            self._link = urljoin(self.url, given["href"])
        elif tag == "form":
            self.forms.append(Form(urljoin(self.url, given.get("action", "")), given.get("method", "get").lower()))
        elif tag == "input" and self.forms and given.get("name"):
            kind = given.get("type", "text")
            if kind not in ("checkbox", "radio", "submit", "file") or "checked" in given:
                self.forms[-1].fields.setdefault(given["name"], given.get("value", ""))
        elif tag == "option" and self.forms and "selected" in given:
            self.forms[-1].fields.setdefault(self._select, given.get("value", ""))
        elif tag == "select":
            self._select = given.get("name", "")
        elif tag in ("script", "style", "svg"):
            self._hidden += 1

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style", "svg"):
            self._hidden = max(0, self._hidden - 1)
        if tag == "a":
            self._link = None

    def handle_data(self, data: str) -> None:
        if self._hidden or not data.strip():
            return
        self.words.append(data.strip())
        if self._link:
            self.links.append((data.strip(), self._link))


class Browser:
    """One person's browser; cookies are kept, redirects followed."""

    def __init__(self, http: httpx.AsyncClient | None = None) -> None:
        self.http = http or httpx.AsyncClient(follow_redirects=True, headers={"Accept": "text/html"}, timeout=30)

    async def open(self, url: str) -> Page:
        return self._page(await self.http.get(url))

    async def send(self, form: Form, **values: str) -> Page:
        """Sends a form with these fields filled in; names with a dash are given with an underscore pair `__`."""
        data = form.fields | {name.replace("__", "-"): value for name, value in values.items()}
        if form.method == "get":
            return self._page(await self.http.get(form.action, params=data))
        return self._page(await self.http.post(form.action, data=data, headers={"Origin": _origin(form.action)}))

    async def close(self) -> None:
        await self.http.aclose()

    @staticmethod
    def _page(answer: httpx.Response) -> Page:
        reader = _Reader(str(answer.url))
        if "html" in answer.headers.get("content-type", ""):
            reader.feed(answer.text)
        return Page(str(answer.url), answer.status_code, " ".join(reader.words), reader.links, reader.forms)


def _origin(url: str) -> str:
    parsed = httpx.URL(url)
    return f"{parsed.scheme}://{parsed.netloc.decode()}"


def _within(url: str) -> str:
    """An address without its host, whose name may be like what is looked for."""
    return httpx.URL(url).raw_path.decode()
