"""Serving models with uvicorn: one process, one event loop, one engine thread a model."""

import signal
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from preceptor.errors import InputError
from preceptor.models.checkpoint import open_language_model
from preceptor.models.compute import COMPUTE, place
from preceptor.serving.api import create_app
from preceptor.serving.backend import Backend
from preceptor.serving.front.front import Front
from preceptor.serving.front.keys import KeyRing
from preceptor.serving.front.log import log_config
from preceptor.serving.front.served import Served, Workers
from preceptor.serving.front.server import LAST_SECONDS, Server
from preceptor.serving.front.settings import FrontSettings
from preceptor.serving.passing import create_passing_app
from preceptor.serving.worker import Worker
from preceptor.web.connection import Connection
from preceptor.web.place import KEEP_ALIVE_SECONDS, Place, address, hosts


@dataclass(frozen=True)
class Ways:
    """How to serve."""

    place: Place = field(default_factory=lambda: Place(port=8001))
    keys: Path | None = None  # a file; without it everybody who reaches the server may ask
    timeout: float = 600.0  # seconds for a request in all
    grace: float = 25.0  # seconds for what is under way when the server is to stop
    quiet: bool = False


def serve(what: Sequence[Path] | str, ways: Ways, say: Callable[[str], None] = print) -> None:
    """Serve models by the names of their directories, or those of the server at a URL, until interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    keys = None if ways.keys is None else KeyRing(ways.keys)
    served: Served
    with ways.place.open() as listener, ExitStack() as closing:
        if isinstance(what, str):
            backend = Backend(what)
            served, app, names = backend, create_passing_app(backend), f"the models of {backend.url}"
        else:
            workers = {name: open_worker(directory) for name, directory in _named(what).items()}
            for worker in workers.values():
                closing.callback(worker.close)
            served, app, names = Workers(workers), create_app(workers), ", ".join(workers)
        server = uvicorn_server(app, served, ways, keys, log_config=log_config(quiet=ways.quiet))
        say(f"serving {names} at {address(ways.place, listener.getsockname()[1])}/v1; stop with Ctrl-C")
        with suppress(KeyboardInterrupt):  # uvicorn has finished what was begun, and raises the signal again
            server.run(sockets=[listener])
    say("stopped")


def _named(directories: Sequence[Path]) -> dict[str, Path]:
    names = [directory.resolve().name for directory in directories]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"--model: two models are called {twice[0]}; rename one of the directories")
    return dict(zip(names, directories, strict=True))


def open_worker(directory: Path) -> Worker:
    """A model from its directory, with its engine's thread started."""
    model, tokenizer = open_language_model(directory)
    return Worker(place(model, COMPUTE), tokenizer)


def uvicorn_server(
    app: ASGIApp,
    served: Served,
    ways: Ways | None = None,
    keys: KeyRing | None = None,
    *,
    settings: FrontSettings | None = None,
    log_config: dict[str, Any] | None = None,
) -> Server:
    """The server, not yet started: the app, and the front before it."""
    ways = ways or Ways()
    settings = settings or FrontSettings(hosts=hosts(ways.place), timeout=ways.timeout)
    front = Front(app, served, settings, keys)
    config = uvicorn.Config(
        front,
        http=Connection,
        ws="none",
        log_config=log_config,
        log_level="warning",
        access_log=False,  # the front has its own
        server_header=False,
        proxy_headers=ways.place.behind_proxy,
        forwarded_allow_ips="127.0.0.1,::1" if ways.place.behind_proxy else None,
        limit_concurrency=2 * settings.requests_at_once,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(LAST_SECONDS),
        ssl_certfile=ways.place.tls_certificate,
        ssl_keyfile=ways.place.tls_key,
    )
    return Server(config, front, ways.grace)
