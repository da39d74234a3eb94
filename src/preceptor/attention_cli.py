"""``preceptor attention``: where the heads of a model look, as a picture."""

import argparse
from pathlib import Path
from typing import Any

from preceptor.errors import InputError

MOST_TOKENS = 64  # cells of a larger map are too small to see, and the file is large


def add_attention(verbs: Any) -> None:
    """Add the verb to the program's."""
    parser = verbs.add_parser("attention", help="draw where a model looks", description=attention_verb.__doc__)
    parser.add_argument("text", metavar="TEXT", help="a sentence")
    parser.add_argument("--model", required=True, metavar="MODEL", help="a directory, a GGUF file or a hub id")
    parser.add_argument(
        "--out", type=Path, default=Path("attention.svg"), metavar="FILE", help="SVG to write (default: attention.svg)"
    )
    parser.set_defaults(call=attention_verb)


def attention_verb(options: argparse.Namespace) -> None:
    """Write an SVG with the attention of every layer and head of a model on a text."""
    if not options.text.strip():
        raise InputError("the text is empty; give a sentence")
    from preceptor.files import write_atomic
    from preceptor.models.attention_maps import attention_of
    from preceptor.models.checkpoint import open_language_model
    from preceptor.models.sources import find_model
    from preceptor.reporting.foundations import attention_chart
    from preceptor.reporting.svg import standalone

    model, tokenizer = open_language_model(find_model(options.model))
    ids = tokenizer.encode(options.text)
    most = min(MOST_TOKENS, model.context) - 1  # a begin token may come before them
    if len(ids) > most:
        raise InputError(f"the text has {len(ids)} tokens and the picture holds {most}; shorten it")
    seen = attention_of(model, ids, tokenizer)
    drawn = attention_chart("attention", seen)
    write_atomic(options.out, standalone(drawn))
    print(f"{options.out}: {len(seen['maps'])} layers of {len(seen['maps'][0])} heads, {len(seen['tokens'])} tokens")
