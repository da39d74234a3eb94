"""One stage by itself, on files: what ``preceptor sft`` and the other verbs do."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from preceptor.config import Config
from preceptor.errors import InputError
from preceptor.ledger import claimed
from preceptor.provenance import earlier_summary, provenance, write_provenance
from preceptor.recipe import Recipe
from preceptor.reporting.card import write_card
from preceptor.training.progress import Progress, jsonable


def run_alone(
    stage: Callable[..., dict[str, Any]],
    name: str,
    config: Config,
    recipe: Recipe,
    inputs: dict[str, Any],
    outs: dict[str, Path | None],
    progress: Progress,
) -> dict[str, Any]:
    """Call a stage with ``config``, its table, and return its summary; one that is done is not done again.

    A directory that it writes says in ``provenance.json`` from the start what it is made from, so
    that a stage that was stopped goes on, and never from the checkpoint of another.
    """
    if name == "report":
        return stage(config, **inputs, **outs)
    arguments = {**inputs, **outs, "seed": recipe.seed, "progress": progress}
    if name in ("sample", "rank"):  # they write a file
        return stage(config, **arguments)
    directories = [out for out in outs.values() if out is not None]
    records = [(out, provenance(name, recipe.name, config, recipe.seed, inputs, out)) for out in directories]
    earlier = [_check(out, record) for out, record in records]
    if earlier[0] is not None:
        return earlier[0]
    with ExitStack() as stack:
        for out, record in records:
            stack.enter_context(claimed(out))
            write_provenance(out, record)
        summary: dict[str, Any] = jsonable(stage(config, **arguments))
        for out, record in records:
            if out.is_dir():
                write_provenance(out, record, summary)
                write_card(out)
    return summary


def _check(out: Path, record: dict[str, Any]) -> dict[str, Any] | None:
    """Only an empty directory, or one that the same stage made from the same things, may be written to."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; name a directory")
    summary = earlier_summary(out, record)
    others = sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) if out.exists() else []
    if others and "provenance.json" not in others:
        raise InputError(f"{out}: holds {others[0]}, not written by this stage; name a new or an empty directory")
    return summary
