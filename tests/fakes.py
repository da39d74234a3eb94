"""Stages of a run that write what a stage would write, from what it would read, in a moment."""

import hashlib
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from preceptor.provenance import content_hash
from preceptor.training.progress import Progress
from preceptor.verbs import STAGES

QUIET = Progress(quiet=True)
DATA = ("corpus", "corpus_heldout", "prompts_train", "prompts_dev", "demonstrations", "gold")
SUMMARIES: dict[str, dict[str, Any]] = {
    "rank": {"rankings": 5, "labeler_agreement": 0.7},
    "reward": {"heldout_accuracy": 0.6, "check_heldout_accuracy": 0.5},
    "ppo": {"kept_step": 3, "score": float("nan")},
    "evaluate": {
        "judge": "gold",
        "helpfulness": {"ppo_vs_sft": {"win_rate": 0.6, "low": 0.55, "high": 0.65, "n": 100}},
        "truthfulness": {"ppo": {"known": {"true": 0.9, "false": 0.05, "unknown": 0.05}}},
        "harmlessness": {"rude": {"base": 0.5, "ppo": 0.25}},
        "perplexity": {"base": 9.5, "sft": 10.5},
        "reward": {"gold_accuracy": 0.8},
    },
}


class Fakes:
    """Stage functions that record their calls; ``before`` is asked before each call writes anything."""

    def __init__(self, before: Callable[[str, Path], None] = lambda stage, out: None, slow: float = 0.0) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.before, self.slow = before, slow
        self.stages = {name: self._stage(name) for name in STAGES}

    @property
    def called(self) -> list[str]:
        return [name for name, _ in self.calls]

    def _stage(self, name: str) -> Callable[..., dict[str, Any]]:
        def stage(config: Any, *, out: Path, **arguments: Any) -> dict[str, Any]:
            self.calls.append((name, {"config": config, "out": out, **arguments}))
            self.before(name, out)
            arguments.pop("progress", None)
            places = [out, *([arguments.pop("check_out")] if "check_out" in arguments else [])]
            told = f"{name} {arguments.pop('seed', '')}" + "".join(_told(value) for value in arguments.values())
            for place in places:
                time.sleep(self.slow)
                files = {"model.safetensors": told} if place.suffix == "" else {}
                files = {f"{part}.jsonl": f"{part} {told}" for part in DATA} if name == "data" else files
                for file, text in files.items():
                    place.mkdir(parents=True, exist_ok=True)
                    (place / file).write_text(_digest(text))
                if place.suffix:
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_text(_digest(told))
            return dict(SUMMARIES.get(name, {}))

        return stage


def _told(value: Any) -> str:
    """What a fake reads of an argument: the bytes behind its paths."""
    if isinstance(value, Path):
        return content_hash(value) if value.is_file() or (value / "model.safetensors").exists() else ""
    if isinstance(value, (list, dict)):
        return "".join(_told(part) for part in (value.values() if isinstance(value, dict) else value))
    return ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def results(root: Path) -> dict[str, str]:
    """The outputs of the stages, without the accounts of time."""
    accounts = {"run.json", "clock.json", "summary.json"}
    files = [path for path in root.rglob("*") if path.is_file() and path.name not in accounts]
    return {str(path.relative_to(root)): path.read_text() for path in files if not path.name.startswith(".")}


def killed_again_and_again(work: Callable[[], Any], first: float, more: float) -> int:
    """How often ``work`` was killed, each time so many seconds later than before, until it had time to end well."""
    for kills in range(60):
        process = multiprocessing.get_context("fork").Process(target=work)
        process.start()
        process.join(first + more * kills)
        if process.exitcode is not None:
            break
        process.kill()
        process.join()
    assert process.exitcode == 0
    return kills
