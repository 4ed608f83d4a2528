"""The page's own files: HTML, styles, modules. Read once at the start; nothing else can be asked for by a path."""

import hashlib
from pathlib import Path
from typing import NamedTuple

from litestar import Response, get
from litestar.params import FromPath

from clearing.console.answers import Asked
from clearing.console.refusals import Refusal

FOLDER = Path(__file__).parent / "web"
INDEX = "index.html"
_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain",
}


class WebFile(NamedTuple):
    content: bytes
    media_type: str
    etag: str


def read_files(folder: Path = FOLDER) -> dict[str, WebFile]:
    """Path below the folder → file; those of kinds that a browser is given."""
    found: dict[str, WebFile] = {}
    for path in sorted(folder.rglob("*")):
        kind = _TYPES.get(path.suffix)
        if path.is_file() and kind is not None:
            content = path.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            found[path.relative_to(folder).as_posix()] = WebFile(content, kind, etag)
    return found


@get(["/", "/index.html"], opt={"public": True})
async def index(request: Asked) -> Response[bytes]:
    return _file(request, INDEX)


@get("/web/{path:path}", opt={"public": True})
async def file(request: Asked, path: FromPath[str]) -> Response[bytes]:
    return _file(request, path.lstrip("/"))


def _file(request: Asked, name: str) -> Response[bytes]:
    """A browser asks each time whether it has changed: an update is seen at once."""
    files: dict[str, WebFile] = request.app.state.files
    found = files.get(name)
    if found is None:
        raise Refusal.missing(f"there is no file {name[:200]!r}")
    headers = {"Cache-Control": "no-cache", "ETag": found.etag}
    if request.headers.get("if-none-match") == found.etag:
        return Response(b"", status_code=304, headers=headers, media_type=found.media_type)
    return Response(found.content, headers=headers, media_type=found.media_type)


ROUTES = [index, file]
