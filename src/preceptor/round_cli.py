"""The verb ``round``: one more round of feedback behind those of a finished run."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.allocation import start_torch
from preceptor.errors import InputError
from preceptor.feedback import STORE

if TYPE_CHECKING:
    from preceptor.recipe import Recipe
    from preceptor.rounds.intake import Offered, Taken
    from preceptor.run import Stage
    from preceptor.training.progress import Progress


def add_round(verbs: Any) -> None:
    """Add the verb to the program's."""
    add = verbs.add_parser(
        "round", help="add a round to a finished run: new prompts and judgements", description=round_verb.__doc__
    )
    add.add_argument("--run", type=Path, required=True, metavar="DIR", help="directory of a finished run")
    add.add_argument("--prompts", nargs="+", type=Path, default=[], metavar="FILE", help="what users sent since")
    add.add_argument("--rankings", nargs="+", type=Path, default=[], metavar="FILE", help="what was judged since")
    add.add_argument(
        "--store",
        metavar="URL",
        help="a feedback store with both (default: feedback.db in the run, if nothing is named)",
    )
    add.add_argument(
        "--simulated", type=int, default=0, metavar="N", help="N prompts of new users of the built-in world"
    )
    add.add_argument(
        "--pii",
        choices=("redact", "drop", "off"),
        default="redact",
        help="personal data: put its type in its place (default), leave out what has any, or do not look",
    )
    add.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a key of sample, rank, reward or ppo for this round",
    )
    add.add_argument("--quiet", action="store_true", help="show no progress")
    add.add_argument("--threads", type=int, help="CPU threads (default: one a core)")
    add.set_defaults(call=round_verb)


def round_verb(options: argparse.Namespace) -> None:
    """Take in what users sent and people judged since the last round, and go once more through rank, reward and ppo.

    Every prompt and every judgement is used once; users who are held out stay so. If the last round is not finished
    it is finished first, and nothing new is taken in.
    """
    if options.simulated < 0:
        raise InputError(f"--simulated {options.simulated}: give how many prompts, at least 1")
    start_torch(options.threads)
    from preceptor.prompts_report import Told
    from preceptor.results import show_results
    from preceptor.rounds.intake import Offered
    from preceptor.training.progress import Progress
    from preceptor.verbs import STAGES, stage_function

    store, named = options.store, options.prompts or options.rankings or options.simulated
    if store is None and not named and (options.run / STORE).is_file():
        store = options.run / STORE
    offered = Offered(options.prompts, options.rankings, store, options.simulated, options.set, options.pii)
    stages = {name: stage_function(name) for name in STAGES}
    with Told(quiet=options.quiet) as told:
        taken = take_in_next(options.run, offered, told)
    for line in _said(taken):
        print(line)
    if taken is None or taken.number is not None:
        show_results(go_on(options.run, stages, Progress(quiet=options.quiet)), options.run)


def take_in_next(root: Path, offered: "Offered", tell: Any = lambda *_: None) -> "Taken | None":
    """Write down what the next round of a finished run is given; None if a round before is not finished yet."""
    from preceptor.ledger import Ledger, claimed
    from preceptor.rounds.intake import take_in
    from preceptor.rounds.record import read_added
    from preceptor.run import to_do

    recipe = _recipe(root)
    with claimed(root):
        added = read_added(root, recipe)
        if not to_do(recipe, Ledger(root, recipe), added):
            return take_in(root, recipe, added, offered, tell)
    if not added:
        raise InputError(f"{root}: the run is not finished; `preceptor run {recipe.name} --out {root}` goes on with it")
    return None


def go_on(root: Path, stages: "Mapping[str, Stage]", progress: "Progress") -> dict[str, Any]:
    """Do what is left of a run and its added rounds; the summary."""
    from preceptor.run import run

    return run(_recipe(root), root, progress, stages)


def _recipe(root: Path) -> "Recipe":
    from preceptor.recipe import Recipe

    if not (root / "run.json").is_file() or not (root / "recipe.toml").is_file():
        raise InputError(f"{root}: holds no run; name the directory of a `preceptor run`")
    recipe = Recipe.load(root / "recipe.toml")
    if recipe.kind != "assistant":
        raise InputError(f"{root}: a run of the kind {recipe.kind} has no rounds; name another")
    return recipe


def _said(taken: "Taken | None") -> list[str]:
    """What was taken in, in lines."""
    if taken is None:
        return ["the last round is not finished; going on with it. Start again afterwards for what is new"]
    left_out = [f"left out: {count:,} {reason}" for reason, count in taken.left_out.items()]
    if taken.number is None:
        return [*left_out, "nothing new since the last round: nothing to do"]
    return [*left_out, f"round {taken.number}: {taken.prompts:,} new prompts, {taken.rankings:,} new rankings"]
