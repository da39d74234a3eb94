"""How the API says no: one shape for every error, and which status each error of the service layer has."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from preceptor.errors import InputError
from preceptor.feedback.store.errors import ForbiddenError, NotFoundError, StaleError
from preceptor.web.headers import SECURITY_HEADERS

CODES = {
    400: "bad_request",
    401: "signed_out",
    403: "forbidden",
    404: "not_found",
    405: "method",
    409: "stale",
    413: "too_large",
    415: "media_type",
    422: "invalid",
    429: "too_many",
    500: "internal",
    503: "busy",
}
STATUSES: dict[type[InputError], int] = {NotFoundError: 404, ForbiddenError: 403, StaleError: 409}
MESSAGES = {404: "there is no such page or route", 405: "this route has no such method"}
MAX_MESSAGE = 500


class ErrorBody(BaseModel):
    """What went wrong, for programs and for people."""

    code: str
    message: str


class ErrorAnswer(BaseModel):
    """The shape of every error. ``kept`` is what was sent, where it would be lost otherwise."""

    error: ErrorBody
    kept: Any = None


class ProblemError(Exception):
    """An error with a status, raised by a route."""

    def __init__(
        self, status: int, message: str, *, code: str = "", kept: Any = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.kept = status, message, kept
        self.code = code or CODES[status]
        self.headers = dict(headers or {})


def status_of(error: InputError) -> int:
    """The status of what the service layer says no to."""
    return next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 422)


def problem_response(problem: ProblemError) -> JSONResponse:
    """The answer that stands for a problem."""
    message = " ".join(problem.message.split())
    message = message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 3] + "..."
    body: dict[str, Any] = {"error": {"code": problem.code, "message": _unicode(message)}}
    if problem.kept is not None:
        body["kept"] = problem.kept
    return JSONResponse(body, problem.status, headers=problem.headers)


@contextmanager
def keeping(body: BaseModel) -> Iterator[None]:
    """Whoever comes too late gets back what was sent, so that no text is lost."""
    try:
        yield
    except StaleError as error:
        raise ProblemError(409, str(error), kept=body.model_dump(mode="json")) from None


def install(app: FastAPI) -> None:
    """Make the app answer every error in the one shape."""

    @app.exception_handler(ProblemError)
    async def _problem(_: Request, error: ProblemError) -> JSONResponse:
        return problem_response(error)

    @app.exception_handler(InputError)
    async def _refused(_: Request, error: InputError) -> JSONResponse:
        return problem_response(ProblemError(status_of(error), str(error)))

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return problem_response(ProblemError(422, _first(error)))

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        status = error.status_code if error.status_code in CODES else 400
        headers = {
            key: value for key, value in (error.headers or {}).items() if key.lower() in ("allow", "retry-after")
        }
        return problem_response(ProblemError(status, MESSAGES.get(status, str(error.detail)), headers=headers))

    @app.exception_handler(DBAPIError)
    @app.exception_handler(PoolTimeout)
    async def _database(_: Request, error: Exception) -> JSONResponse:
        if not may_pass(error):
            raise error
        return problem_response(
            ProblemError(503, "the database is busy; try again shortly", headers={"Retry-After": "2"})
        )

    @app.exception_handler(Exception)
    async def _internal(_: Request, error: Exception) -> JSONResponse:
        # Outside of all middleware, so the headers are put on here. The server's log has the traceback.
        return problem_response(
            ProblemError(500, "something went wrong here; it is in the log", headers=SECURITY_HEADERS)
        )


def may_pass(error: Exception) -> bool:
    """Whether trying again may help: the database is locked, restarting, or gave up on a deadlock; or all are taken."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, PoolTimeout)
    return type(error).__name__ in ("OperationalError", "InterfaceError") or error.connection_invalidated


def _first(error: RequestValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:] if not str(part).startswith("function-"))
    message = str(first["msg"]).removeprefix("Value error, ")
    return f"{where[:100]}: {message}" if where else message


def _unicode(text: str) -> str:
    """A message may quote what was sent, and half surrogate pairs cannot be sent back."""
    return text.encode("utf-8", "replace").decode("utf-8")
