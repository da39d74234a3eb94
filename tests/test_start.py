"""A run that starts from a pretrained model of others and from files of people: every stage, to the report."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import transformers

from preceptor.errors import InputError
from preceptor.models.compute import ComputeConfig
from preceptor.recipe import Recipe
from preceptor.run import Stage, plan, run
from preceptor.training.progress import Progress
from preceptor.verbs import STAGES, stage_function

from .another_device import another_device
from .foreign import CHATML, write_model

NAMES, VERBS = ("ann", "bob", "cat", "dan", "eve"), ("likes", "sees", "hears")
QUIET = Progress(quiet=True)
SMALL = [
    "data.source=files", "data.heldout_share=0.2", "data.dev_share=0.2", "compute.max_length=48",
    "compute.token_budget=200", "sft.epochs=1", "sft.batch=16", "sft.lr=1e-3", "sample.prompts=8", "reward.batch=8",
    "reward.check_share=0.3", "reward.heldout_share=0.2", "ppo.episodes=16", "ppo.batch=8", "ppo.minibatch=4",
    "ppo.max_new_tokens=8", "ppo.snapshots=1", "ppo.snapshot_prompts=4", "sample.max_new_tokens=8",
    "evaluate.prompts=6", "evaluate.greedy_prompts=4", "evaluate.max_new_tokens=8", "evaluate.best_of_prompts=2",
]  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of others, chats, and preferences."""
    root = tmp_path_factory.mktemp("world")
    write_model(root / "model", template=CHATML)
    asked = [f"Say {NAMES[i % 5]} {i} times" for i in range(60)]
    said = [[f"{name} {verb} {other}." for verb in VERBS for other in NAMES[:2]] for name in NAMES]
    chats = [
        {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": said[i % 5][i % 6]}]}
        for i, text in enumerate(asked)
    ]
    preferences = [
        {"prompt": text, "chosen": said[i % 5][i % 6], "rejected": said[(i + 1) % 5][(i + 1) % 6]}
        for i, text in enumerate(asked)
    ]
    for name, rows in (("chats", chats), ("preferences", preferences)):
        (root / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (root / "book.txt").write_text("\n\n".join(f"{name} {verb} {name}. " * 9 for name in NAMES for verb in VERBS))
    return root


def recipe(world: Path, *more: str) -> Recipe:
    named = [f"data.{key}={json.dumps([str(world / file)])}" for key, file in FILES.items()]
    return Recipe.load("smoke", [*SMALL, *named, f"model.start={world / 'model'}", *more])


FILES = {"demonstrations": "chats.jsonl", "rankings": "preferences.jsonl"}


def interrupted_after(count: int) -> Mapping[str, Stage]:
    """The real stages, of which so many are done before somebody presses Ctrl-C."""
    done: list[str] = []

    def stage(name: str) -> Stage:
        def call(*arguments: Any, **inputs: Any) -> dict[str, Any]:
            if len(done) == count:
                raise KeyboardInterrupt
            done.append(name)
            return stage_function(name)(*arguments, **inputs)

        return call

    return {name: stage(name) for name in STAGES}


@pytest.fixture(scope="module")
def finished(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped after the import and again after the SFT, and then brought to its end."""
    root = tmp_path_factory.mktemp("run")
    for count in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            run(recipe(world), root, QUIET, interrupted_after(count))
    run(recipe(world), root, QUIET, {name: stage_function(name) for name in STAGES})
    return root


def test_every_stage_runs_from_a_pretrained_model_and_a_stopped_run_goes_on(world: Path, finished: Path) -> None:
    root, stages = finished, {name: stage_function(name) for name in STAGES}
    summary = json.loads((root / "summary.json").read_text())
    assert not (root / "tokenizer").exists()
    assert "pretrain" not in summary and "tokenizer" not in summary
    assert summary["import"]["source"] == str(world / "model")
    assert summary["import"]["context"] == 512
    evaluation = summary["evaluation"]
    assert evaluation["base_format"]["chosen"] == "chat"
    assert "ppo_vs_base" in evaluation["helpfulness"]
    assert "perplexity" not in evaluation, "there is no text to measure it on"
    assert set(summary["ppo"]["kept"]) >= {"score", "kl"}
    metrics = [json.loads(line) for line in (root / "ppo/metrics.jsonl").read_text().splitlines()]
    assert not any("ptx_loss" in line for line in metrics), "there is no text to hold on to"
    assert all(0 <= line["padding"] < 1 for line in metrics if "loss" in line)
    page = (root / "report.html").read_text()
    assert "The model to start from" in page
    assert "has a chat template of its own" in page
    for name in ("base", "sft", "ppo"):
        config = json.loads((root / name / "config.json").read_text())
        assert config["max_position_embeddings"] == 512, "the run used 48 of them; the model keeps its context"
        assert transformers.AutoModelForCausalLM.from_pretrained(root / name).num_parameters() > 0
    provenance = json.loads((root / "base/provenance.json").read_text())
    assert len(provenance["data"][str(world / "model")]["sha256"]) == 64
    assert json.loads((root / "sft/provenance.json").read_text())["compute"]["max_length"] == 48
    before = {path: path.lstat().st_mtime_ns for path in root.rglob("*")}
    assert run(recipe(world), root, QUIET, stages) == summary
    assert {path: path.lstat().st_mtime_ns for path in root.rglob("*")} == before


def test_evaluation_on_another_device_gives_the_same(world: Path, tmp_path: Path, finished: Path) -> None:
    (unit,) = [unit for unit in plan(recipe(world), finished) if unit.stage == "evaluate"]
    with another_device() as device, pytest.MonkeyPatch.context() as patch:
        patch.setattr(ComputeConfig, "torch_device", lambda self: device)
        there = stage_function("evaluate")(unit.config, **unit.inputs, out=tmp_path, seed=unit.seed, progress=QUIET)
    here = json.loads((finished / "evaluation/evaluation.json").read_text())
    for measure in ("kl", "reward_score"):
        for model, figures in here[measure].items():
            assert there[measure][model]["mean"] == pytest.approx(figures["mean"], rel=1e-3, abs=1e-4)
    assert there["mean_length"] == here["mean_length"]


def test_text_is_mixed_in_and_measured_where_it_is_given(world: Path, tmp_path: Path) -> None:
    with_text = recipe(world, f'data.text=["{world / "book.txt"}"]')
    for one, corpus in ((recipe(world), None), (with_text, tmp_path / "data/corpus.jsonl")):
        units = {unit.stage: unit for unit in plan(one, tmp_path)}
        assert units["sft"].inputs["corpus"] == units["ppo"].inputs["corpus"] == corpus
        assert list(units)[:3] == ["import", "data", "sft"], "what may fail soonest comes first"


def test_every_stage_gets_the_table_of_its_models(world: Path, tmp_path: Path) -> None:
    one = recipe(world)
    for unit in plan(one, tmp_path):
        wants = "compute" in STAGES[unit.stage].tables
        assert unit.inputs.get("compute") == (one.compute if wants else None)
        assert wants == (unit.stage in ("sft", "sample", "reward", "ppo", "evaluate"))


@pytest.mark.parametrize("start", ["nowhere.gguf", "a/b/c", "theirs"])
def test_a_model_that_is_not_there_leaves_nothing_behind(world: Path, tmp_path: Path, start: str) -> None:
    (tmp_path / "theirs").mkdir()
    name = tmp_path / start if start == "theirs" else start
    stages = {name: stage_function(name) for name in STAGES}
    with pytest.raises(InputError, match=r"no such model|no such file"):
        run(recipe(world, f"model.start={name}"), tmp_path / "run", QUIET, stages)
    assert not (tmp_path / "run").exists()


def test_a_model_that_changed_is_refused(world: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "model", template=CHATML)
    mine = recipe(world, f"model.start={tmp_path / 'model'}")
    with pytest.raises(KeyboardInterrupt):
        run(mine, tmp_path / "run", QUIET, interrupted_after(1))
    write_model(tmp_path / "model", template=CHATML, hidden_size=64)
    with pytest.raises(InputError, match="model: has changed since"):
        run(mine, tmp_path / "run", QUIET, interrupted_after(9))
