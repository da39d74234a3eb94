"""Bodies of requests: read up to a bound, and checked against what a request may say."""

from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from preceptor.serving.refusals import RefusalError

MAX_BODY = 1 << 20  # bytes
Body = TypeVar("Body", bound=BaseModel)


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
