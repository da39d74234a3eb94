"""Stage: labelers rank the sampled responses."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from preceptor.atlas.raters import labelers
from preceptor.atlas.task import read_tasks
from preceptor.atlas.world import load_world
from preceptor.config import Config
from preceptor.errors import InputError
from preceptor.feedback.schema import Ranking, Sample
from preceptor.files import read_jsonl, write_jsonl
from preceptor.keyed import key_bits
from preceptor.training.progress import Progress


class RankConfig(Config):
    """The ``[rank]`` table."""

    source: Literal["atlas", "file"] = Field(
        "atlas", description="`atlas`: the simulated labelers rank. `file`: rankings come ready made (`file`)."
    )
    file: Path | None = Field(None, description='Rankings in the documented format, with `source = "file"`.')
    labelers_per_prompt: int = Field(4, ge=1, description="Simulated labelers that rank each prompt's responses.")


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
        elif samples is None or gold is None:
            raise InputError('rank.source = "atlas" needs samples and the gold.jsonl of an atlas world')
        else:
            rankings = _simulate(config, read_jsonl(samples, Sample), gold, seed)
        strict = sum(_strict_pairs(ranking.ranks) for ranking in rankings)
        pairs = sum(len(ranking.ranks) * (len(ranking.ranks) - 1) // 2 for ranking in rankings)
        stage.note(f"{len(rankings):,} rankings, {pairs:,} pairs, {1 - strict / pairs:.1%} of them ties")
    write_jsonl(out, rankings)
    return {"rankings": len(rankings), "pairs": pairs, "tie_share": 1 - strict / pairs}


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
