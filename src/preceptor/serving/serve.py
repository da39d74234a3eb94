"""Serving models with uvicorn: one process, one event loop, one engine thread a model."""

import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import uvicorn

from preceptor.errors import InputError
from preceptor.models.checkpoint import load_scalar_model, open_language_model
from preceptor.models.compute import COMPUTE, place
from preceptor.models.transformer import Transformer
from preceptor.serving.api import create_app
from preceptor.serving.best_of import Judge
from preceptor.serving.inspector import Inspector
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
    reference: Path | None = None,
) -> None:
    """Serve models by name, until interrupted.

    The ``reward`` model scores replies, for ``best_of`` and when they are inspected; the ``reference`` is what an
    inspected reply's KL is measured from.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with listen(host, port) as listener:
        judge = None if reward is None else open_judge(reward)
        workers = {name: open_worker(directory) for name, directory in models.items()}
        inspectors = open_inspectors(models, {name: worker.tokenizer for name, worker in workers.items()}, reference)
        say(f"serving {', '.join(models)} at http://{host}:{listener.getsockname()[1]}/v1; stop with Ctrl-C")
        with suppress(KeyboardInterrupt):  # uvicorn has finished what was begun, and raises the signal again
            uvicorn_server(workers, judge, inspectors).run(sockets=[listener])
        for worker in workers.values():
            worker.close()
        if judge is not None:
            judge.close()
    say("stopped")


def open_worker(directory: Path) -> Worker:
    """A model from its directory, with its engine's thread started."""
    model, tokenizer = open_language_model(directory)
    return Worker(place(model, COMPUTE), tokenizer)


def open_judge(directory: Path) -> Judge:
    """A reward model from its directory."""
    return Judge(place(load_scalar_model(directory), COMPUTE), Tokenizer.load(directory))


def open_inspectors(
    models: Mapping[str, Path], tokenizers: Mapping[str, Tokenizer], reference: Path | None
) -> dict[str, Inspector]:
    """Looks into models; each is loaded once more when somebody first looks.

    Raises :class:`InputError` for a reference with another tokenizer: between its distributions and theirs is no KL.
    """
    theirs = None if reference is None else Tokenizer.load(reference).fingerprint
    for name, tokenizer in tokenizers.items():
        if theirs not in (None, tokenizer.fingerprint):
            raise InputError(
                f"--reference {reference}: its tokenizer is not that of the model {name}; name one of the same run, or "
                f"do not serve {name} beside it"
            )
    compared = None if reference is None else _load(reference)
    return {name: Inspector(partial(_load, models[name]), one, compared) for name, one in tokenizers.items()}


def _load(directory: Path) -> Transformer:
    return place(open_language_model(directory)[0], COMPUTE)


def uvicorn_server(
    workers: Mapping[str, Worker], judge: Judge | None = None, inspectors: Mapping[str, Inspector] | None = None
) -> uvicorn.Server:
    """The server, not yet started."""
    return uvicorn.Server(
        uvicorn.Config(
            create_app(workers, judge, inspectors),
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
    )
