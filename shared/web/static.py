"""Style sheets, script and fonts: kept in memory, served under an address that changes with their content, cached for a year."""

import gzip
import hashlib
import mimetypes
import re
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request, Response

HERE = Path(__file__).parent / "static"
ICONS = Path(__file__).parent / "icons"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True)
class StaticFile:
    body: bytes
    packed: bytes | None
    type: str


@dataclass(frozen=True)
class Static:
    """All files by name, and the digest that stands in their addresses."""

    files: dict[str, StaticFile]
    digest: str

    def url(self, name: str) -> str:
        """The address of a file; raises KeyError for a name that is not there, so that a page with a dead link fails its test."""
        if name not in self.files:
            raise KeyError(f"no static file is named {name}")
        return f"/static/{self.digest}/{name}"

    def answer(self, request: Request, digest: str, name: str) -> Response | None:
        """The file, packed where the browser can unpack it; None when there is no such file."""
        file = self.files.get(name)
        if file is None:
            return None
        cache = "public, max-age=31536000, immutable" if digest == self.digest else "no-cache"
        headers = {"Cache-Control": cache, "Vary": "Accept-Encoding"}
        if file.packed and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(file.packed, media_type=file.type, headers=headers | {"Content-Encoding": "gzip"})
        return Response(file.body, media_type=file.type, headers=headers)


def load(*folders: Path) -> Static:
    """Reads every file of the shared folder and of the given ones (a service's own), flat."""
    found = {path.name: path.read_bytes() for folder in (HERE, *folders) if folder.is_dir() for path in folder.iterdir()}
    found["icons.svg"] = _sprite()
    files: dict[str, StaticFile] = {}
    digest = hashlib.sha256()
    for name, body in sorted(found.items()):
        kind = TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        packable = kind.startswith("text/") or kind == "image/svg+xml"
        files[name] = StaticFile(body, gzip.compress(body, mtime=0) if packable else None, kind)
        digest.update(name.encode() + b"\0" + body)
    return Static(files, digest.hexdigest()[:12])


def _sprite() -> bytes:
    """All drawings in one file, each under its name: a page of 2,000 rows names them 2,000 times and carries them once."""
    symbols = []
    for path in sorted(ICONS.glob("*.svg")):
        drawing = re.search(r"<svg[^>]*>(.*)</svg>", path.read_text(), re.S)
        if drawing is None:
            raise ValueError(f"{path.name} is no drawing")
        symbols.append(f'<symbol id="{path.stem}" viewBox="0 0 16 16">{drawing[1].strip()}</symbol>')
    return f'<svg xmlns="http://www.w3.org/2000/svg">{"".join(symbols)}</svg>'.encode()
