"""Serving models with uvicorn: one process, one event loop, one engine thread a model."""

import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from pathlib import Path

import uvicorn

from preceptor.errors import InputError
from preceptor.feedback.store import Store, open_store
from preceptor.models.checkpoint import open_language_model
from preceptor.models.compute import COMPUTE, place
from preceptor.serving.api import create_app
from preceptor.serving.worker import Worker
from preceptor.web.listen import listen

SHUTDOWN_SECONDS = 10


def serve(
    directories: Sequence[Path],
    host: str,
    port: int,
    say: Callable[[str], None] = print,
    database: str | None = None,
) -> None:
    """Serve models by the names of their directories, until interrupted.

    With a ``database`` it keeps there what people do on the chat page, of those who agree to it.
    """
    names = [directory.resolve().name for directory in directories]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"--model: two models are called {twice[0]}; rename one of the directories")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with listen(host, port) as listener, _opened(database) as store:
        workers = {name: open_worker(directory) for name, directory in zip(names, directories, strict=True)}
        say(f"serving {', '.join(names)} at http://{host}:{listener.getsockname()[1]}/v1; stop with Ctrl-C")
        if store is not None:
            say(f"what people do is kept in {store.name}, of those who agree")
        with suppress(KeyboardInterrupt):  # uvicorn has finished what was begun, and raises the signal again
            uvicorn_server(workers, store).run(sockets=[listener])
        for worker in workers.values():
            worker.close()
    say("stopped")


def _opened(database: str | None) -> AbstractContextManager[Store | None]:
    return nullcontext() if database is None else closing(open_store(database))


def open_worker(directory: Path) -> Worker:
    """A model from its directory, with its engine's thread started."""
    model, tokenizer = open_language_model(directory)
    return Worker(place(model, COMPUTE), tokenizer)


def uvicorn_server(workers: Mapping[str, Worker], store: Store | None = None) -> uvicorn.Server:
    """The server, not yet started."""
    return uvicorn.Server(
        uvicorn.Config(
            create_app(workers, store),
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
    )
