"""Bodies of requests: read up to a bound, checked against what a request may say, and described in the API's schema."""

from collections.abc import Sequence
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ValidationError
from pydantic.json_schema import models_json_schema

from preceptor.serving.refusals import ErrorBody, RefusalError

MAX_BODY = 1 << 20  # bytes
Body = TypeVar("Body", bound=BaseModel)
_REFERENCE = "#/components/schemas/{model}"

# Of what read_body refuses.
UNREADABLE: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "The body says something that cannot be done; the message names it."},
    413: {"model": ErrorBody, "description": "The body is too long."},
    415: {"model": ErrorBody, "description": "The body is not sent as JSON."},
}
# Of an endpoint that writes text.
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The reply.", "content": {"application/json": {}, "text/event-stream": {}}},
    **UNREADABLE,
    404: {"model": ErrorBody, "description": "No such model."},
    429: {"model": ErrorBody, "description": "As many requests as there is room for; try again."},
    503: {"model": ErrorBody, "description": "The model has failed."},
}


async def read_body(request: Request, kind: type[Body]) -> Body:
    """The body, checked. Only as JSON: no page of another site can send that without being asked first."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RefusalError(415, "send the body as application/json")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise RefusalError(413, f"the body is longer than {MAX_BODY:,} bytes; shorten it")
    try:
        return kind.model_validate_json(bytes(body))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or None
        what = "is not supported here; leave it out" if first["type"] == "extra_forbidden" else first["msg"]
        raise RefusalError(400, f"{where or 'the body'}: {what}", param=where) from None


def described(kind: type[BaseModel]) -> dict[str, Any]:
    """The part of a route's description that says what its body is, since the route reads the body by itself."""
    schema = {"$ref": _REFERENCE.format(model=kind.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def describe_bodies(app: FastAPI, kinds: Sequence[type[BaseModel]]) -> None:
    """Add what bodies may say to the description at ``/openapi.json``."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            whole = get_openapi(title=app.title, version=app.version, routes=app.routes)
            _, bodies = models_json_schema([(kind, "validation") for kind in kinds], ref_template=_REFERENCE)
            whole["components"]["schemas"] |= bodies["$defs"]
            app.openapi_schema = whole
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
