"""What the pages of the local tools share: one style sheet, one frame, one way to render."""

from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException

HERE = Path(__file__).resolve().parent
FONT = HERE.parents[2] / "shared" / "web" / "static" / "inter-latin-wght-normal.woff2"
POLICY = "default-src 'none'; style-src 'self' 'unsafe-inline'; font-src 'self'; img-src 'self' data:; frame-src 'self'; base-uri 'none'"
templates = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
                        lstrip_blocks=True)
templates.filters["dollars"] = lambda cents: f"${cents // 100:,}.{cents % 100:02d}"


def render(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page of this folder's templates, with strict headers."""
    html = templates.get_template(template).render(request=request, **values)
    return HTMLResponse(html, status, {"Content-Security-Policy": POLICY, "Cache-Control": "no-store", "Referrer-Policy": "same-origin"})


def attach(app: FastAPI) -> None:
    """Add the style sheet, the font, and a page for errors that a person meets; programs get theirs as JSON."""

    @app.get("/plain.css", include_in_schema=False)
    async def style() -> Response:
        return FileResponse(HERE / "plain.css", headers={"Cache-Control": "max-age=60"})

    @app.get("/inter.woff2", include_in_schema=False)
    async def font() -> Response:
        return FileResponse(FONT) if FONT.exists() else Response(status_code=404)

    @app.get("/favicon.ico", include_in_schema=False)
    async def icon() -> Response:
        return Response(status_code=204)

    @app.exception_handler(HTTPException)
    async def problem(request: Request, error: HTTPException) -> Response:
        if "text/html" not in request.headers.get("accept", ""):
            return JSONResponse({"detail": error.detail}, error.status_code)
        words = {404: "There is nothing at this address."}.get(error.status_code, str(error.detail))
        return render(request, "problem.html.j2", error.status_code, words=words, title=app.title)
