"""The app: everything put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
from fastapi import FastAPI

import preceptor
from preceptor.feedback.app import errors, pages
from preceptor.feedback.app.errors import ErrorAnswer
from preceptor.feedback.app.guard import Guard
from preceptor.feedback.app.passwords import Passwords
from preceptor.feedback.app.routes import account, admin, figures, files, reading, review, tasks
from preceptor.feedback.app.settings import AppSettings
from preceptor.feedback.store import Store
from preceptor.web.attempts import Attempts

ROUTERS = (account, reading, tasks, review, admin, figures, files)
ERRORS = (400, 401, 403, 404, 409, 413, 415, 422, 429, 503)


def create_app(store: Store, settings: AppSettings | None = None) -> FastAPI:
    """An ASGI app over a store. Whoever made the store closes it.

    Routes that touch the database are plain functions: FastAPI runs them in threads, and the event loop never waits.
    """
    settings = settings or AppSettings()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = settings.threads
        yield

    app = FastAPI(
        lifespan=lifespan,
        title="Preceptor labeling",
        version=preceptor.__version__,
        description="Prompts, demonstrations and rankings from a team of labelers. See docs/labeling-api.md.",
        openapi_url="/api/openapi.json",
        docs_url=None,  # it would load scripts from elsewhere
        redoc_url=None,
    )
    app.state.store = store
    app.state.settings = settings
    app.state.passwords = Passwords(settings.hasher)
    app.state.attempts = (
        Attempts(settings.sign_in_failures, settings.failure_seconds),
        Attempts(settings.address_failures, settings.failure_seconds),
    )
    app.state.hashing = anyio.CapacityLimiter(settings.hashings_at_once)
    shapes: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorAnswer, "description": errors.CODES[status]} for status in ERRORS
    }
    for module in ROUTERS:
        app.include_router(module.router, responses=shapes)
    errors.install(app)
    pages.install(app)
    app.add_middleware(Guard, settings=settings)
    return app
