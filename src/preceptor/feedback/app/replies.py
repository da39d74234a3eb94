"""JSON in and out, by pydantic's own parser and writer."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from pydantic_core import from_json

_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}


class _StrictRequest(Request):
    """Refuses what Python's own parser lets pass: half surrogate pairs, NaN, endless nesting. They fail later."""

    async def json(self) -> Any:
        """The body; a ValueError, which is answered 400, if it is no JSON."""
        return from_json(await self.body(), allow_inf_nan=False)


class Route(APIRoute):
    """A route of the API."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, given a request of ours."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await handler(_StrictRequest(request.scope, request.receive))

        return handle


def reply(value: Any, status: int = 200) -> Response:
    """The value (a model or a dataclass) as JSON. FastAPI would check it once more, in a thread of its own."""
    kind = type(value)
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return Response(_ADAPTERS[kind].dump_json(value), status, media_type="application/json")
