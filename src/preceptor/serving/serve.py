"""Serving models with uvicorn: one process, one event loop, one engine thread a model."""

import signal
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from pathlib import Path

import uvicorn

from preceptor.feedback.store import Store, open_store
from preceptor.models.checkpoint import load_scalar_model, open_language_model
from preceptor.models.compute import COMPUTE, place
from preceptor.serving.api import create_app
from preceptor.serving.best_of import Judge
from preceptor.serving.worker import Worker
from preceptor.text.tokenizer import Tokenizer
from preceptor.web.listen import listen

SHUTDOWN_SECONDS = 10


def serve(
    models: Mapping[str, Path],
    host: str,
    port: int,
    say: Callable[[str], None] = print,
    *,
    reward: Path | None = None,
    database: str | None = None,
) -> None:
    """Serve models by name, until interrupted; ``reward`` is the reward model for ``best_of``.

    With a ``database`` it keeps there what people do on the chat page, of those who agree to it.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with listen(host, port) as listener, _opened(database) as store:
        judge = None if reward is None else open_judge(reward)
        workers = {name: open_worker(directory) for name, directory in models.items()}
        say(f"serving {', '.join(models)} at http://{host}:{listener.getsockname()[1]}/v1; stop with Ctrl-C")
        if store is not None:
            say(f"what people do is kept in {store.name}, of those who agree")
        with suppress(KeyboardInterrupt):  # uvicorn has finished what was begun, and raises the signal again
            uvicorn_server(workers, judge, store).run(sockets=[listener])
        for worker in workers.values():
            worker.close()
        if judge is not None:
            judge.close()
    say("stopped")


def _opened(database: str | None) -> AbstractContextManager[Store | None]:
    return nullcontext() if database is None else closing(open_store(database))


def open_worker(directory: Path) -> Worker:
    """A model from its directory, with its engine's thread started."""
    model, tokenizer = open_language_model(directory)
    return Worker(place(model, COMPUTE), tokenizer)


def open_judge(directory: Path) -> Judge:
    """A reward model from its directory."""
    return Judge(place(load_scalar_model(directory), COMPUTE), Tokenizer.load(directory))


def uvicorn_server(
    workers: Mapping[str, Worker], judge: Judge | None = None, store: Store | None = None
) -> uvicorn.Server:
    """The server, not yet started."""
    return uvicorn.Server(
        uvicorn.Config(
            create_app(workers, judge, store),
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
    )
