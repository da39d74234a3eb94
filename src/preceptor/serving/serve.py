"""Serving models with uvicorn: one event loop, and a process with its engine for each model."""

import signal
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
import uvicorn
from starlette.types import ASGIApp

from preceptor.errors import InputError
from preceptor.feedback.store import Store, open_store
from preceptor.models.checkpoint import load_scalar_model, open_language_model
from preceptor.models.compute import COMPUTE, place
from preceptor.models.transformer import Transformer
from preceptor.serving.api import create_app
from preceptor.serving.backend import Backend
from preceptor.serving.beside import beside_process
from preceptor.serving.best_of import Judge
from preceptor.serving.front.front import Front
from preceptor.serving.front.keys import KeyRing
from preceptor.serving.front.log import log_config
from preceptor.serving.front.served import Served, Workers
from preceptor.serving.front.server import LAST_SECONDS, Server
from preceptor.serving.front.settings import FrontSettings
from preceptor.serving.inspector import Inspector
from preceptor.serving.passing import create_passing_app
from preceptor.serving.worker import Worker
from preceptor.text.tokenizer import Tokenizer
from preceptor.web.connection import Connection
from preceptor.web.place import KEEP_ALIVE_SECONDS, Place, address, hosts


@dataclass(frozen=True)
class Models:
    """Models of our own: directories by name."""

    models: Mapping[str, Path]
    reward: Path | None = None  # scores replies, for best_of and when they are inspected
    reference: Path | None = None  # what an inspected reply's KL is measured from
    store: str | None = None  # where what people do is kept, of those who agree


@dataclass(frozen=True)
class Ways:
    """How to serve."""

    place: Place = field(default_factory=lambda: Place(port=8001))
    keys: Path | None = None  # a file; without it everybody who reaches the server may ask
    timeout: float = 600.0  # seconds for a request in all
    grace: float = 25.0  # seconds for what is under way when the server is to stop
    quiet: bool = False  # log only what fails here


def serve(what: Models | str, ways: Ways, say: Callable[[str], None] = print) -> None:
    """Serve models, or those of the server at a URL, until interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    keys = None if ways.keys is None else KeyRing(ways.keys)
    with ways.place.open() as listener, ExitStack() as ends:
        if isinstance(what, str):
            backend = Backend(what)
            server = front_server(create_passing_app(backend), backend, ways, keys, log=log_config(quiet=ways.quiet))
            names = f"the models of {backend.url}"
        else:
            store = None if what.store is None else ends.enter_context(closing(open_store(what.store)))
            judge = None if what.reward is None else open_judge(what.reward)
            if judge is not None:
                ends.callback(judge.close)
            workers = open_workers(what.models)
            for worker in workers.values():
                ends.callback(worker.close)
            tokenizers = {name: worker.tokenizer for name, worker in workers.items()}
            inspectors = open_inspectors(what.models, tokenizers, what.reference)
            server = uvicorn_server(
                workers, judge, inspectors, ways, keys, store=store, log=log_config(quiet=ways.quiet)
            )
            names = ", ".join(workers)
            if store is not None:
                say(f"what people do is kept in {store.name}, of those who agree")
        say(f"serving {names} at {address(ways.place, listener.getsockname()[1])}/v1; stop with Ctrl-C")
        with suppress(KeyboardInterrupt):  # uvicorn has finished what was begun, and raises the signal again
            server.run(sockets=[listener])
    say("stopped")


def open_workers(models: Mapping[str, Path]) -> dict[str, Worker]:
    """Models by name, each in a process of its own; all load at once. If one cannot be opened, none is."""
    begun, workers = [], dict[str, Worker]()
    try:
        for directory in models.values():
            begun.append(beside_process(directory, torch.get_num_threads()))
        for (name, directory), (line, process) in zip(models.items(), begun, strict=True):
            workers[name] = Worker(line, process, Tokenizer.load(directory))
    except BaseException:
        for worker in workers.values():
            worker.close()
        for _, process in begun:  # whatever they load, nobody has asked them anything
            process.kill()
            process.join()
        raise
    return workers


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
    workers: Mapping[str, Worker],
    judge: Judge | None = None,
    inspectors: Mapping[str, Inspector] | None = None,
    ways: Ways | None = None,
    keys: KeyRing | None = None,
    *,
    store: Store | None = None,
    **more: Any,
) -> Server:
    """The server of our own models, not yet started."""
    return front_server(create_app(workers, judge, inspectors, store), Workers(workers), ways, keys, **more)


def front_server(
    app: ASGIApp,
    served: Served,
    ways: Ways | None = None,
    keys: KeyRing | None = None,
    *,
    settings: FrontSettings | None = None,
    log: dict[str, Any] | None = None,
) -> Server:
    """The server of an app, with the front before it. ``log`` configures logging, which else is left as it is."""
    ways = ways or Ways()
    settings = settings or FrontSettings(hosts=hosts(ways.place), timeout=ways.timeout)
    front = Front(app, served, settings, keys)
    config = uvicorn.Config(
        front,
        http=Connection,
        ws="none",
        log_config=log,
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
