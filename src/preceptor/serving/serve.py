"""Serving models with uvicorn: one process, one event loop, one engine thread a model."""

import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import uvicorn

from preceptor.errors import InputError
from preceptor.models.checkpoint import load_scalar_model, open_language_model
from preceptor.models.compute import COMPUTE, place
from preceptor.serving.api import create_app
from preceptor.serving.inspector import Inspector, Judges
from preceptor.serving.worker import Worker
from preceptor.text.tokenizer import Tokenizer
from preceptor.web.listen import listen

SHUTDOWN_SECONDS = 10


def serve(
    directories: Sequence[Path],
    host: str,
    port: int,
    say: Callable[[str], None] = print,
    *,
    reference: Path | None = None,
    reward: Path | None = None,
) -> None:
    """Serve models by the names of their directories, until interrupted.

    Who inspects a reply is told its KL from the ``reference`` and its score by the ``reward`` model, where given.
    """
    names = [directory.resolve().name for directory in directories]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"--model: two models are called {twice[0]}; rename one of the directories")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with listen(host, port) as listener:
        places = dict(zip(names, directories, strict=True))
        workers = {name: open_worker(directory) for name, directory in places.items()}
        tokenizers = {name: worker.tokenizer for name, worker in workers.items()}
        judges = open_judges(tokenizers, reference, reward)
        inspectors = {name: open_inspector(places[name], one, judges) for name, one in tokenizers.items()}
        say(f"serving {', '.join(names)} at http://{host}:{listener.getsockname()[1]}/v1; stop with Ctrl-C")
        with suppress(KeyboardInterrupt):  # uvicorn has finished what was begun, and raises the signal again
            uvicorn_server(workers, inspectors).run(sockets=[listener])
        for worker in workers.values():
            worker.close()
    say("stopped")


def open_worker(directory: Path) -> Worker:
    """A model from its directory, with its engine's thread started."""
    model, tokenizer = open_language_model(directory)
    return Worker(place(model, COMPUTE), tokenizer)


def open_judges(tokenizers: Mapping[str, Tokenizer], reference: Path | None, reward: Path | None) -> Judges:
    """The reference and the reward model. Raises :class:`InputError` if a served model has another vocabulary."""
    for option, directory in (("--reference", reference), ("--reward", reward)):
        theirs = None if directory is None else Tokenizer.load(directory).fingerprint
        for name, tokenizer in tokenizers.items():
            if theirs not in (None, tokenizer.fingerprint):
                raise InputError(
                    f"{option} {directory}: its tokenizer is not that of the model {name}; name one of the same run "
                    "or serve that model by itself"
                )
    return Judges(
        reference=None if reference is None else place(open_language_model(reference)[0], COMPUTE),
        reward=None if reward is None else place(load_scalar_model(reward), COMPUTE),
    )


def open_inspector(directory: Path, tokenizer: Tokenizer, judges: Judges) -> Inspector:
    """A look into the model of a directory, which is loaded once more when somebody first looks."""
    return Inspector(lambda: place(open_language_model(directory)[0], COMPUTE), tokenizer, judges)


def uvicorn_server(workers: Mapping[str, Worker], inspectors: Mapping[str, Inspector] | None = None) -> uvicorn.Server:
    """The server, not yet started."""
    return uvicorn.Server(
        uvicorn.Config(
            create_app(workers, inspectors),
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
    )
