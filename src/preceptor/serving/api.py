"""The API: what is put together from its endpoints."""

from collections.abc import Mapping
from time import time
from typing import Any

from fastapi import FastAPI

from preceptor.feedback.store import Store
from preceptor.serving.best_of import Judge
from preceptor.serving.bodies import describe_bodies
from preceptor.serving.chat_completions import chat_routes
from preceptor.serving.completions import completion_routes
from preceptor.serving.feedback import FEEDBACK_BODIES, mount_feedback
from preceptor.serving.inspection import AttentionRequest, InspectRequest, inspection_routes
from preceptor.serving.inspector import Inspector
from preceptor.serving.pages import mount_pages
from preceptor.serving.refusals import ErrorBody, find_served, handle_refusals
from preceptor.serving.requests import ChatRequest, CompletionRequest
from preceptor.serving.worker import Worker


def create_app(
    workers: Mapping[str, Worker],
    judge: Judge | None = None,
    inspectors: Mapping[str, Inspector] | None = None,
    store: Store | None = None,
) -> FastAPI:
    """The app over the models by name, with a look into those of ``inspectors``; ``judge`` scores replies.

    With a ``store`` it keeps what people do, of those who agree.
    """
    app = FastAPI(title="Preceptor", docs_url=None, redoc_url=None)
    started = int(time())
    handle_refusals(app)

    def entry(name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": started, "owned_by": "preceptor"}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        """The models that are served."""
        return {"object": "list", "data": [entry(name) for name in workers]}

    @app.get("/v1/models/{name:path}", responses={404: {"model": ErrorBody}})
    async def model(name: str) -> dict[str, Any]:
        """One of the models."""
        find_served(workers, name)
        return entry(name)

    app.include_router(chat_routes(workers, judge))
    app.include_router(completion_routes(workers))
    app.include_router(inspection_routes(inspectors or {}, judge))
    mount_feedback(app, store)
    feedback = () if store is None else FEEDBACK_BODIES
    describe_bodies(app, [ChatRequest, CompletionRequest, InspectRequest, AttentionRequest, *feedback])
    mount_pages(app)
    return app
