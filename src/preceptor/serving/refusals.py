"""Requests that get no reply: a status, and the error as OpenAI's clients read it."""

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response


class RefusalError(Exception):
    """A request that gets no reply; ``param`` is the field that is to blame."""

    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None) -> None:
        kind = "invalid_request_error" if status < 429 else "rate_limit_error" if status == 429 else "server_error"
        self.status, self.headers = status, {"Retry-After": "1"} if status == 429 else {}
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


def failed() -> RefusalError:
    """What is said when the engine has stopped."""
    return RefusalError(503, "the model has failed; the server must be started again")


def handle_refusals(app: FastAPI) -> None:
    """Make answers of the refusals that routes raise."""

    @app.exception_handler(RefusalError)
    async def refuse(_: Request, refusal: RefusalError) -> Response:
        return JSONResponse(refusal.body, refusal.status, refusal.headers)
