"""The chat page: plain files that speak to the OpenAI-compatible API of the same origin (docs/chat-page.md)."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import Response

from preceptor.web.files import mount_files, page_response

STATIC = Path(__file__).parent / "static"


def mount_pages(app: FastAPI) -> None:
    """Serve the chat page at ``/``, its files under ``/static`` and ``/common``.

    Call it after the API's routes were added. Every answer it gives carries `preceptor.web.headers.SECURITY_HEADERS`;
    answers of other routes are left alone.
    """
    mount_files(app, STATIC)

    @app.get("/", include_in_schema=False)
    def index() -> Response:
        return page_response(STATIC / "index.html")
