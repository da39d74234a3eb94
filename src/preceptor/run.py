"""A run: every stage of a recipe, in order, in one directory that can be left and taken up again.

    data -> tokenizer -> pretrain -> sft -> rounds x (sample -> rank -> reward -> ppo) -> evaluate -> report
    import -> data -> sft -> ... with a pretrained model to start from (``model.start``)
    data -> tokenizer -> foundations -> report with ``kind = "foundations"``

`preceptor round` adds rounds behind those of the recipe: :mod:`preceptor.rounds` writes down what such a round is
given, and from then on it is a part of the plan.

Each stage is called on paths alone; what ties them together is here. A stage counts as done
only with the fingerprint of what it was made from: its settings, its seed, and the fingerprints
of the stages that it reads.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from preceptor.config import Config
from preceptor.errors import InputError
from preceptor.feedback import STORE
from preceptor.files import read_json, write_atomic, write_json
from preceptor.keyed import key_bits
from preceptor.ledger import Ledger, claimed
from preceptor.provenance import named_paths, provenance, write_provenance
from preceptor.recipe import Recipe
from preceptor.rounds.record import ALL_PROMPTS, GOLD, PROMPTS, RANKINGS, Added, read_added
from preceptor.training.progress import Progress, jsonable

Stage = Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class Unit:
    """One call of a stage in a run."""

    name: str  # where its output lies, and its key in run.json: "sft", "rounds/2/ppo"
    stage: str
    config: Config
    seed: int
    outs: dict[str, Path]  # keyword arguments that say where to write; the first is ``out``
    reads: tuple[str, ...] = ()  # names of the units whose output it reads
    inputs: dict[str, Any] = field(default_factory=dict)  # the other keyword arguments
    given: dict[str, Any] = field(default_factory=dict)  # settings that follow from the recipe and the place of the run
    taken: str = ""  # a hash of what its round was given, if that was added


def run(recipe: Recipe, out: Path, progress: Progress, stages: Mapping[str, Stage]) -> dict[str, Any]:
    """Do what is left to do of ``recipe`` in ``out``; return the summary (also ``out/summary.json``).

    A finished run is left as it is. ``stages`` maps the name of a stage to its function.
    """
    ledger, added = Ledger(out, recipe), read_added(out, recipe)
    if not to_do(recipe, ledger, added):
        return _write_summary(recipe, ledger, added)
    with claimed(out):
        ledger, added = Ledger(out, recipe), read_added(out, recipe)  # again, now that nobody else may write
        ledger.save()  # before anything else is there: a kill in between must not make it a stranger's directory
        write_atomic(out / "recipe.toml", recipe.to_toml())
        for unit, fingerprint in to_do(recipe, ledger, added):
            _do(unit, fingerprint, recipe, ledger, progress, stages[unit.stage])
            if unit.name in [f"rounds/{recipe.rounds + len(added)}/{last}" for last in ("reward", "ppo")]:
                _link(out / unit.stage, unit.name)
            _write_summary(recipe, ledger, added)
    return _write_summary(recipe, ledger, added)


def to_do(recipe: Recipe, ledger: Ledger, added: Sequence[Added]) -> list[tuple[Unit, str]]:
    """The units that are not done, in order, with their fingerprints."""
    units = plan(recipe, ledger.root, added)
    prints = fingerprints(units, ledger.sources)
    return [
        (unit, prints[unit.name])
        for unit in units
        if not ledger.is_done(unit.name, prints[unit.name], unit.outs["out"])
    ]


def _do(unit: Unit, fingerprint: str, recipe: Recipe, ledger: Ledger, progress: Progress, stage: Stage) -> None:
    """Call one stage and mark it as done, with its provenance beside its output."""
    with ledger.working_on(unit.name, fingerprint, list(unit.outs.values())):
        arguments = {**unit.inputs, **unit.outs}
        # The report shows a finished run; it is not trained, so it needs neither seed nor display.
        extra = {} if unit.stage == "report" else {"seed": unit.seed, "progress": progress}
        config = unit.config.model_copy(update=unit.given)
        summary = jsonable(stage(config, **arguments, **extra))
        for out in unit.outs.values():
            if out.is_dir():
                record = provenance(unit.stage, recipe.name, config, unit.seed, unit.inputs, out)
                write_provenance(out, record, summary)
    ledger.finish(unit.name, summary)


def _link(link: Path, target: str) -> None:
    """Point ``link`` at ``target`` (relative to its directory), in one step."""
    partial = link.with_name(f".{link.name}.{os.getpid()}.partial")
    partial.unlink(missing_ok=True)
    partial.symlink_to(target, target_is_directory=True)
    partial.replace(link)


# the plan ----------------------------------------------------------------------------------------


def plan(recipe: Recipe, root: Path, added: Sequence[Added] = ()) -> list[Unit]:
    """Every call of a stage that the recipe and the added rounds make, in order."""
    if recipe.kind == "foundations":
        return _foundations(recipe, root)
    _check(recipe)
    data, seed, compute = root / "data", recipe.seed, {"compute": recipe.compute}
    trained = compute | {"lora": recipe.lora}
    shown = {"model": root / "base", "demonstrations": data / "demonstrations.jsonl", "corpus": _corpus(recipe, root)}
    units = [
        *(_pretrained(recipe, root) if recipe.model.start is None else _imported(recipe, root)),
        Unit("sft", "sft", recipe.sft, seed, {"out": root / "sft"}, ("data", "base"), shown | trained),
    ]
    for number in range(1, recipe.rounds + 1):
        units += _round(recipe, root, number)
    for one in added:
        units += _added_round(one, root, added)
    rounds = recipe.rounds + len(added)
    last = root / f"rounds/{rounds}"
    # Of given rankings some were held out from every stage. Where only rank.file gave any, there are none of these.
    rankings = [data / "rankings_heldout.jsonl"] if _people_ranked(recipe) else []
    models = {"base": root / "base", "sft": root / "sft"}
    models |= {f"ppo_round_{past}": root / f"rounds/{past}/ppo" for past in range(1, rounds)}
    models |= {"ppo": last / "ppo", "reward": last / "reward"}
    if (added[-1].recipe if added else recipe).reward.check_share > 0:
        models["reward-check"] = last / "reward-check"
    learnt = _rankings(recipe, root, added, rounds)
    measured = {"models": models, "data": data, "rankings": rankings, "rankings_train": learnt} | compute
    every = tuple(unit.name for unit in units)
    units += [
        Unit("evaluation", "evaluate", recipe.evaluate, seed, {"out": root / "evaluation"}, every, measured),
        Unit(
            "report",
            "report",
            recipe.report,
            seed,
            {"out": root / "report.html"},
            (*every, "evaluation"),
            {"run": root},
        ),
    ]
    return units


def _pretrained(recipe: Recipe, root: Path) -> list[Unit]:
    """The data, a vocabulary learnt from them, and a model that starts from nothing."""
    units, read = _text(recipe, root)
    made = {"out": root / "base"}
    return [*units, Unit("base", "pretrain", recipe.pretrain, recipe.seed, made, ("data", "tokenizer"), read)]


def _foundations(recipe: Recipe, root: Path) -> list[Unit]:
    """Three models that start from nothing, side by side, and the page about them."""
    if recipe.model.start is not None:
        raise InputError('model.start: kind = "foundations" trains its models from nothing; leave it out')
    if recipe.data.source == "files" and not recipe.data.text:
        raise InputError('data.text names no file, and data.source = "files" makes none up; name at least one')
    units, read = _text(recipe, root)
    made, page = {"out": root / "foundations"}, {"out": root / "report.html"}
    return [
        *units,
        Unit("foundations", "foundations", recipe.foundations, recipe.seed, made, ("data", "tokenizer"), read),
        Unit("report", "report", recipe.report, recipe.seed, page, ("foundations",), {"run": root}),
    ]


def _text(recipe: Recipe, root: Path) -> tuple[list[Unit], dict[str, Any]]:
    """The data and a vocabulary learnt from them, and what a stage reads that trains a new model on both."""
    data, seed = root / "data", recipe.seed
    corpus, vocabulary = {"corpus": data / "corpus.jsonl"}, root / "tokenizer"
    text = {**corpus, "heldout": data / "corpus_heldout.jsonl", "tokenizer": vocabulary}
    units = [
        Unit("data", "data", recipe.data, seed, {"out": data}),
        Unit("tokenizer", "tokenizer", recipe.tokenizer, seed, {"out": vocabulary}, ("data",), corpus),
    ]
    return units, {"model": recipe.model, **text, "compute": recipe.compute}


def _imported(recipe: Recipe, root: Path) -> list[Unit]:
    """A pretrained model, first: what cannot be taken is refused before anything else is done. Then the data."""
    return [
        Unit("base", "import", recipe.model, recipe.seed, {"out": root / "base"}),
        Unit("data", "data", recipe.data, recipe.seed, {"out": root / "data"}),
    ]


def _corpus(recipe: Recipe, root: Path) -> Path | None:
    """The documents to mix in, against forgetting; a run that starts from a pretrained model may have none."""
    given = recipe.data.source == "atlas" or bool(recipe.data.text)
    return root / "data" / "corpus.jsonl" if given else None


def _round(recipe: Recipe, root: Path, number: int) -> list[Unit]:
    """Sample, rank, reward, ppo. The newest policies are sampled; PPO starts from SFT in every round.

    The paper iterates the same way: new comparisons of the current best policy train a new RM and
    then a new policy (2203.02155, 3.1); it does not say where that policy starts, and SFT keeps
    the KL reference and the start one.
    """
    data = root / "data"
    gold = data / "gold.jsonl" if recipe.data.source == "atlas" else None
    # People's rankings take the place of simulated ones; the samples are there for them to rank next.
    theirs: dict[str, Any] = {}
    if _people_ranked(recipe):
        theirs = {"source": "file", "file": data / "rankings_train.jsonl"}
    return [
        *_ranked(recipe, root, number, data / "prompts_train.jsonl", gold, theirs),
        *_learnt(recipe, root, number, _rankings(recipe, root, (), number), data / "prompts_train.jsonl"),
    ]


def _added_round(one: Added, root: Path, added: Sequence[Added]) -> list[Unit]:
    """The same for a round that was added: its new prompts are answered, if there is anybody to rank the answers.

    The reward model learns from the rankings of all rounds, PPO asks the prompts of all.
    """
    gold = one.data / GOLD if GOLD in one.record["files"] else None
    units = _ranked(one.recipe, root, one.number, one.data / PROMPTS, gold, {}) if one.ranks else []
    rankings = _rankings(one.recipe, root, added, one.number)
    units += _learnt(one.recipe, root, one.number, rankings, one.data / ALL_PROMPTS)
    return [replace(unit, taken=one.digest) for unit in units]


def _ranked(
    recipe: Recipe, root: Path, number: int, prompts: Path, gold: Path | None, theirs: dict[str, Any]
) -> list[Unit]:
    """What is asked of the policies of the round before, and who ranks what they answer."""
    seed, before = round_seed(recipe.seed, number), f"rounds/{number - 1}/ppo"
    samples, rankings = f"rounds/{number}/samples.jsonl", f"rounds/{number}/rankings.jsonl"
    later = number > 1
    policies = {"sft": root / "sft"} | ({f"ppo_round_{number - 1}": root / before} if later else {})
    asked = {"models": policies, "prompts": prompts, "compute": recipe.compute}
    sampled = ("data", "sft", before) if later else ("data", "sft")
    if not theirs and recipe.rank.source == "app":
        database = recipe.rank.database or str(root / STORE)
        theirs = {"queue": f"{recipe.rank.queue}, round {number}", "database": database}
    ranked = {"samples": root / samples, "gold": gold}
    return [
        Unit(samples, "sample", recipe.sample, seed, {"out": root / samples}, sampled, asked),
        Unit(rankings, "rank", recipe.rank, seed, {"out": root / rankings}, ("data", samples), ranked, theirs),
    ]


def _learnt(recipe: Recipe, root: Path, number: int, rankings: list[Path], prompts: Path) -> list[Unit]:
    """A reward model of all rankings so far, and the policy that it teaches."""
    data, sft, seed = root / "data", root / "sft", round_seed(recipe.seed, number)
    trained = {"compute": recipe.compute, "lora": recipe.lora}
    here, demonstrations = f"rounds/{number}", data / "demonstrations.jsonl"
    reward, check = f"{here}/reward", root / here / "reward-check"
    fitted = {"model": sft, "rankings": rankings, "demonstrations": demonstrations} | trained
    # What a round was given is no output of a unit; its hash stands for it.
    ranked = tuple(path.relative_to(root).as_posix() for path in rankings if path.parent.name != "data")
    optimised = {
        "model": sft,
        "reward": root / reward,
        "check": check if recipe.reward.check_share > 0 else None,
        "prompts": prompts,
        "prompts_dev": data / "prompts_dev.jsonl",
        "demonstrations": demonstrations,
        "corpus": _corpus(recipe, root),
    } | trained
    both = {"out": root / reward, "check_out": check}
    ppo = f"{here}/ppo"
    return [
        Unit(reward, "reward", recipe.reward, seed, both, ("data", "sft", *ranked), fitted),
        Unit(ppo, "ppo", recipe.ppo, seed, {"out": root / ppo}, ("data", "sft", reward), optimised),
    ]


def _rankings(recipe: Recipe, root: Path, added: Sequence[Added], until: int) -> list[Path]:
    """The rankings of the rounds up to ``until``: those made in each, and those that an added one was given."""
    files = [root / f"rounds/{number}/rankings.jsonl" for number in range(1, min(until, recipe.rounds) + 1)]
    for one in added:
        if one.number <= until:
            files += [root / f"rounds/{one.number}/rankings.jsonl"] if one.ranks else []
            files += [one.data / RANKINGS] if one.given else []
    return files


def _check(recipe: Recipe) -> None:
    """Refuse at once what would only fail after hours: a stage whose input nothing makes."""
    if recipe.sft.reward is not None and not recipe.sft.reward.is_dir():
        raise InputError(f"sft.reward: {recipe.sft.reward} is no directory; name the reward model of an earlier run")
    if recipe.data.source != "files":
        return
    for key in ("text", "demonstrations") if recipe.model.start is None else ("demonstrations",):
        if not getattr(recipe.data, key):
            raise InputError(
                f'data.{key} names no file, and data.source = "files" makes none up; name at least one: '
                f"--set 'data.{key}=[\"FILE\"]'"
            )
    asked = recipe.rank.source in ("app", "judge")
    if not recipe.data.rankings and recipe.rank.source == "atlas":
        raise InputError(
            "data.rankings names no file, so there is nothing to rank by; "
            'name at least one, or set rank.source to "app"'
        )
    if recipe.rounds > 1 and (recipe.data.rankings or not asked):
        raise InputError(
            f"rounds is {recipe.rounds}, and nobody is there to rank the samples of the second; set rounds to 1"
        )


def _people_ranked(recipe: Recipe) -> bool:
    return recipe.data.source == "files" and bool(recipe.data.rankings)


def round_seed(seed: int, number: int) -> int:
    """The first round has the recipe's seed, so that its stages can be repeated by hand; later ones their own."""
    return seed if number == 1 else key_bits(seed, "round", number) % 2**31


def fingerprints(units: list[Unit], sources: Mapping[str, str]) -> dict[str, str]:
    """For each unit a hash of all that its output depends on; ``sources`` are hashes of the files that tables name."""
    prints: dict[str, str] = {}
    for unit in units:
        tables = {
            "config": unit.config,
            **{key: value for key, value in unit.inputs.items() if isinstance(value, Config)},
        }
        named = [str(path) for table in tables.values() for path in named_paths(table)]
        parts = {
            "stage": unit.stage,
            "tables": {key: table.model_dump(mode="json") for key, table in tables.items()},
            "files": {path: sources.get(path) for path in named},
            "seed": unit.seed,
            "reads": [prints[name] for name in unit.reads],
        }
        if unit.taken:
            parts["taken"] = unit.taken
        prints[unit.name] = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return prints


# the summary -------------------------------------------------------------------------------------


def _write_summary(recipe: Recipe, ledger: Ledger, added: Sequence[Added]) -> dict[str, Any]:
    """Bring ``summary.json`` up to date; a file that already says so is not touched."""
    summary, path = summarize(recipe, ledger, added), ledger.root / "summary.json"
    if not path.exists() or read_json(path) != summary:
        write_json(path, summary)
    return summary


def summarize(recipe: Recipe, ledger: Ledger, added: Sequence[Added] = ()) -> dict[str, Any]:
    """What ``summary.json`` holds: the summary of every stage that is done, seconds, memory.

    ``rounds`` has one entry a round; that of an added one also says what it was ``given`` and what was ``left_out``.
    ``reward`` and ``ppo`` are those of the last round; ``reward`` also takes in what the ranking
    and the evaluation know about the reward model (``labeler_agreement``, ``gold_accuracy``).
    """
    done = {name: entry["summary"] for name, entry in ledger.units.items() if entry.get("done")}
    seconds: dict[str, float] = {}
    units = plan(recipe, ledger.root, added)
    for unit in units:
        spent = ledger.units.get(unit.name, {}).get("seconds", 0.0)
        seconds[unit.stage] = round(seconds.get(unit.stage, 0.0) + spent, 3)
    summary: dict[str, Any] = {
        "name": recipe.name,
        "seed": recipe.seed,
        "seconds": {**seconds, "total": round(sum(seconds.values()), 3)},
        "peak_memory_bytes": ledger.peak_memory_bytes,
        **{unit.stage: done.get(unit.name, {}) for unit in units if unit.name in FIRST_UNITS},
    }
    if recipe.kind == "foundations":
        return summary | {"report": done.get("report", {})}
    rounds = []
    given = {one.number: {"given": one.record["counts"], "left_out": one.record["left_out"]} for one in added}
    for number in range(1, recipe.rounds + len(added) + 1):
        names = {"sample": "samples.jsonl", "rank": "rankings.jsonl", "reward": "reward", "ppo": "ppo"}
        stages = {stage: done.get(f"rounds/{number}/{name}", {}) for stage, name in names.items()}
        rounds.append(stages | given.get(number, {}))
    evaluation = dict(done.get("evaluation", {}))
    about_reward = {key: value for key, value in rounds[-1]["rank"].items() if key in REWARD_FROM_RANK}
    reward = about_reward | rounds[-1]["reward"] | evaluation.pop("reward", {})
    return summary | {
        "rounds": rounds,
        "reward": reward,
        "ppo": rounds[-1]["ppo"],
        "evaluation": evaluation,
        "report": done.get("report", {}),
    }


FIRST_UNITS = ("data", "tokenizer", "base", "sft", "foundations")
REWARD_FROM_RANK = ("labeler_agreement", "gold_on_labels")
