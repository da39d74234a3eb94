"""``preceptor export``: a model for other engines, as a GGUF file or as a Hugging Face directory with all merged."""

import argparse
from pathlib import Path
from typing import Any

from preceptor.errors import InputError

PRECISIONS = ("f32", "f16", "q8_0")
_GGUF = ".gguf"


def add_export(verbs: Any) -> None:
    """Add the verb to the program's."""
    export = verbs.add_parser("export", help="write a model for other engines", description=export_verb.__doc__)
    export.add_argument("--model", required=True, metavar="MODEL", help="a directory, a GGUF file or a hub id")
    export.add_argument("--out", required=True, type=Path, metavar="PATH", help="a file *.gguf, or a new directory")
    export.add_argument("--precision", choices=PRECISIONS, help="of the matrices of a GGUF file (default: f32)")
    export.set_defaults(call=export_verb)


def export_verb(options: argparse.Namespace) -> None:
    """Write one GGUF file (llama.cpp) or a Hugging Face directory (transformers, vLLM), adapters merged."""
    out: Path = options.out
    single = out.suffix == _GGUF
    if options.precision and not single:
        raise InputError(f"--precision {options.precision}: is for a GGUF file; name one, as --out model{_GGUF}")
    if out.exists() and (not single or out.is_dir()):
        raise InputError(f"--out {out}: is there already; name another place")
    from preceptor.allocation import settle

    settle()
    from preceptor.files import directory_atomic
    from preceptor.models.checkpoint import open_language_model, save_model
    from preceptor.models.gguf.export import export_gguf
    from preceptor.models.sources import find_model

    model, tokenizer = open_language_model(find_model(options.model))
    out.parent.mkdir(parents=True, exist_ok=True)
    if single:
        export_gguf(model, tokenizer, out, options.precision or "f32")
    else:
        with directory_atomic(out) as partial:
            save_model(model, partial, tokenizer)
    print(f"wrote {out}")
