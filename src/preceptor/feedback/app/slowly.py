"""Routes that take long: they have threads of their own, few of them, and never those that labelers' requests need."""

from collections.abc import Callable, Coroutine
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

import anyio.to_thread
from anyio.lowlevel import RunVar

AT_ONCE = 2
_LIMITER: RunVar[anyio.CapacityLimiter] = RunVar("threads for what takes long")
P = ParamSpec("P")
T = TypeVar("T")


async def run_slowly(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Call a function in one of these threads, when its turn comes."""
    try:
        limiter = _LIMITER.get()
    except LookupError:  # the first of this event loop
        limiter = anyio.CapacityLimiter(AT_ONCE)
        _LIMITER.set(limiter)
    return await anyio.to_thread.run_sync(partial(function, *arguments, **named), limiter=limiter)


def slowly(function: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """A route that runs in one of these threads."""

    @wraps(function)
    async def run(*arguments: P.args, **named: P.kwargs) -> T:
        return await run_slowly(function, *arguments, **named)

    return run
