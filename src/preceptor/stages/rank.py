"""Stage: labelers rank the sampled responses: simulated ones, people in the labeling app, or an outside judge."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from preceptor.atlas.raters import labelers
from preceptor.atlas.task import read_tasks
from preceptor.atlas.world import load_world
from preceptor.config import Config
from preceptor.errors import InputError
from preceptor.feedback import STORE
from preceptor.feedback.judge import JudgeConfig, judge
from preceptor.feedback.schema import Ranking, Sample
from preceptor.files import read_jsonl, write_jsonl
from preceptor.keyed import key_bits
from preceptor.stages.rank_people import rank_by_people
from preceptor.training.progress import Progress, StageProgress


class RankConfig(Config):
    """The ``[rank]`` table."""

    source: Literal["atlas", "file", "app", "judge"] = Field(
        "atlas",
        description="`atlas`: the simulated labelers rank. `file`: rankings come ready made (`file`). `app`: people "
        "rank in the labeling app (docs/labeling.md); the stage waits for them. `judge`: a language model ranks.",
    )
    file: Path | None = Field(None, description='Rankings in the documented format, with `source = "file"`.')
    labelers_per_prompt: int = Field(
        4, ge=1, le=1000, description="Labelers, simulated or people, that rank each prompt's responses."
    )
    database: str | None = Field(
        None,
        description='The store of the labeling app, with `source = "app"`: a file or postgresql://...; by default '
        "feedback.db in the run.",
    )
    queue: str = Field(
        "rankings",
        min_length=1,
        max_length=100,
        description="What the queue in the app is called; a mark of the samples is added.",
    )
    judge: JudgeConfig = Field(JudgeConfig(), description='The outside judge, with `source = "judge"`.')


def rank(
    config: RankConfig, *, samples: Path | None, gold: Path | None, out: Path, seed: int, progress: Progress
) -> dict[str, Any]:
    """Write a ranking of every sample to the file ``out``.

    ``gold`` is the atlas' gold.jsonl, in the data directory of the world that the simulated
    labelers live in.
    """
    with progress.stage("rank", None) as stage:
        if config.source == "file":
            if config.file is None:
                raise InputError('rank.source = "file" needs rank.file; name a file of rankings')
            rankings = read_jsonl(config.file, Ranking)
        elif config.source in ("app", "judge"):
            if samples is None:
                raise InputError(f'rank.source = "{config.source}" needs samples to rank')
            ask = _by_people if config.source == "app" else _by_judge
            rankings = ask(config, read_jsonl(samples, Sample), out, stage)
        elif samples is None or gold is None:
            raise InputError('rank.source = "atlas" needs samples and the gold.jsonl of an atlas world')
        else:
            rankings = _simulate(config, read_jsonl(samples, Sample), gold, seed)
        strict = sum(_strict_pairs(ranking.ranks) for ranking in rankings)
        pairs = sum(len(ranking.ranks) * (len(ranking.ranks) - 1) // 2 for ranking in rankings)
        stage.note(f"{len(rankings):,} rankings, {pairs:,} pairs, {1 - strict / pairs:.1%} of them ties")
    write_jsonl(out, rankings)
    return {"rankings": len(rankings), "pairs": pairs, "tie_share": 1 - strict / pairs}


def _by_people(config: RankConfig, samples: list[Sample], out: Path, stage: StageProgress) -> list[Ranking]:
    database = config.database if config.database is not None else out.parent / STORE
    return rank_by_people(samples, database, config.queue, config.labelers_per_prompt, stage)


def _by_judge(config: RankConfig, samples: list[Sample], out: Path, stage: StageProgress) -> list[Ranking]:
    from preceptor.feedback.app.first import built_in

    stage.start(len(samples))
    kept = out.with_name(out.stem + ".judge.jsonl")
    judged = judge(samples, config.judge, built_in("ranking"), kept, stage.show)
    if not judged.rankings:
        raise InputError(f"{config.judge.model}: gave no ranking in {judged.malformed:,} answers; ask another model")
    stage.note(f"{judged.skipped:,} samples skipped, {judged.malformed:,} answers were no ranking")
    stage.note(f"both orders of the outputs gave the same on {judged.same_both_ways or 0:.1%} of pairs")
    return judged.rankings


def _simulate(config: RankConfig, samples: list[Sample], gold: Path, seed: int) -> list[Ranking]:
    world, tasks = load_world(gold.parent), read_tasks(gold)
    team = labelers(world.config, world.seed)
    rankings = []
    for sample in samples:
        if sample.prompt_id not in tasks:
            raise InputError(f"{gold}: knows no prompt {sample.prompt_id!r}; rank the samples of this world's prompts")
        first = key_bits(seed, "rank", sample.prompt_id)
        for turn in range(min(config.labelers_per_prompt, len(team))):
            labeler = team[(first + turn) % len(team)]
            texts = [response.text for response in sample.responses]
            ranks = labeler.rank(world, tasks[sample.prompt_id], texts, seed, sample.prompt_id)
            rankings.append(Ranking(**sample.model_dump(), ranks=ranks, labeler=labeler.name))
    return rankings


def _strict_pairs(ranks: list[int]) -> int:
    return sum(a != b for i, a in enumerate(ranks) for b in ranks[:i])
