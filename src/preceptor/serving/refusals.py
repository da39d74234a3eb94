"""Requests that get no reply: a status, and the error as OpenAI's clients read it."""

import math
from collections.abc import Mapping
from typing import TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

T = TypeVar("T")


class Problem(BaseModel):
    """What is wrong."""

    message: str
    type: str
    param: str | None  # the field that is to blame
    code: str | None


class ErrorBody(BaseModel):
    """The body of every refusal."""

    error: Problem


class RefusalError(Exception):
    """A request that gets no reply.

    ``wait`` is in how many seconds it may, where it came too early; ``headers`` take the place of the one that says so.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        wait: float = 1.0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        kind = "invalid_request_error" if status < 429 else "rate_limit_error" if status == 429 else "server_error"
        early = {"Retry-After": str(math.ceil(wait))} if status == 429 else {}
        self.status, self.headers = status, early if headers is None else dict(headers)
        self.body = ErrorBody(error=Problem(message=message, type=kind, param=param, code=code)).model_dump()


def failed() -> RefusalError:
    """What is said when the engine has stopped."""
    return RefusalError(503, "the model has failed; the server must be started again")


def find_served(there: Mapping[str, T], name: str) -> T:
    """What is there by the name of the model that a request names; a refusal if that is not served."""
    if name not in there:
        raise RefusalError(
            404, f"no such model here; there are: {', '.join(there)}", code="model_not_found", param="model"
        )
    return there[name]


def full() -> RefusalError:
    """What is said when there is no room for a request now."""
    return RefusalError(429, "the server has as many requests as it can take; try again in a second")


def handle_refusals(app: FastAPI) -> None:
    """Make answers of the refusals that routes raise, and of requests that no route is for."""

    @app.exception_handler(RefusalError)
    async def refuse(_: Request, refusal: RefusalError) -> Response:
        return JSONResponse(refusal.body, refusal.status, refusal.headers)

    @app.exception_handler(HTTPException)
    async def no_route(_: Request, error: HTTPException) -> Response:
        refusal = RefusalError(error.status_code, str(error.detail))
        return JSONResponse(refusal.body, refusal.status, error.headers)

    @app.exception_handler(ClientDisconnect)
    async def left(_: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=499)  # in the middle of a body; nobody reads the answer

    @app.exception_handler(Exception)
    async def broken(_: Request, error: Exception) -> Response:
        refusal = RefusalError(500, "something went wrong here; it is in the server's log")
        return JSONResponse(refusal.body, refusal.status)
