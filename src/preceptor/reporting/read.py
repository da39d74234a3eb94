"""What a run directory holds, as the report needs it. Whatever is missing is simply absent."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from preceptor.files import read_json
from preceptor.statistics import is_number

Row = dict[str, Any]


@dataclass(frozen=True)
class StageRecord:
    """One finished stage: where it ran, the lines of its metrics.jsonl, its provenance."""

    name: str  # the path inside the run: "sft", "rounds/2/ppo"
    kind: str  # base, sft, reward, reward-check, ppo, lstm, causal, masked
    metrics: list[Row]
    provenance: Row

    @property
    def title(self) -> str:
        """The stage in words: "PPO, round 2"."""
        word = {
            "lstm": "LSTM",
            "causal": "Causal transformer",
            "masked": "Masked transformer",
            "base": "The model to start from" if self.provenance.get("stage") == "import" else "Pretraining",
            "sft": "Supervised fine-tuning",
            "reward": "Reward model",
            "reward-check": "Check reward model",
            "ppo": "PPO",
        }[self.kind]
        parts = self.name.split("/")
        return f"{word}, round {parts[1]}" if parts[0] == "rounds" else word

    def series(self, key: str, x: str = "step") -> tuple[list[float], list[float]]:
        """The values of ``key`` and of ``x`` in the lines that have both as finite numbers."""
        pairs = [(row[x], row[key]) for row in self.metrics if is_number(row.get(x)) and is_number(row.get(key))]
        return [float(a) for a, _ in pairs], [float(b) for _, b in pairs]

    @property
    def metric_names(self) -> list[str]:
        """Every metric that has a number somewhere, in order of appearance."""
        found = {key: None for row in self.metrics for key, value in row.items() if is_number(value)}
        return list(found)

    @property
    def tokens(self) -> int:
        """Tokens handled, as counted by the lines themselves."""
        return int(sum(row["tokens"] for row in self.metrics if is_number(row.get("tokens"))))

    @property
    def kept_step(self) -> int | None:
        """The step whose weights were kept, if the stage chose one."""
        step = self.provenance.get("kept_step")
        return int(step) if is_number(step) else None


@dataclass(frozen=True)
class RunRecord:
    """Everything the report is made from."""

    name: str
    recipe: str
    run: Row
    summary: Row
    evaluation: Row
    foundations: Row = field(default_factory=dict)
    stages: list[StageRecord] = field(default_factory=list)
    responses: list[Row] = field(default_factory=list)


def read_run(run: Path) -> RunRecord:
    """Read a run directory, finished or not."""
    return RunRecord(
        name=run.resolve().name,
        recipe=(run / "recipe.toml").read_text(encoding="utf-8") if (run / "recipe.toml").is_file() else "",
        run=_json(run / "run.json"),
        summary=_json(run / "summary.json"),
        evaluation=_json(run / "evaluation" / "evaluation.json"),
        foundations=_json(run / "foundations" / "foundations.json"),
        stages=[_stage(run, name) for name in _stage_names(run)],
        responses=_jsonl(run / "evaluation" / "responses.jsonl"),
    )


def _stage_names(run: Path) -> Sequence[str]:
    names = [name for name in ("base", "sft") if (run / name).is_dir()]
    names += [f"foundations/{kind}" for kind in ("lstm", "causal", "masked") if (run / "foundations" / kind).is_dir()]
    rounds = [path for path in (run / "rounds").glob("*") if path.name.isdigit()]
    for one in sorted(rounds, key=lambda path: int(path.name)):
        names += [f"rounds/{one.name}/{kind}" for kind in ("reward", "reward-check", "ppo") if (one / kind).is_dir()]
    return names


def _stage(run: Path, name: str) -> StageRecord:
    directory = run / name
    return StageRecord(name, Path(name).name, _jsonl(directory / "metrics.jsonl"), _json(directory / "provenance.json"))


def _json(path: Path) -> Row:
    value = read_json(path) if path.is_file() else {}
    return value if isinstance(value, dict) else {}


def _jsonl(path: Path) -> list[Row]:
    """The objects of a JSONL file; a torn last line (a stage that was killed) is passed over."""
    rows: list[Row] = []
    for line in path.read_text(encoding="utf-8").split("\n") if path.is_file() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows
