"""Pages are plain files, served as they are, without a build step."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from preceptor.web.headers import SECURITY_HEADERS

COMMON = Path(__file__).parent / "static"
# Stated here, since a machine's own table of kinds may lack some or have them wrong, and nosniff is strict.
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
}
# A browser asks each time whether a file has changed, and is told 304 if not.
HEADERS = {"Cache-Control": "no-cache", **SECURITY_HEADERS}


class _Static(StaticFiles):
    """Files of the kinds above."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file."""
        kind = KINDS.get(Path(path).suffix)
        if kind is None:
            raise HTTPException(404)
        response = await super().get_response(path, scope)
        for name, value in HEADERS.items():
            response.headers[name] = value
        if response.status_code == 200:
            response.headers["Content-Type"] = kind
        return response


def mount_files(app: FastAPI, directory: Path) -> None:
    """Serve a folder under /static, and what all pages share under /common."""
    app.mount("/static", _Static(directory=directory, check_dir=False), name="static")
    app.mount("/common", _Static(directory=COMMON), name="common")


def page_response(path: Path) -> Response:
    """An HTML page."""
    return FileResponse(path, headers=HEADERS, media_type=KINDS[".html"])
