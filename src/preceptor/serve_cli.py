"""``preceptor serve`` and ``preceptor serve-key``: models for people and programs, and the keys to them."""

import argparse
from pathlib import Path
from typing import Any

from preceptor.allocation import start_torch
from preceptor.errors import InputError
from preceptor.web.place import add_place, place_of


def add_serve(verbs: Any) -> None:
    """Add both verbs to the program's."""
    serve = verbs.add_parser(
        "serve", help="serve models over the OpenAI-compatible API", description=serve_verb.__doc__
    )
    what = serve.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--model",
        action="append",
        metavar="[NAME=]MODEL",
        help="a directory, a GGUF file or a hub id, and what clients call it; repeat",
    )
    what.add_argument("--backend", metavar="URL", help="the models of another server, such as vLLM's")
    serve.add_argument("--reward", metavar="MODEL", help="a reward model: scores inspected replies; best_of needs it")
    serve.add_argument("--reference", metavar="MODEL", help="what inspected replies are compared with, as PPO's start")
    serve.add_argument(
        "--store", metavar="URL", help="keep what people do on the chat page, if they agree, in this store of feedback"
    )
    serve.add_argument("--keys", type=Path, metavar="FILE", help="answer only to the keys of this file (see serve-key)")
    add_place(serve, 8001)
    serve.add_argument(
        "--timeout", type=float, default=600.0, metavar="SECONDS", help="for a request in all (default: 600)"
    )
    serve.add_argument(
        "--grace", type=float, default=25.0, metavar="SECONDS", help="for requests under way at the end (default: 25)"
    )
    serve.add_argument("--quiet", action="store_true", help="log only what fails here, not every request")
    serve.add_argument("--threads", type=int, help="CPU threads (default: one a core)")
    serve.set_defaults(call=serve_verb)

    key = verbs.add_parser("serve-key", help="make a key to a server", description=serve_key_verb.__doc__)
    key.add_argument("name", metavar="NAME", help="whose key it is, or what it is for; the log says it")
    key.add_argument("--keys", type=Path, required=True, metavar="FILE", help="the file to add it to")
    key.add_argument("--requests-per-minute", type=int, metavar="N", help="most requests a minute (default: any)")
    key.add_argument("--tokens-per-minute", type=int, metavar="N", help="most tokens read and written (default: any)")
    key.add_argument("--at-once", type=int, metavar="N", help="most requests under way at once (default: any)")
    key.set_defaults(call=serve_key_verb)


def serve_verb(options: argparse.Namespace) -> None:
    """Serve models over the OpenAI-compatible API, until Ctrl-C or SIGTERM."""
    place = place_of(options)
    if not place.is_loopback and options.keys is None:
        raise InputError(
            f"--host {place.host}: others could reach the server without a key; make one with `preceptor serve-key` "
            "and give --keys, or leave --host out"
        )
    for name in ("timeout", "grace"):
        if not 0 < getattr(options, name) < 1e6:
            raise InputError(f"--{name} {getattr(options, name):g}: give a number of seconds above 0")
    for name in ("reward", "reference", "store"):
        if options.backend is not None and getattr(options, name) is not None:
            raise InputError(f"--{name}: is for models that are served here, not for a backend; leave it out")
    start_torch(options.threads)
    from preceptor.models.names import name_models
    from preceptor.models.sources import find_model
    from preceptor.serving.serve import Models, Ways, serve

    ways = Ways(place, options.keys, options.timeout, options.grace, options.quiet)
    if options.backend is not None:
        what: Models | str = options.backend
    else:
        models = {name: find_model(model) for name, model in name_models(options.model).items()}
        reward, reference = (None if one is None else find_model(one) for one in (options.reward, options.reference))
        what = Models(models, reward, reference, options.store)
    serve(what, ways, lambda line: print(line, flush=True))


def serve_key_verb(options: argparse.Namespace) -> None:
    """Make a key, add its hash to a file, and print it. It is shown once: the file does not hold it."""
    limits = {name: getattr(options, name) for name in ("requests_per_minute", "tokens_per_minute", "at_once")}
    for name, value in limits.items():
        if value is not None and value < 1:
            raise InputError(f"--{name.replace('_', '-')} {value}: give at least 1")
    from preceptor.serving.front.keys import new_key

    print(new_key(options.keys, options.name, **limits))
