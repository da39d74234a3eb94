"""The labeling pages: plain files under static/."""

from pathlib import Path
from typing import Annotated

from fastapi import FastAPI
from fastapi import Path as PathParameter
from fastapi.responses import Response

from preceptor.feedback.app.errors import ProblemError
from preceptor.web.files import mount_files, page_response

STATIC = Path(__file__).parent / "static"


def install(app: FastAPI) -> None:
    """Serve the pages. After the API, whose paths go first."""
    mount_files(app, STATIC)

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
    return page_response(path)
