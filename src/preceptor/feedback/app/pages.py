"""The pages: plain files under static/, without a build step."""

from pathlib import Path
from typing import Annotated

from fastapi import FastAPI
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from preceptor.feedback.app.errors import ProblemError

STATIC = Path(__file__).parent / "static"
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


class _Static(StaticFiles):
    """Files of the kinds above; a browser asks each time whether they have changed, and is told 304 if not."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file."""
        kind = KINDS.get(Path(path).suffix)
        if kind is None:
            raise ProblemError(404, "there is no such file")
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        if response.status_code == 200:
            response.headers["Content-Type"] = kind
        return response


def install(app: FastAPI) -> None:
    """Serve the pages. After the API, whose paths go first."""
    app.mount("/static", _Static(directory=STATIC, check_dir=False), name="static")

    @app.get("/", include_in_schema=False)
    def index() -> Response:
        return _page("index")

    @app.get("/{name}", include_in_schema=False)
    def page(name: Annotated[str, PathParameter(max_length=100)]) -> Response:
        return _page(name)


def _page(name: str) -> Response:
    path = STATIC / f"{name}.html"
    if not name.replace("-", "").isalnum() or not name.isascii() or not path.is_file():
        raise ProblemError(404, "there is no such page")
    return FileResponse(path, headers={"Cache-Control": "no-cache"}, media_type=KINDS[".html"])
