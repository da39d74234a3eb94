"""Gold reward along a PPO run: what the reward model's rising score was really worth (Gao et al. 2022).

While it trains, PPO tries its policy on development prompts and writes down the responses with the scores of the
reward models; it never looks at gold. Here, afterwards, the rubric reads those same responses.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from preceptor.evaluation.judges import GoldJudge
from preceptor.files import read_json, read_jsonl
from preceptor.statistics import mean_with_interval


class Tried(BaseModel):
    """A line of ``snapshots/000012.jsonl`` in a PPO directory: one response of the policy after 12 iterations."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    prompt_id: str
    response: str
    score: float
    check_score: float
    kl: float
    length: int | None = None  # in tokens, with the end


def snapshots_of(policy: Path, gold: GoldJudge | None, seed: int, resamples: int) -> dict[str, Any] | None:
    """The snapshots of a PPO directory; None if it has none.

    ``{"kept": 12, "points": [{"iteration", "score", "check_score", "kl", "length", "n"} and, with a rubric, "gold",
    "low", "high"]}``: means over the ``n`` responses to development prompts, gold with its 95 % interval
    over the prompts. Iteration 0 is the SFT model,
    which the lengths are held against. ``kept`` is the iteration whose weights were saved, None where the directory
    does not say.
    """
    files = sorted((policy / "snapshots").glob("*.jsonl"))
    if not files:
        return None
    return {"kept": _kept(policy), "points": [_point(file, gold, seed, resamples) for file in files]}


def _kept(policy: Path) -> int | None:
    record = read_json(policy / "provenance.json") if (policy / "provenance.json").is_file() else {}
    step = record.get("kept_step")
    return step if isinstance(step, int) else None


def _point(file: Path, gold: GoldJudge | None, seed: int, resamples: int) -> dict[str, Any]:
    tried: Sequence[Tried] = read_jsonl(file, Tried)
    count = len(tried)
    point: dict[str, Any] = {
        "iteration": int(file.stem),
        "score": sum(one.score for one in tried) / count,
        "check_score": sum(one.check_score for one in tried) / count,
        "kl": sum(one.kl for one in tried) / count,
        "n": count,
    }
    lengths = [one.length for one in tried if one.length is not None]
    if len(lengths) == count:
        point["length"] = sum(lengths) / count
    if gold is not None:
        scores: dict[str, list[float]] = defaultdict(list)  # of each prompt, which may have been answered several times
        for one in tried:
            scores[one.prompt_id].append(gold.judgement(one.prompt_id, one.response).score)
        figures = mean_with_interval([sum(each) / len(each) for each in scores.values()], seed, resamples)
        point |= {"gold": figures["mean"], "low": figures["low"], "high": figures["high"]}
    return point
