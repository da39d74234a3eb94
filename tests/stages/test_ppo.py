"""PPO, held to the list "What makes RLHF work": each test is named for its point."""

import copy
import io
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from rich.console import Console
from torch import Tensor

from preceptor.algorithms.advantages import gae
from preceptor.errors import InputError
from preceptor.files import write_jsonl
from preceptor.models.checkpoint import load_language_model, load_scalar_model, save_model
from preceptor.stages import ppo as module
from preceptor.stages import ppo_learner
from preceptor.stages.ppo_config import PPOConfig
from preceptor.stages.ppo_snapshots import Snapshots
from preceptor.training.checkpoint import read_state
from preceptor.training.kept import restore
from preceptor.training.loop import CHECKPOINT, train
from preceptor.training.progress import Progress
from preceptor.training.rollout import Rollout, collect
from tests.stages.ppo_bench import Bench

Run = Callable[..., dict[str, Any]]


# 3, 4: ratios and temperature --------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_points_3_and_4_with_learning_rate_0_every_ratio_is_1(
    run_ppo: Run, tmp_path: Path, lines: Callable, monkeypatch: pytest.MonkeyPatch, toy: Any, temperature: float
) -> None:
    """A rate of 1e-30 is 0 for float32 weights. Two epochs, so that updated weights are looked at too."""
    largest: list[float] = []

    def spy(*args: Any) -> Any:
        loss, stats = policy_loss(*args)
        largest.append(float(stats["log_ratio_max"]))
        return loss, stats

    policy_loss = ppo_learner.policy_loss
    monkeypatch.setattr(ppo_learner, "policy_loss", spy)
    run_ppo(lr=1e-30, critic_lr=1e-30, epochs=2, temperature=temperature, max_kl=1e9)
    assert len(largest) >= 8
    assert max(largest) < 1e-4
    for line in lines(tmp_path / "out/metrics.jsonl")[1:]:
        assert line["ratio"] == pytest.approx(1, abs=1e-5)
        assert line["ratio_max"] == pytest.approx(1, abs=1e-4)
        assert line["clip_fraction"] == 0
        assert line["approx_kl"] == pytest.approx(0, abs=1e-7)
        assert line["kl"] == pytest.approx(0, abs=1e-4), "the policy is still the reference, at the same temperature"
    before, after = load_language_model(toy.sft), load_language_model(tmp_path / "out")
    for mine, theirs in zip(after.parameters(), before.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-20)


def test_point_4_the_recipe_has_no_top_k_or_top_p_for_rollouts() -> None:
    for key in ("top_k", "top_p"):
        with pytest.raises(ValueError, match="Extra inputs"):
            PPOConfig(**{key: 1})


# 6, 7: what the reward is made of ----------------------------------------------------------------


def test_point_6_the_penalty_is_in_the_logged_score_and_the_end_rate_beside_it(
    run_ppo: Run, tmp_path: Path, lines: Callable
) -> None:
    start, first, tried = {}, {}, {}
    for penalty in (0.0, 4.0):
        run_ppo(f"p{penalty}", episodes=32, max_new_tokens=5, no_end_penalty=penalty)
        start[penalty], first[penalty] = lines(tmp_path / f"p{penalty}/metrics.jsonl")
        tried[penalty] = lines(tmp_path / f"p{penalty}/snapshots/000000.jsonl")
    assert 0 < first[0.0]["eos_rate"] < 1, "five tokens end some"
    assert first[0.0]["eos_rate"] == first[4.0]["eos_rate"]
    loss = 4.0 * (1 - first[0.0]["eos_rate"])
    assert first[4.0]["score"] == pytest.approx(first[0.0]["score"] - loss, abs=1e-4)
    # Snapshots are judged by the same rule, by both reward models.
    assert 0 < start[0.0]["dev_eos_rate"] < 1
    for key in ("score", "check_score"):
        losses = [bare[key] - fined[key] for bare, fined in zip(tried[0.0], tried[4.0], strict=True)]
        assert {round(one, 3) for one in losses} == {0.0, 4.0}
        assert sum(losses) / len(losses) == pytest.approx(4.0 * (1 - start[0.0]["dev_eos_rate"]), abs=1e-4)


def test_point_7_the_logged_reward_is_what_was_maximised(
    run_ppo: Run, tmp_path: Path, lines: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also under the adaptive controller: the coefficient that is logged is the one that was used."""
    sums: list[float] = []

    def spy(rewards: Tensor, *args: Any) -> Any:
        sums.append(float(rewards.sum(1).mean()))
        return gae(rewards, *args)

    monkeypatch.setattr(ppo_learner, "gae", spy)
    run_ppo(episodes=96, kl_coef=0.5, kl_control="adaptive", kl_target=0.01, kl_horizon=40, lr=5e-3)
    found = lines(tmp_path / "out/metrics.jsonl")[1:]
    assert [line["reward"] for line in found] == pytest.approx(sums, abs=1e-4)
    for line in found:
        assert line["reward"] == pytest.approx(line["score"] - line["kl_coef"] * line["kl"], abs=1e-4)
    assert found[0]["kl_coef"] == 0.5


def test_losses_are_logged_as_means_over_the_minibatches(
    run_ppo: Run, tmp_path: Path, lines: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[float, float]] = []
    whole = ppo_learner.optimize

    def spy(*args: Any, **rest: Any) -> Any:
        metrics = whole(*args, **rest)
        told.append((float(metrics["loss"]), float(metrics["grad_norm"])))
        return metrics

    monkeypatch.setattr(ppo_learner, "optimize", spy)
    run_ppo(episodes=32, batch=32, minibatch=8)
    (line,) = lines(tmp_path / "out/metrics.jsonl")[1:]
    policy, critic = told[::2], told[1::2]
    assert len(policy) == 4
    for part, loss, norm in ((policy, "loss", "grad_norm"), (critic, "value_loss", "value_grad_norm")):
        assert line[loss] == pytest.approx(sum(one for one, _ in part) / 4, abs=1e-6)
        assert line[norm] == pytest.approx(sum(one for _, one in part) / 4, abs=1e-6)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"kl_horizon": 50, "batch": 256}, "kl_horizon 50 is too short for batch 256: make it longer"),
        ({"kl_coef": 0.0}, "kl_coef 0 can never be changed"),
    ],
)
def test_an_adaptive_controller_that_cannot_work_is_refused_with_the_recipe(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        PPOConfig(kl_control="adaptive", **keys)
    PPOConfig(kl_control="fixed", **keys)


# 14: the critic ----------------------------------------------------------------------------------


def test_point_14_at_step_0_the_critic_is_the_reward_model_bias_included(
    run_ppo: Run, toy: Any, rollouts: list[Rollout]
) -> None:
    run_ppo(critic_lr=1e-2)
    first, second = rollouts
    model = load_scalar_model(toy.reward)
    assert model.score.bias.item() != 0
    for rollout, same in [(first, True), (second, False)]:
        with torch.no_grad():
            scores = model(rollout.ids, rollout.segments)[:, :-1]
        gap = (rollout.values - scores)[rollout.mask].abs().max().item()
        assert (gap < 1e-4) == same, "equal at every state of a response, until the critic has learnt"


def test_a_critic_with_a_head_of_0_foretells_nothing_at_first_and_then_learns(
    run_ppo: Run, toy: Any, rollouts: list[Rollout]
) -> None:
    run_ppo(critic_lr=1e-2, critic_head="zero")
    first, second = rollouts
    assert not first.values.any()
    assert second.values[second.mask].abs().max() > 0.01
    scores = load_scalar_model(toy.reward)(first.ids, first.segments)
    assert first.scores.abs().max() > 0.01, "the reward model has kept its head"
    assert scores.abs().max() > 0.01


# 18: the controller ------------------------------------------------------------------------------


def test_point_18_the_adaptive_coefficient_follows_the_formula(toy: Any) -> None:
    assert toy.ppo
    config, metrics = toy.ppo_config, toy.metrics("ppo")[1:]
    expected = config.kl_coef
    for line in metrics:
        assert line["kl_coef"] == pytest.approx(expected, rel=1e-6)
        error = min(max(line["kl"] / config.kl_target - 1, -0.2), 0.2)
        expected *= 1 + error * config.batch / config.kl_horizon


def test_point_18_the_controllers_state_is_saved_and_restored(
    run_ppo: Run, tmp_path: Path, lines: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"episodes": 128, "kl_control": "adaptive", "kl_target": 0.05, "kl_horizon": 40, "lr": 3e-3, "kl_coef": 0.3}
    monkeypatch.setattr(module, "train", partial(train, checkpoint_seconds=0.0))
    run_ppo("whole", **keys)
    calls = []

    def interrupted(*args: Any, **rest: Any) -> Rollout:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return collect(*args, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(module, "collect", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_ppo("broken", **keys)
    whole = lines(tmp_path / "whole/metrics.jsonl")
    saved = read_state(tmp_path / "broken" / CHECKPOINT)[1]["values"]["kl"]
    assert saved["kind"] == "adaptive"
    assert saved["kl_coef"] == whole[3]["kl_coef"] != 0.3
    run_ppo("broken", **keys)
    broken = lines(tmp_path / "broken/metrics.jsonl")
    drop = {"tokens_per_second": None}
    assert [line | drop for line in broken] == [line | drop for line in whole]
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "broken")]
    assert files[0] == files[1]


def test_a_fixed_coefficient_stays(run_ppo: Run, tmp_path: Path, lines: Callable) -> None:
    run_ppo(kl_coef=0.3)
    assert [line["kl_coef"] for line in lines(tmp_path / "out/metrics.jsonl")[1:]] == [0.3, 0.3]
    assert PPOConfig().kl_control == "fixed"
    assert PPOConfig().kl_coef == 0.02


# 20: what is told --------------------------------------------------------------------------------

LOGGED = {
    "score", "kl", "kl_coef", "reward", "length", "eos_rate", "entropy", "ratio", "ratio_max", "clip_fraction",
    "approx_kl", "explained_variance", "loss", "value_loss", "value_clip_fraction", "ptx_loss", "grad_norm", "lr_scale",
    "tokens",
}  # fmt: skip


def test_point_20_everything_is_logged_at_every_iteration(toy: Any) -> None:
    assert toy.ppo
    metrics, summary = toy.metrics("ppo"), toy.summaries["ppo"]
    assert [line["step"] for line in metrics] == list(range(13))
    assert all(key == "step" or key.startswith("dev_") for key in metrics[0]), "the start, before anything was learnt"
    for line in metrics[1:]:
        assert set(line) >= LOGGED
        assert all(isinstance(line[key], (int, float)) and math.isfinite(line[key]) for key in LOGGED)
        assert 0 <= line["eos_rate"] <= 1
        assert 0 <= line["clip_fraction"] <= 1
        assert 1 <= line["length"] <= 12
        assert line["approx_kl"] >= 0
        assert line["entropy"] >= 0
        assert line["ratio"] == pytest.approx(1, abs=0.2)
    assert summary["episodes"] == 384
    assert summary["iterations"] == 12


def test_point_20_responses_are_written_for_people_to_read(toy: Any, lines: Callable) -> None:
    assert toy.ppo
    files = sorted((toy.ppo / "snapshots").iterdir())
    assert [path.name for path in files] == [f"{n:06d}.jsonl" for n in (0, 3, 6, 9, 12)]
    by_step = {line["step"]: line for line in toy.metrics("ppo")}
    for path in files:
        rows = lines(path)
        assert [row["prompt_id"] for row in rows] == [f"p{i}" for i in range(16)]
        assert all(set(row) == {"prompt_id", "response", "score", "check_score", "kl", "length"} for row in rows)
        line = by_step[int(path.stem)]
        for key in ("score", "check_score", "kl"):
            assert sum(row[key] for row in rows) / 16 == pytest.approx(line[f"dev_{key}"], abs=1e-4)
    assert any(row["response"] for row in lines(files[0]))


def test_point_20_a_negative_kl_gives_an_alarm(run_ppo: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    monkeypatch.setattr(ppo_learner, "episode_kl", lambda logprobs, *_: torch.full((len(logprobs),), -0.5))
    run_ppo(progress=Progress(console=Console(file=said, width=200)))
    assert "KL is -0.50 nats, below 0" in said.getvalue()


def test_it_learns(toy: Any) -> None:
    assert toy.ppo
    metrics = toy.metrics("ppo")[1:]
    first, last = (sum(line["score"] for line in part) / 3 for part in (metrics[:3], metrics[-3:]))
    assert last > first + 0.5
    assert not (toy.ppo / CHECKPOINT).exists()
    assert load_language_model(toy.ppo).config == load_language_model(toy.sft).config


# what is kept ------------------------------------------------------------------------------------


def test_the_kept_policy_is_the_snapshot_that_the_check_likes_best(toy: Any) -> None:
    assert toy.ppo
    kept = toy.summaries["ppo"]["kept"]
    tried = {line["step"]: line["dev_check_score"] for line in toy.metrics("ppo") if "dev_check_score" in line}
    assert sorted(tried) == [0, 3, 6, 9, 12]
    assert kept["check_score"] == max(tried.values()) == tried[kept["iteration"]]
    assert toy.summaries["ppo"]["kept_step"] == kept["iteration"], "what provenance, evaluation and report look for"


def test_a_snapshot_too_far_away_is_never_kept(run_ppo: Run, tmp_path: Path, toy: Any) -> None:
    kept = run_ppo(lr=1e-2, max_kl=1e-9)["kept"]
    assert kept["iteration"] == 0
    before, after = load_language_model(toy.sft), load_language_model(tmp_path / "out")
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))


def test_of_the_snapshots_within_the_kl_the_best_by_the_check_is_kept(bench: Bench) -> None:
    snapshots, state, policy = Snapshots.__new__(Snapshots), bench.learner().state, copy.deepcopy(bench.policy)
    snapshots.max_kl = 2.0
    tried = [  # iteration, KL, what the check says; the score of PPO's own reward model rises all the way
        (0, 0.0, -1.0),
        (1, 1.0, -2.0),
        (2, 1.9, 0.5),
        (3, 2.1, 9.0),
        (4, 1.5, 0.5),
        (5, 1.0, 0.4),
    ]
    kept = []
    for iteration, kl, check in tried:
        policy.embed.weight.data.fill_(float(iteration))
        found = {"dev_kl": kl, "dev_check_score": check, "dev_score": float(iteration)}
        snapshots._keep_if_best(state, policy, iteration, found)
        kept.append(state.values["best"]["iteration"])
    assert kept == [0, 0, 2, 2, 2, 2], "not the one too far away, and of equal ones the first"
    restore(state, policy)
    assert (policy.embed.weight == 2.0).all()


# bad input ---------------------------------------------------------------------------------------


def test_long_prompts_are_truncated_and_counted(run_ppo: Run, tmp_path: Path) -> None:
    def prompt(i: int) -> dict[str, Any]:
        return {"id": f"p{i}", "user": "u", "messages": [{"role": "user", "content": "ann " * (99 if i < 3 else 1)}]}

    write_jsonl(tmp_path / "long.jsonl", [prompt(i) for i in range(20)])
    said = io.StringIO()
    progress = Progress(console=Console(file=said, width=200))
    assert run_ppo(inputs={"prompts": tmp_path / "long.jsonl"}, progress=progress)["truncated"] == 3
    assert "3 of 20 prompts were longer than the context and were truncated" in said.getvalue()


def test_a_reward_model_that_does_not_fit_stops_it_before_anything_is_written(
    run_ppo: Run, tmp_path: Path, toy: Any
) -> None:
    shifted = load_scalar_model(toy.reward)
    shifted.score.bias.data += 0.25
    save_model(shifted, tmp_path / "shifted", toy.text)
    with pytest.raises(InputError, match=r"gives demonstrations \+0.250 on average instead of 0"):
        run_ppo(inputs={"reward": tmp_path / "shifted"})
    with pytest.raises(InputError, match="is a language model; name a reward model here"):
        run_ppo(inputs={"reward": toy.sft})
    assert not (tmp_path / "out").exists()
    # Without demonstrations there is nothing to hold it to.
    run_ppo(inputs={"reward": tmp_path / "shifted", "demonstrations": None, "corpus": None, "check": None}, episodes=32)
    assert load_language_model(tmp_path / "out").config == load_language_model(toy.sft).config


def test_the_policy_is_tried_when_it_has_learnt_and_not_in_the_warmup(
    run_ppo: Run, tmp_path: Path, lines: Callable
) -> None:
    run_ppo(batch=8, minibatch=8, episodes=48, critic_warmup=2, snapshots=2, max_kl=1e9)
    tried = [line["step"] for line in lines(tmp_path / "out/metrics.jsonl") if "dev_score" in line]
    assert tried == [0, 4, 6]


def test_a_warmup_that_leaves_the_policy_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"critic_warmup 4 leaves the policy none of the 4 iterations"):
        PPOConfig(episodes=1024, critic_warmup=4)
