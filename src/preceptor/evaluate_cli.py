"""``preceptor evaluate``: the stage, which measures the models of a run, or public benchmarks on any models."""

import argparse
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from preceptor.allocation import start_torch
from preceptor.errors import InputError
from preceptor.evaluation.benchmark import BENCHMARKS

OF_STAGE = ("models", "data", "rankings", "rankings_train")
REQUIRED = ("models", "data", "out")
DEFAULT_OUT = Path("benchmarks")
NAME = re.compile(r"\w[\w.-]*")  # it becomes part of file names

Call = Callable[[argparse.Namespace], Any]


def add_benchmarks(parser: argparse.ArgumentParser, stage: Call) -> None:
    """Give the parser of the stage the options of benchmarks too; ``stage`` is what the verb does without them."""
    for action in parser._actions:  # which are required depends on what is asked for; see evaluate_verb
        if action.dest in REQUIRED:
            action.required = False
    group = parser.add_argument_group("public benchmarks", "in the place of --data, on any models:")
    group.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="[NAME=]MODEL",
        help="a model to measure: a directory, a GGUF file or a hub id; repeat",
    )
    group.add_argument(
        "--plain",
        action="append",
        default=[],
        metavar="NAME",
        help="a base model among them: where others are asked in their chat format it goes on with plain text; repeat",
    )
    for benchmark in BENCHMARKS:
        group.add_argument(benchmark.flag, type=benchmark.kind, metavar=benchmark.metavar, help=benchmark.help)
        for option in benchmark.options:
            group.add_argument(
                option.flag, type=option.kind, default=option.default, metavar=option.metavar, help=option.help
            )
    group.add_argument("--limit", type=int, metavar="N", help="measure the first N units of each only, for a try")
    parser.description = (
        "Measure the models of a run on its held-out prompts (--data, the stage evaluate), or any models on public "
        f"benchmarks; those go to --out, {DEFAULT_OUT} if it is not given. Start again to go on where it was stopped."
    )
    parser.set_defaults(call=lambda options: evaluate_verb(options, stage))


def evaluate_verb(options: argparse.Namespace, stage: Call) -> Any:
    """Measure the models of a run, or public benchmarks."""
    asked = [one for one in BENCHMARKS if getattr(options, one.name) is not None]
    of_stage = [_flag(name) for name in OF_STAGE if getattr(options, name)]
    flags = ", ".join(one.flag for one in BENCHMARKS)
    if of_stage and (asked or options.model):
        other = asked[0].flag if asked else "--model"
        raise InputError(f"{of_stage[0]} measures the models of a run and {other} is of public benchmarks; give one")
    for one in BENCHMARKS:
        for option in one.options:
            if one not in asked and getattr(options, option.name) != option.default:
                raise InputError(f"{option.flag} belongs to {one.flag}; give that too")
    if of_stage:
        missing = [_flag(name) for name in REQUIRED if not getattr(options, name)]
        if missing:
            raise InputError(f"{of_stage[0]} needs {' and '.join(missing)} too")
        if options.plain:
            raise InputError("--plain is for public benchmarks; take it away")
        if options.limit is not None:
            raise InputError("--limit is for public benchmarks; set evaluate.prompts of the recipe")
        return stage(options)
    if not asked:
        raise InputError(f"nothing to measure; give --data DIR with the models of a run, or a benchmark: {flags}")
    if not options.model:
        raise InputError(f"{asked[0].flag} needs a model to measure; give --model MODEL or --model NAME=MODEL")
    if options.limit is not None and options.limit < 1:
        raise InputError(f"--limit {options.limit}: must be at least 1")
    return _benchmarks(options, named_models(options.model))


def named_models(given: Sequence[str]) -> dict[str, str]:
    """Models by name: the one that is given, else the last part of a directory's, a file's or a hub id's."""
    named: dict[str, str] = {}
    for text in given:
        name, equals, model = text.partition("=")
        if not (equals and NAME.fullmatch(name)):
            name, model = os.path.basename(os.path.abspath(text)).partition("@")[0], text
        if not model or not NAME.fullmatch(name):
            raise InputError(f"--model {text}: give it a name of letters, digits, . and -, as in NAME=MODEL")
        if name in named:
            raise InputError(f"--model {text}: there are two models {name}; name each, as in NAME=MODEL")
        named[name] = model
    return named


def _benchmarks(options: argparse.Namespace, models: dict[str, str]) -> None:
    start_torch(options.threads)
    from preceptor.benchmarks import Asked, Session, run_benchmarks, show
    from preceptor.models.sources import find_model
    from preceptor.recipe import Recipe
    from preceptor.training.progress import Progress

    seed = [] if options.seed is None else [f"seed={options.seed}"]
    recipe = Recipe.load(options.recipe, [*options.set, *seed])
    asked = [
        Asked(one, getattr(options, one.name), {option.name: getattr(options, option.name) for option in one.options})
        for one in BENCHMARKS
        if getattr(options, one.name) is not None
    ]
    unknown = next((name for name in options.plain if name not in models), None)
    if unknown is not None:
        raise InputError(f"--plain {unknown}: no such model; take one of {', '.join(models)}")
    found = {name: find_model(model) for name, model in models.items()}
    out = options.out or DEFAULT_OUT
    session = Session(
        out, recipe.seed, options.limit, recipe.compute, Progress(quiet=options.quiet), frozenset(options.plain)
    )
    show(run_benchmarks(found, asked, session), out)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
