"""The command line: verbs that parse their arguments and call one function each.

Nothing heavy is imported before a verb runs, so that ``--help`` answers at once.
"""

import argparse
import errno
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import preceptor
from preceptor.allocation import start_torch
from preceptor.attention_cli import add_attention
from preceptor.chat_cli import add_chat
from preceptor.compare_cli import add_compare
from preceptor.errors import InputError
from preceptor.evaluate_cli import add_benchmarks
from preceptor.export_model import add_export
from preceptor.feedback_cli import add_feedback
from preceptor.judge_cli import add_judge
from preceptor.label_cli import add_label
from preceptor.printable import printable
from preceptor.prompts import add_prompts
from preceptor.round_cli import add_round
from preceptor.serve_cli import add_serve
from preceptor.verbs import METAVARS, MODELS, STAGES, Argument, stage_function

INSPECT = "data inspect"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code (0 done, 1 failed, 2 unusable input, 130 interrupted)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:2] == INSPECT.split():  # two words, since `data` alone is a stage; argparse knows verbs of one
        words[:2] = [INSPECT]
    options = build_parser().parse_args(words)
    try:
        return options.call(options) or 0
    except InputError as error:
        return _fail(2, " ".join(str(error).split()))
    except KeyboardInterrupt:
        return _fail(130, "interrupted; start again with the same command to go on")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left; nothing to say
        return 1
    except Exception as error:
        if not is_full_disk(error):
            raise
        place = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
        return _fail(1, f"the disk is full{place}; make room and start again with the same command to go on")


def _fail(code: int, message: str) -> int:
    print(f"preceptor: {printable(message)}", file=sys.stderr)  # it may quote names out of a stranger's file
    return code


def is_full_disk(error: BaseException) -> bool:
    """Whether an error says that the disk or the quota is full; libraries in Rust and C++ say it in words only."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return "No space left on device" in str(error)


# parsing -----------------------------------------------------------------------------------------


def build_parser() -> argparse.ArgumentParser:
    """All verbs with their options."""
    parser = argparse.ArgumentParser(
        prog="preceptor",
        description="From raw text and human judgement to an assistant: the InstructGPT recipe in one tool.",
        epilog="Begin with: preceptor run quickstart --out runs/quickstart",
    )
    parser.add_argument("--version", action="version", version=f"preceptor {preceptor.__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    run = verbs.add_parser("run", help="run a whole recipe, or what is left of it", description=run_verb.__doc__)
    run.add_argument("recipe", metavar="RECIPE", help="quickstart, smoke, human, smollm2, foundations, or a .toml file")
    run.add_argument("--out", type=Path, metavar="DIR", help="run directory (default: runs/ and the recipe's name)")
    run.set_defaults(call=run_verb)
    _common(run)
    add_round(verbs)
    for name, verb in STAGES.items():
        stage = verbs.add_parser(name, help=verb.help, description=f"The stage {name}: {verb.help}.")
        stage.set_defaults(call=lambda options, name=name: stage_verb(name, options))
        for argument in verb.arguments:
            _add(stage, argument)
        for out in ("out", *verb.more_outs):
            required = out == "out"
            text = verb.out if required else "directory of a second model that checks the first"
            stage.add_argument("--" + out.replace("_", "-"), type=Path, required=required, metavar="PATH", help=text)
        stage.add_argument("--recipe", default="quickstart", help="recipe with the settings (default: quickstart)")
        _common(stage)
        if name == "data":
            stage.epilog = "See also: preceptor data inspect FILE, which prints what a file holds."
            _add_inspect(verbs)
        if name == "evaluate":
            add_benchmarks(stage, lambda options: stage_verb("evaluate", options))
    add_prompts(verbs)
    add_chat(verbs)
    add_attention(verbs)
    add_compare(verbs)
    add_judge(verbs)
    add_export(verbs)
    add_feedback(verbs)
    add_label(verbs)
    add_serve(verbs)
    return parser


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a key of the recipe, as in ppo.kl_coef=0.05",
    )
    parser.add_argument("--seed", type=int, help="seed (default: the recipe's)")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.add_argument(
        "--log",
        action="append",
        default=[],
        metavar="LOGGER",
        help="send the metrics to tensorboard, wandb, mlflow or trackio too; repeat",
    )
    parser.add_argument("--threads", type=int, help="CPU threads (default: one a core)")


def _add(parser: argparse.ArgumentParser, argument: Argument) -> None:
    many = argument.kind in ("files", "named models")
    kind: Callable[[str], Any] = str if argument.kind in MODELS else Path
    more: dict[str, Any] = {"nargs": "+"} if many else {}
    if many and not argument.required:
        more["default"] = []
    parser.add_argument(
        argument.option,
        type=kind,
        required=argument.required,
        metavar=METAVARS[argument.kind],
        help=argument.help,
        **more,
    )


def _add_inspect(verbs: Any) -> None:
    inspect = verbs.add_parser(INSPECT, help="print what files hold, before training", description=inspect_verb.__doc__)
    inspect.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a file, or a dataset of the hub")
    inspect.add_argument("--model", metavar="MODEL", help="a model or tokenizer, to count and show tokens")
    inspect.add_argument("--context", type=int, metavar="N", help="count what is longer than N tokens, and cut to it")
    inspect.add_argument("--format", metavar="NAME", help="read as this format, whatever the content looks like")
    inspect.add_argument("--json", action="store_true", help="print the figures as JSON")
    inspect.set_defaults(call=inspect_verb)


# verbs -------------------------------------------------------------------------------------------


def run_verb(options: argparse.Namespace) -> None:
    """Run every stage of a recipe into one directory. Start again to go on where a run was stopped."""
    start_torch(options.threads)
    from preceptor.recipe import Recipe
    from preceptor.results import show_results
    from preceptor.run import run
    from preceptor.training.loggers import open_loggers
    from preceptor.training.progress import Progress

    recipe = Recipe.load(options.recipe, _overrides(options))
    out = options.out or Path("runs") / recipe.name
    stages = {name: stage_function(name) for name in STAGES}
    with open_loggers(options.log, out) as loggers:
        summary = run(recipe, out, Progress(quiet=options.quiet, loggers=loggers), stages)
    show_results(summary, out)


def stage_verb(name: str, options: argparse.Namespace) -> None:
    """Run one stage on files and print its summary as JSON."""
    verb = STAGES[name]
    given = {argument: getattr(options, argument.name) for argument in verb.arguments}
    files = {one.name: _paths(one, value) for one, value in given.items() if one.kind not in MODELS}
    start_torch(options.threads)
    from preceptor.alone import run_alone
    from preceptor.recipe import Recipe
    from preceptor.training.loggers import open_loggers
    from preceptor.training.progress import Progress

    set_by_options = [f"{one.key}={json.dumps(value)}" for one, value in given.items() if one.key]
    recipe = Recipe.load(options.recipe, [*_overrides(options), *set_by_options])
    models = {one.name: _models(one, value) for one, value in given.items() if one.kind in MODELS and not one.key}
    tables = {table: getattr(recipe, table) for table in verb.tables}
    inputs = {one.name: (files | models)[one.name] for one in verb.arguments if not one.key} | tables
    outs = {out: getattr(options, out) for out in ("out", *verb.more_outs)}
    config = getattr(recipe, verb.table or name)
    with open_loggers(options.log, options.out) as loggers:
        progress = Progress(quiet=options.quiet, loggers=loggers)
        summary = run_alone(stage_function(name), name, config, recipe, inputs, outs, progress)
    print(json.dumps(summary, indent=2, ensure_ascii=False))


def inspect_verb(options: argparse.Namespace) -> int:
    """Print what files hold: the format recognised, counts, lengths, rankings, what is left out, the first examples."""
    from preceptor.inspect_data import Inspector, inspect_data
    from preceptor.stages.data import DataConfig

    characters = DataConfig().document_characters
    model = None if options.model is None else _model(options.model)
    inspector = Inspector(model, options.context, options.format, characters)
    errors = inspect_data(options.paths, inspector, as_json=options.json)
    for error in errors:
        _fail(2, " ".join(str(error).split()))
    return 2 if errors else 0


def _overrides(options: argparse.Namespace) -> list[str]:
    return [*options.set, *([f"seed={options.seed}"] if options.seed is not None else [])]


def _paths(argument: Argument, value: Any) -> Any:
    """The value of an option, checked: what does not exist is refused before anything is loaded."""
    if value is None:
        return None
    if argument.kind == "files":
        return [_existing(argument, path) for path in value]
    return _existing(argument, value)


def _models(argument: Argument, value: Any) -> Any:
    """The directories of the models that an option names. After torch is started: a GGUF file is converted here."""
    if value is None:
        return None
    if argument.kind == "model":
        return _model(value)
    named: dict[str, str] = {}
    for text in value:
        name, equals, model = text.partition("=")
        if not equals or not name or not model:
            raise InputError(f"{argument.option} {text}: give it as NAME=MODEL, for example sft=runs/quickstart/sft")
        if name in named:
            raise InputError(f"{argument.option} {text}: the name {name} is given twice; give each model its own")
        named[name] = model
    return {name: _model(model) for name, model in named.items()}


def _model(name: str) -> Path:
    from preceptor.models.sources import find_model

    return find_model(name)


def _existing(argument: Argument, path: Path) -> Path:
    wants_directory = argument.kind == "directory"
    if not path.exists():
        raise InputError(
            f"{argument.option} {path}: no such {'directory' if wants_directory else 'file'}; check the path"
        )
    if wants_directory != path.is_dir():
        raise InputError(
            f"{argument.option} {path}: is not a {'directory' if wants_directory else 'file'}; check the path"
        )
    return path
