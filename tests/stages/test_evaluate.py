"""The evaluation stage on models that know nothing: every figure is there, finite, and the same each time."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preceptor.atlas.settings import AtlasConfig
from preceptor.atlas.world import write_world
from preceptor.errors import InputError
from preceptor.files import write_jsonl
from preceptor.models.checkpoint import save_model
from preceptor.models.heads import ScalarModel
from preceptor.models.transformer import Transformer
from preceptor.recipe import Recipe
from preceptor.stages.evaluate import EvaluateConfig, evaluate
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.progress import Progress

CONFIG = EvaluateConfig(
    prompts=12,
    greedy_prompts=6,
    max_new_tokens=8,
    best_of=2,
    best_of_prompts=4,
    format_prompts=3,
    probes=4,
    reward_prompts=8,
    resamples=100,
)
Models = dict[str, Path]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world")
    small: AtlasConfig = Recipe.load("smoke").data.atlas
    write_world(small, 0, out)
    return out


@pytest.fixture
def models(
    tmp_path: Path,
    tiny_model: Callable[..., Transformer],
    tiny_scalar: Callable[..., ScalarModel],
    tiny_tokenizer: Tokenizer,
) -> Models:
    for seed, name in enumerate(("base", "sft", "ppo_round_1", "ppo")):
        save_model(tiny_model(seed=seed, max_position_embeddings=64), tmp_path / name, tiny_tokenizer)
    save_model(tiny_scalar(max_position_embeddings=64), tmp_path / "reward", tiny_tokenizer)
    return {name: tmp_path / name for name in ("base", "sft", "reward", "ppo_round_1", "ppo")}


def run(models: Models, data: Path, out: Path, config: EvaluateConfig = CONFIG, **more: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "rankings": [],
        "rankings_train": [],
        "seed": 0,
        "progress": Progress(quiet=True),
    } | more
    return evaluate(config, models=models, data=data, out=out, **arguments)


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [number for part in value.values() for number in numbers(part)]
    if isinstance(value, list):
        return [number for part in value for number in numbers(part)]
    return [float(value)] if isinstance(value, (int, float)) else []


def test_every_figure_of_the_built_in_world(models: Models, world: Path, tmp_path: Path) -> None:
    point = {"prompt_id": "no such prompt", "response": "x", "score": 0.0, "check_score": 0.0, "kl": 0.0}
    heldout = json.loads((world / "prompts_dev.jsonl").read_text().splitlines()[0])["id"]
    write_jsonl(models["ppo"] / "snapshots" / "000002.jsonl", [point | {"prompt_id": heldout}])
    result = run(models, world, tmp_path / "out")
    assert result["judge"] == "gold"
    policies = {"base", "sft", "ppo_round_1", "ppo"}
    pairs = {"sft_vs_base", "ppo_vs_sft", "ppo_vs_base", "ppo_round_1_vs_sft", "ppo_vs_ppo_round_1"}
    assert set(result["helpfulness"]) == pairs | {"best_of_2_vs_sft", "greedy"}
    assert set(result["helpfulness"]["greedy"]) == pairs
    for pair in pairs:
        assert set(result["helpfulness"][pair]) == {"win_rate", "low", "high", "n"}
        assert result["helpfulness"][pair]["n"] == 12
    for model in policies:
        for group in ("known", "withheld", "invented"):
            claims = result["truthfulness"][model][group]
            assert sum(claims[claim] for claim in ("true", "false", "unknown", "none")) == pytest.approx(1)
        assert result["perplexity"][model] > 1
        assert 0 < result["mean_length"][model] <= 8
        assert 0 <= result["eos_share"][model] <= 1
    for instruction in ("none", "respectful", "rude"):
        assert policies <= set(result["harmlessness"][instruction])
    assert set(result["kl"]) == {"ppo_round_1", "ppo"}
    assert result["kl"]["ppo"]["mean"] > 0
    assert set(result["gold"]) == policies | {"best_of_2", "greedy"}
    assert {"heldout_accuracy", "gold_accuracy", "gold_on_labels", "labeler_agreement"} <= set(result["reward"])
    assert set(result["drift"]) == {"ppo_round_1", "ppo"}
    assert set(result["drift"]["ppo"]) == {"reward_gain", "length_ratio"}
    assert result["snapshots"]["ppo"]["points"][0]["iteration"] == 2
    assert all(math.isfinite(number) for number in numbers(result))


def test_what_is_written(models: Models, world: Path, tmp_path: Path) -> None:
    result = run(models, world, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text()) == result
    rows = [json.loads(line) for line in (tmp_path / "out" / "responses.jsonl").read_text().splitlines()]
    headline = [row for row in rows if row["part"] == "helpfulness"]
    assert len(headline) == 4 * 12
    assert {row["model"] for row in headline} == {"base", "sft", "ppo_round_1", "ppo"}
    for row in headline:
        assert row["messages"][-1]["role"] == "user"
        assert row["gold"] is not None
        assert row["reward"] is not None
    parts = {row["part"] for row in rows}
    assert parts == {
        *("helpfulness", "best of", "greedy", "truthfulness", "truthfulness greedy", "harmlessness", "reward"),
    }


def test_the_same_seed_gives_the_same_figures_and_fewer_prompts_the_same_answers(
    models: Models, world: Path, tmp_path: Path
) -> None:
    run(models, world, tmp_path / "one")
    run(models, world, tmp_path / "two")
    one, two = (tmp_path / name / "responses.jsonl" for name in ("one", "two"))
    assert one.read_text() == two.read_text()
    run(models, world, tmp_path / "few", CONFIG.model_copy(update={"prompts": 5}))
    lines = set(one.read_text().splitlines())
    few = [line for line in (tmp_path / "few" / "responses.jsonl").read_text().splitlines() if '"helpfulness"' in line]
    assert len(few) == 4 * 5
    assert set(few) <= lines


def test_heldout_prompts_alone_are_measured(models: Models, world: Path, tmp_path: Path) -> None:
    run(models, world, tmp_path / "out")
    rows = [json.loads(line) for line in (tmp_path / "out" / "responses.jsonl").read_text().splitlines()]
    ids = {
        part: {json.loads(line)["id"] for line in (world / f"prompts_{part}.jsonl").read_text().splitlines()}
        for part in ("train", "dev", "heldout")
    }
    for row in rows:
        if row["part"] in ("helpfulness", "greedy", "best of"):
            assert row["prompt_id"] in ids["heldout"]
        if row["part"] == "reward":
            assert row["prompt_id"] in ids["dev"]
        assert row["prompt_id"] not in ids["train"]


def test_without_gold_the_reward_model_judges(models: Models, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for part in ("dev", "heldout"):
        prompts = [
            {"id": f"{part}{i}", "user": "u", "messages": [{"role": "user", "content": f"Say {i}."}]} for i in range(6)
        ]
        write_jsonl(data / f"prompts_{part}.jsonl", prompts)
    responses = [{"text": "ann"}, {"text": "ann likes bob"}]
    ranking = {"prompt_id": "heldout0", "messages": [{"role": "user", "content": "Say 0."}], "responses": responses}
    learnt = ranking | {"prompt_id": "train0", "ranks": [1, 2]}
    write_jsonl(data / "rankings_heldout.jsonl", [ranking | {"ranks": [2, 1]}, learnt])
    write_jsonl(data / "rankings_train.jsonl", [learnt])
    del models["ppo_round_1"]
    files = {"rankings": [data / "rankings_heldout.jsonl"], "rankings_train": [data / "rankings_train.jsonl"]}
    result = run(models | {"reward-check": models["reward"]}, data, tmp_path / "out", **files)
    assert result["judge"] == "reward model"
    assert not {"truthfulness", "harmlessness", "gold", "perplexity"} & set(result)
    assert result["helpfulness"]["ppo_vs_sft"]["n"] == 6
    assert result["reward"]["longer_wins"] == 1.0
    assert result["reward"]["details"]["heldout_accuracy"]["pairs"] == 1, "what was learnt from is not measured on"
    assert result["reward"]["bag_of_words"] == 0.0
    gains = result["drift"]["ppo"]
    assert gains["check_gain"]["mean"] == pytest.approx(gains["reward_gain"]["mean"], abs=1e-3), "one model twice"
    assert result["reward"]["heldout_accuracy"] in (0.0, 1.0)


def test_without_ppo_sft_is_measured_alone(models: Models, world: Path, tmp_path: Path) -> None:
    few = {name: models[name] for name in ("base", "sft", "reward")}
    result = run(few, world, tmp_path / "out")
    assert set(result["helpfulness"]) == {"sft_vs_base", "best_of_2_vs_sft", "greedy"}
    assert result["kl"] == {}


def test_bad_input_is_one_line(models: Models, world: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match="needs the model reward"):
        run({name: models[name] for name in ("base", "sft")}, world, out)
    with pytest.raises(InputError, match="max_new_tokens 60 leaves no room"):
        run(models, world, out, CONFIG.model_copy(update={"max_new_tokens": 60}))
    with pytest.raises(InputError, match=r"prompts_heldout\.jsonl: no such file"):
        run(models, tmp_path, out)
    assert not out.exists()
