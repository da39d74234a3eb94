"""The API: what is put together from its endpoints."""

from collections.abc import Mapping
from time import time
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response

from preceptor.feedback.store import Store
from preceptor.serving.best_of import Judge
from preceptor.serving.bodies import describe_bodies
from preceptor.serving.chat_completions import chat_routes
from preceptor.serving.completions import completion_routes
from preceptor.serving.feedback import FEEDBACK_BODIES, mount_feedback
from preceptor.serving.pages import mount_pages
from preceptor.serving.refusals import ErrorBody, handle_refusals
from preceptor.serving.replies import find_worker
from preceptor.serving.requests import ChatRequest, CompletionRequest
from preceptor.serving.worker import Worker


def create_app(workers: Mapping[str, Worker], judge: Judge | None = None, store: Store | None = None) -> FastAPI:
    """The app over the models by name, the reward model that ``best_of`` needs, and the store that chats go to."""
    app = FastAPI(title="Preceptor", docs_url=None, redoc_url=None)
    started = int(time())
    handle_refusals(app)

    def entry(name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": started, "owned_by": "preceptor"}

    @app.get("/health", responses={503: {"description": "A model has failed."}})
    async def health() -> Response:
        """Whether all models are sound."""
        sound = not any(worker.broken for worker in workers.values())
        return JSONResponse({"status": "ok" if sound else "broken"}, 200 if sound else 503)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        """The models that are served."""
        return {"object": "list", "data": [entry(name) for name in workers]}

    @app.get("/v1/models/{name:path}", responses={404: {"model": ErrorBody}})
    async def model(name: str) -> dict[str, Any]:
        """One of the models."""
        find_worker(workers, name)
        return entry(name)

    app.include_router(chat_routes(workers, judge))
    app.include_router(completion_routes(workers))
    mount_feedback(app, store)
    describe_bodies(app, [ChatRequest, CompletionRequest, *(FEEDBACK_BODIES if store is not None else ())])
    mount_pages(app)
    return app
