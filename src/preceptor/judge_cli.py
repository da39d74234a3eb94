"""``preceptor judge``: which of several models is preferred on the same prompts."""

import argparse
from pathlib import Path
from typing import Any

from preceptor.allocation import start_torch
from preceptor.errors import InputError
from preceptor.evaluate_cli import NAME, named_models

JUDGES = ("reward", "gold", "judge_url", "rankings")


def add_judge(verbs: Any) -> None:
    """Add the verb to the program's."""
    parser = verbs.add_parser("judge", help="compare models blind on the same prompts", description=judge_verb.__doc__)
    parser.add_argument(
        "--model", action="append", default=[], metavar="[NAME=]MODEL", help="a model that answers; repeat"
    )
    parser.add_argument(
        "--answers",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help='answers that are there already, JSONL of {"prompt_id", "text"}; repeat',
    )
    parser.add_argument("--prompts", type=Path, metavar="FILE", help="prompts, JSONL; held-out ones")
    who = parser.add_argument_group("the judge, one of")
    who.add_argument("--reward", metavar="MODEL", help="a reward model")
    who.add_argument("--gold", type=Path, metavar="DIR", help="data of a run on atlas: the exact rubric")
    who.add_argument(
        "--judge-url", metavar="URL", help="a language model, as http://127.0.0.1:8001/v1; asked both ways"
    )
    who.add_argument("--rankings", type=Path, metavar="FILE", help="rankings that people made, JSONL; nobody is asked")
    parser.add_argument("--judge-model", metavar="NAME", help="the model to ask at --judge-url")
    parser.add_argument("--ratings", type=Path, metavar="FILE", help="ratings of people, 1 to 7 and flags, JSONL")
    parser.add_argument("--temperature", type=float, default=1.0, help="of the answers; 0 is greedy (default: 1)")
    parser.add_argument("--max-new-tokens", type=int, default=48, help="longest answer in tokens (default: 48)")
    parser.add_argument("--limit", type=int, metavar="N", help="the first N prompts only")
    parser.add_argument("--seed", type=int, default=0, help="seed of answers and intervals (default: 0)")
    parser.add_argument("--out", type=Path, default=Path("judged"), metavar="DIR", help="directory (default: judged)")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.add_argument("--threads", type=int, help="CPU threads (default: one a core)")
    parser.set_defaults(call=judge_verb)


def judge_verb(options: argparse.Namespace) -> None:
    """Have models answer the same prompts, have the answers judged blind, and rate the models.

    Win rates with ties as half, the same at equal length, and Bradley-Terry ratings, all with intervals over prompts.
    Start the same command again to go on where it was stopped. A judge's key is read from
    PRECEPTOR_JUDGE_KEY.
    """
    models, answers = named_models(options.model), _files(options.answers)
    _check(options, models, answers)
    start_torch(options.threads)
    from preceptor.feedback.judge import JudgeConfig
    from preceptor.judging import Study, judge_models
    from preceptor.models.sources import find_model
    from preceptor.training.progress import Progress

    remote = JudgeConfig(url=options.judge_url, model=options.judge_model) if options.judge_url else None
    study = Study(
        models={name: find_model(model) for name, model in models.items()},
        answers=answers,
        prompts=options.prompts,
        out=options.out,
        seed=options.seed,
        temperature=options.temperature,
        max_new_tokens=options.max_new_tokens,
        limit=options.limit,
        reward=find_model(options.reward) if options.reward else None,
        gold=options.gold,
        remote=remote,
        rankings=options.rankings,
        ratings=options.ratings,
    )
    _show(judge_models(study, Progress(quiet=options.quiet)), options.out)


def _check(options: argparse.Namespace, models: dict[str, str], answers: dict[str, Path]) -> None:
    """Refuse what makes no study before anything is loaded."""
    judges = [name for name in JUDGES if getattr(options, name)]
    flags = ", ".join("--" + name.replace("_", "-") for name in JUDGES)
    if len(judges) != 1 and not (options.ratings and not judges):
        raise InputError(f"name one judge: {flags}")
    if (options.judge_url is None) != (options.judge_model is None):
        raise InputError("--judge-url and --judge-model go together; give both")
    twice = sorted(set(models) & set(answers))
    if twice:
        raise InputError(f"--answers {twice[0]}: a model has that name; give it another")
    people = options.rankings is not None or not judges
    if people and (models or answers or options.prompts):
        raise InputError(
            "rankings and ratings of people are read as they are; leave --model, --answers and --prompts out"
        )
    if not people and len(models) + len(answers) < 2:
        raise InputError("two models must meet; give --model or --answers at least twice")
    if not people and options.prompts is None:
        raise InputError("there is nothing to answer; give --prompts FILE")
    if options.limit is not None and options.limit < 1:
        raise InputError(f"--limit {options.limit}: must be at least 1")
    if not 0 <= options.temperature <= 10:
        raise InputError(f"--temperature {options.temperature}: must be between 0 and 10")
    if options.max_new_tokens < 1:
        raise InputError(f"--max-new-tokens {options.max_new_tokens}: must be at least 1")


def _files(given: list[str]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or not NAME.fullmatch(name) or name in named:
            raise InputError(f"--answers {text}: give it as NAME=FILE, each name once")
        if not Path(path).is_file():
            raise InputError(f"--answers {text}: no such file; check the path")
        named[name] = Path(path)
    return named


def _show(found: dict[str, Any], out: Path) -> None:
    from preceptor.reporting.tables import within

    for row in found.get("pairs", []):
        controlled = within(row["length_controlled"], "win_rate")
        print(
            f"{row['a']} over {row['b']}  {within(row, 'win_rate')}  at equal length {controlled}  {row['n']:,} prompts"
        )
    for row in found.get("ratings", []):
        print(f"{row['model']}  rating {within(row, 'rating', share=False)}, {row['elo']:+.0f} Elo")
    for model, one in found.get("ratings_by_people", {}).items():
        print(f"{model}  overall {within(one['overall'], 'mean', share=False)} of 7, {one['overall']['n']:,} prompts")
    print(f"{out / 'report.html'} shows them, {out / 'preferences.json'} and {out / 'preferences.csv'} hold them")
