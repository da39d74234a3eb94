"""``preceptor chat``: talking to models, at a terminal or from a script."""

import argparse
import sys
from typing import Any

from preceptor.allocation import start_torch
from preceptor.errors import InputError

_SAMPLING = ("temperature", "top_k", "top_p", "max_new_tokens", "seed")


def add_chat(verbs: Any) -> None:
    """Add the verb to the program's."""
    chat = verbs.add_parser("chat", help="talk to a model", description=chat_verb.__doc__)
    chat.add_argument(
        "--model",
        action="append",
        required=True,
        metavar="[NAME=]MODEL",
        help="a directory, a GGUF file or a hub id, and what to call it; repeat",
    )
    chat.add_argument("--system", help="a system message to begin with")
    chat.add_argument("--temperature", type=float, default=0.0, help="0 takes the likeliest token (default)")
    chat.add_argument("--top-k", type=int, default=0, help="sample from the k likeliest tokens; 0: from all (default)")
    chat.add_argument("--top-p", type=float, default=1.0, help="sample from this much probability (default: 1, all)")
    chat.add_argument("--max-new-tokens", type=int, default=48, help="longest reply in tokens (default: 48)")
    chat.add_argument("--seed", type=int, default=0, help="seed of the sampling (default: 0)")
    chat.add_argument("--threads", type=int, help="CPU threads (default: one a core)")
    chat.set_defaults(call=chat_verb)


def chat_verb(options: argparse.Namespace) -> None:
    """Talk to a model: at a terminal with history and commands (/help), else one message a line."""
    start_torch(options.threads)
    from pydantic import ValidationError

    from preceptor.chat.talk import Talk
    from preceptor.generation.sampling import SamplingConfig
    from preceptor.models.names import name_models
    from preceptor.models.sources import find_model

    try:
        sampling = SamplingConfig(**{key: getattr(options, key) for key in _SAMPLING})
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-")
        raise InputError(f"{option} {first['input']}: {first['msg'].replace('Input should be', 'must be')}") from None
    models = {name: find_model(given) for name, given in name_models(options.model).items()}
    talk = Talk(models, sampling, options.system)
    if sys.stdin.isatty() and sys.stdout.isatty():
        from preceptor.chat.terminal import Terminal

        Terminal(talk).run()
    else:
        from preceptor.chat.lines import chat_lines

        chat_lines(talk)
