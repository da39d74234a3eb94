"""The API: what is put together from its endpoints."""

from collections.abc import Mapping
from time import time
from typing import Any

from fastapi import FastAPI

from preceptor.serving.chat_completions import chat_routes
from preceptor.serving.pages import mount_pages
from preceptor.serving.refusals import handle_refusals
from preceptor.serving.worker import Worker


def create_app(workers: Mapping[str, Worker]) -> FastAPI:
    """The app over the models by name."""
    app = FastAPI(title="Preceptor", docs_url=None, redoc_url=None)
    started = int(time())
    handle_refusals(app)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        data = [{"id": name, "object": "model", "created": started, "owned_by": "preceptor"} for name in workers]
        return {"object": "list", "data": data}

    app.include_router(chat_routes(workers))
    mount_pages(app)
    return app
