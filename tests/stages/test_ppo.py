"""PPO, held to the list "What makes RLHF work": each test is named for its point."""

import copy
import io
import math
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from rich.console import Console
from torch import Tensor

from preceptor.algorithms.advantages import gae, whiten
from preceptor.algorithms.kl import per_token_rewards
from preceptor.errors import InputError
from preceptor.files import write_jsonl
from preceptor.generation.sampling import SamplingConfig
from preceptor.models.checkpoint import load_language_model, load_scalar_model, save_model
from preceptor.models.compute import ComputeConfig
from preceptor.stages import ppo as module
from preceptor.stages import ppo_learner
from preceptor.stages.ppo import ppo
from preceptor.stages.ppo_config import PPOConfig
from preceptor.stages.ppo_learner import Learner
from preceptor.stages.ppo_models import Models
from preceptor.stages.ppo_snapshots import Snapshots
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.batches import batch_at
from preceptor.training.checkpoint import read_state
from preceptor.training.corpus import Corpus, next_token_loss, next_token_mask
from preceptor.training.kept import restore
from preceptor.training.loop import CHECKPOINT, train
from preceptor.training.progress import Progress
from preceptor.training.rollout import Rollout, collect, response_logprobs

Run = Callable[..., dict[str, Any]]
PROMPTS = [[1, 4, 30, 31, 2, 5], [1, 4, 40, 2, 5], [1, 4, 50, 51, 52, 53, 2, 5]] * 4
SHORT = {"episodes": 64, "snapshots": 1, "snapshot_prompts": 8}


@pytest.fixture
def run(toy: Any, tmp_path: Path) -> Run:
    """run(**keys of the table): two iterations on the toy world, into tmp_path / "out"; ``inputs`` may be replaced."""

    def call(out: str = "out", inputs: Any = None, progress: Any = None, **keys: Any) -> dict[str, Any]:
        config = PPOConfig(**toy.tables["ppo"] | SHORT | keys)
        paths = toy.ppo_inputs | (inputs or {})
        return ppo(config, **paths, out=tmp_path / out, seed=0, progress=progress or toy.progress)

    return call


@pytest.fixture
def rollouts(monkeypatch: pytest.MonkeyPatch) -> list[Rollout]:
    """What a run plays, one an iteration."""
    played: list[Rollout] = []

    def spy(*args: Any, **keys: Any) -> Rollout:
        played.append(collect(*args, **keys))
        return played[-1]

    monkeypatch.setattr(module, "collect", spy)
    return played


class Bench:
    """A learner on tiny models with a ragged rollout of theirs, some of it without an end."""

    def __init__(self, tiny_model: Callable, tiny_scalar: Callable, tokenizer: Tokenizer) -> None:
        self.policy = tiny_model(tie_word_embeddings=False)
        with torch.no_grad():
            self.policy.head.weight[tokenizer.eos_id] *= 8.0
        self.reference, self.critic, self.reward = tiny_model(seed=1), tiny_scalar(0.25, seed=2), tiny_scalar(seed=3)
        ids = torch.randint(7, 270, (5, 20), generator=torch.Generator().manual_seed(0))
        lengths = torch.tensor([20, 20, 20, 20, 9])  # the last row is part padding
        segments = (torch.arange(20) < lengths[:, None]).long()
        segments[0, 11:] = 2
        self.corpus = Corpus(ids, segments)
        self.rollout = collect(
            self.policy,
            PROMPTS,
            reference=self.reference,
            critic=self.critic,
            reward_model=self.reward,
            tokenizer=tokenizer,
            sampling=SamplingConfig(max_new_tokens=12),
            keys=[("x", i) for i in range(len(PROMPTS))],
            no_end_penalty=1.0,
        )
        rewards = per_token_rewards(
            self.rollout.scores, self.rollout.logprobs, self.rollout.ref_logprobs, self.rollout.mask, 0.1
        )
        advantages, self.returns = gae(rewards, self.rollout.values, self.rollout.mask)
        self.advantages = whiten(advantages, self.rollout.mask)

    def learner(self, *, corpus: bool = False, token_budget: int = 4096, **keys: Any) -> Learner:
        """A fresh learner on copies of the models."""
        config = PPOConfig(**{"clip_norm": 1e9, "warmup": 0.0, "minibatch": 6} | keys)
        models = Models(*(copy.deepcopy(one) for one in (self.policy, self.reference, self.critic, self.reward)))
        compute = ComputeConfig(token_budget=token_budget)
        return Learner(config, models, self.corpus if corpus else None, seed=0, compute=compute)

    def update(self, learner: Learner, rows: list[int], step: int = 0) -> None:
        parts, tokens = learner._parts(self.rollout, self.advantages, self.returns, rows), self.rollout.mask[rows].sum()
        learner._update_policy(parts, tokens, step, 1.0, [], defaultdict(list))
        learner._update_critic(parts, tokens, step, 1.0, [], defaultdict(list))


@pytest.fixture
def bench(tiny_model: Callable, tiny_scalar: Callable, tiny_tokenizer: Tokenizer) -> Bench:
    return Bench(tiny_model, tiny_scalar, tiny_tokenizer)


def assert_alike(mine: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert set(mine) == set(theirs)
    for name, grad in mine.items():
        torch.testing.assert_close(grad, theirs[name], rtol=1e-4, atol=1e-6, msg=name)


# 3, 4: ratios and temperature --------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_points_3_and_4_with_learning_rate_0_every_ratio_is_1(
    run: Run, tmp_path: Path, lines: Callable, monkeypatch: pytest.MonkeyPatch, toy: Any, temperature: float
) -> None:
    """A rate of 1e-30 is 0 for float32 weights. Two epochs, so that updated weights are looked at too."""
    largest: list[float] = []

    def spy(*args: Any) -> Any:
        loss, stats = policy_loss(*args)
        largest.append(float(stats["log_ratio_max"]))
        return loss, stats

    policy_loss = ppo_learner.policy_loss
    monkeypatch.setattr(ppo_learner, "policy_loss", spy)
    run(lr=1e-30, critic_lr=1e-30, epochs=2, temperature=temperature, max_kl=1e9)
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
    run: Run, tmp_path: Path, lines: Callable
) -> None:
    start, first, tried = {}, {}, {}
    for penalty in (0.0, 4.0):
        run(f"p{penalty}", episodes=32, max_new_tokens=5, no_end_penalty=penalty)
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
    run: Run, tmp_path: Path, lines: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also under the adaptive controller: the coefficient that is logged is the one that was used."""
    sums: list[float] = []

    def spy(rewards: Tensor, *args: Any) -> Any:
        sums.append(float(rewards.sum(1).mean()))
        return gae(rewards, *args)

    monkeypatch.setattr(ppo_learner, "gae", spy)
    run(episodes=96, kl_coef=0.5, kl_control="adaptive", kl_target=0.01, kl_horizon=40, lr=5e-3)
    found = lines(tmp_path / "out/metrics.jsonl")[1:]
    assert [line["reward"] for line in found] == pytest.approx(sums, abs=1e-4)
    for line in found:
        assert line["reward"] == pytest.approx(line["score"] - line["kl_coef"] * line["kl"], abs=1e-4)
    assert found[0]["kl_coef"] == 0.5


def test_losses_are_logged_as_means_over_the_minibatches(
    run: Run, tmp_path: Path, lines: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[float, float]] = []
    whole = ppo_learner.optimize

    def spy(*args: Any, **rest: Any) -> Any:
        metrics = whole(*args, **rest)
        told.append((float(metrics["loss"]), float(metrics["grad_norm"])))
        return metrics

    monkeypatch.setattr(ppo_learner, "optimize", spy)
    run(episodes=32, batch=32, minibatch=8)
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


# 8, 12: padding and the split --------------------------------------------------------------------


def test_point_8_padding_adds_nothing_to_gradients_or_metrics(bench: Bench, first_gradients: Callable) -> None:
    """Rubbish where nothing is real, and more of it in further columns."""

    def widen(tensor: Tensor, filler: float) -> Tensor:
        return torch.nn.functional.pad(tensor, (0, 5), value=filler)

    clean = bench.rollout
    spoilt = {
        name: getattr(clean, name).masked_fill(~clean.mask, math.nan) for name in ("logprobs", "ref_logprobs", "values")
    }
    dirty = Rollout(
        ids=widen(clean.ids, 99),
        segments=widen(clean.segments, 0),
        mask=widen(clean.mask, False),
        scores=clean.scores,
        ended=clean.ended,
        prompts=clean.prompts,
        **{name: widen(tensor, math.nan) for name, tensor in spoilt.items()},
    )
    seen, told = [], []
    for one in (clean, dirty):
        seen.append(first_gradients(lambda one=one: bench.learner().learn(0, one), steps=2))
        learner = bench.learner(lr=1e-30, critic_lr=1e-30)
        told.append(learner.learn(0, one))
    for mine, theirs in zip(*seen, strict=True):
        assert_alike(mine, theirs)
    assert told[1] == pytest.approx(told[0], rel=1e-4, abs=1e-6)
    assert told[0]["length"] == pytest.approx(float(clean.mask.sum()) / len(PROMPTS))


@pytest.mark.parametrize("budget", [1, 50, 100])
def test_point_12_gradients_do_not_depend_on_the_groups(bench: Bench, first_gradients: Callable, budget: int) -> None:
    rows = [0, 3, 4, 7, 8, 11, 2]

    def gradients(token_budget: int) -> list[dict[str, Tensor]]:
        return first_gradients(
            lambda: bench.update(bench.learner(corpus=True, token_budget=token_budget), rows), steps=2
        )

    assert len(bench.rollout.groups(rows, 10**6)) == 1
    assert len(bench.rollout.groups(rows, budget)) > 1
    whole, split = gradients(10**6), gradients(budget)
    for mine, theirs in zip(split, whole, strict=True):
        assert_alike(mine, theirs)


def test_the_first_gradients_are_those_by_hand(bench: Bench, first_gradients: Callable) -> None:
    """Mean over the minibatch's tokens of -A grad ln p for the policy, of (V - R) grad V for the critic."""
    rows, rollout = [1, 4, 6, 9], bench.rollout
    policy_grads, critic_grads = first_gradients(lambda: bench.update(bench.learner(), rows), steps=2)
    learner = bench.learner()
    tokens = int(rollout.mask[rows].sum())
    gain, error = torch.tensor(0.0), torch.tensor(0.0)
    for row in rows:
        real = int(rollout.segments[row].sum())
        ids, mask = rollout.ids[row : row + 1, :real], rollout.mask[row, : real - 1]
        logprobs = learner.models.policy(ids)[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
        gain = gain + (logprobs * bench.advantages[row, : real - 1])[mask].sum()
        values = learner.models.critic(ids)[0, :-1]
        error = error + 0.5 * (values - bench.returns[row, : real - 1])[mask].square().sum()
    (-gain / tokens).backward()
    (error / tokens).backward()
    for grads, model in [(policy_grads, learner.models.policy), (critic_grads, learner.models.critic)]:
        right = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        assert_alike(grads, right)


# 14: the critic ----------------------------------------------------------------------------------


def test_point_14_at_step_0_the_critic_is_the_reward_model_bias_included(
    run: Run, toy: Any, rollouts: list[Rollout]
) -> None:
    run(critic_lr=1e-2)
    first, second = rollouts
    model = load_scalar_model(toy.reward)
    assert model.score.bias.item() != 0
    for rollout, same in [(first, True), (second, False)]:
        with torch.no_grad():
            scores = model(rollout.ids, rollout.segments)[:, :-1]
        gap = (rollout.values - scores)[rollout.mask].abs().max().item()
        assert (gap < 1e-4) == same, "equal at every state of a response, until the critic has learnt"


def test_a_critic_with_a_head_of_0_foretells_nothing_at_first_and_then_learns(
    run: Run, toy: Any, rollouts: list[Rollout]
) -> None:
    run(critic_lr=1e-2, critic_head="zero")
    first, second = rollouts
    assert not first.values.any()
    assert second.values[second.mask].abs().max() > 0.01
    scores = load_scalar_model(toy.reward)(first.ids, first.segments)
    assert first.scores.abs().max() > 0.01, "the reward model has kept its head"
    assert scores.abs().max() > 0.01


# 17: PPO-ptx -------------------------------------------------------------------------------------


@pytest.mark.parametrize("coef", [0.5, 27.8])
def test_point_17_the_gradient_is_ppos_plus_coef_times_pretrainings(
    bench: Bench, first_gradients: Callable, coef: float
) -> None:
    rows, step, keys = [0, 2, 5, 9], 3, {"ptx_coef": coef, "ptx_rows": 3}
    (both,) = first_gradients(lambda: bench.update(bench.learner(corpus=True, **keys), rows, step))
    (alone,) = first_gradients(lambda: bench.update(bench.learner(**keys), rows, step))
    model = copy.deepcopy(bench.policy)
    ids, segments = bench.corpus.take(batch_at(step, count=5, batch=3, seed=0, key="ptx"))
    mask = next_token_mask(segments)
    (next_token_loss(model, ids, segments, mask) / mask.sum()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(
            both[name], alone[name] + coef * parameter.grad, rtol=1e-4, atol=1e-5 * max(1.0, coef), msg=name
        )


def test_point_17_it_is_one_optimizer_step(bench: Bench, first_gradients: Callable) -> None:
    first, second = first_gradients(lambda: bench.update(bench.learner(corpus=True), [0, 1]), steps=2)
    assert "embed.weight" in first
    assert "trunk.embed.weight" in second, "the next step is the critic's"


def test_ptx_draws_other_rows_for_each_minibatch(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []

    def spy(step: int, **keys: Any) -> list[int]:
        steps.append(step)
        return batch_at(step, **keys)

    monkeypatch.setattr(ppo_learner, "batch_at", spy)
    learner = bench.learner(corpus=True, epochs=2, minibatch=5)
    for iteration in (0, 1):
        learner.learn(iteration, bench.rollout)
    assert steps == list(range(2 * 2 * 3)), "12 episodes in minibatches of 5 are 3 steps an epoch"


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
    run: Run, tmp_path: Path, lines: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"episodes": 128, "kl_control": "adaptive", "kl_target": 0.05, "kl_horizon": 40, "lr": 3e-3, "kl_coef": 0.3}
    monkeypatch.setattr(module, "train", partial(train, checkpoint_seconds=0.0))
    run("whole", **keys)
    calls = []

    def interrupted(*args: Any, **rest: Any) -> Rollout:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return collect(*args, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(module, "collect", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run("broken", **keys)
    whole = lines(tmp_path / "whole/metrics.jsonl")
    saved = read_state(tmp_path / "broken" / CHECKPOINT)[1]["values"]["kl"]
    assert saved["kind"] == "adaptive"
    assert saved["kl_coef"] == whole[3]["kl_coef"] != 0.3
    run("broken", **keys)
    broken = lines(tmp_path / "broken/metrics.jsonl")
    drop = {"tokens_per_second": None}
    assert [line | drop for line in broken] == [line | drop for line in whole]
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "broken")]
    assert files[0] == files[1]


def test_a_fixed_coefficient_stays(run: Run, tmp_path: Path, lines: Callable) -> None:
    run(kl_coef=0.3)
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


def test_point_20_a_negative_kl_gives_an_alarm(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    monkeypatch.setattr(ppo_learner, "episode_kl", lambda logprobs, *_: torch.full((len(logprobs),), -0.5))
    run(progress=Progress(console=Console(file=said, width=200)))
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


def test_a_snapshot_too_far_away_is_never_kept(run: Run, tmp_path: Path, toy: Any) -> None:
    kept = run(lr=1e-2, max_kl=1e-9)["kept"]
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


def test_the_average_moves_by_its_share(bench: Bench) -> None:
    learner = bench.learner(ema_decay=0.75, lr=1e-2)
    before = [p.detach().clone() for p in learner.models.policy.parameters()]
    assert learner.kept_module is not learner.models.policy
    bench.update(learner, [0, 1, 2])
    for old, new, mean in zip(
        before, learner.models.policy.parameters(), learner.kept_module.parameters(), strict=True
    ):
        assert not torch.equal(old, new)
        torch.testing.assert_close(mean, 0.75 * old + 0.25 * new, rtol=1e-5, atol=1e-7)
    plain = bench.learner()
    assert plain.kept_module is plain.models.policy


def test_reference_and_reward_model_never_move(bench: Bench) -> None:
    learner = bench.learner(corpus=True, lr=1e-2, critic_lr=1e-2)
    frozen = [learner.models.reference, learner.models.reward]
    before = [[p.detach().clone() for p in model.parameters()] for model in frozen]
    for iteration in (0, 1):
        learner.learn(iteration, bench.rollout)
    for model, weights in zip(frozen, before, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(weights, model.parameters(), strict=True))
    with torch.no_grad():
        new, _ = response_logprobs(
            learner.models.policy, bench.rollout.ids, bench.rollout.segments, bench.rollout.mask, 1.0
        )
    assert (new - bench.rollout.logprobs).abs().max() > 1e-2, "the policy did"


# bad input ---------------------------------------------------------------------------------------


def test_long_prompts_are_truncated_and_counted(run: Run, tmp_path: Path) -> None:
    def prompt(i: int) -> dict[str, Any]:
        return {"id": f"p{i}", "user": "u", "messages": [{"role": "user", "content": "ann " * (99 if i < 3 else 1)}]}

    write_jsonl(tmp_path / "long.jsonl", [prompt(i) for i in range(20)])
    said = io.StringIO()
    progress = Progress(console=Console(file=said, width=200))
    assert run(inputs={"prompts": tmp_path / "long.jsonl"}, progress=progress)["truncated"] == 3
    assert "3 of 20 prompts were longer than the context and were truncated" in said.getvalue()


def test_a_reward_model_that_does_not_fit_stops_it_before_anything_is_written(
    run: Run, tmp_path: Path, toy: Any
) -> None:
    shifted = load_scalar_model(toy.reward)
    shifted.score.bias.data += 0.25
    save_model(shifted, tmp_path / "shifted", toy.text)
    with pytest.raises(InputError, match=r"gives demonstrations \+0.250 on average instead of 0"):
        run(inputs={"reward": tmp_path / "shifted"})
    with pytest.raises(InputError, match="is a language model; name a reward model here"):
        run(inputs={"reward": toy.sft})
    assert not (tmp_path / "out").exists()
    # Without demonstrations there is nothing to hold it to.
    run(inputs={"reward": tmp_path / "shifted", "demonstrations": None, "corpus": None, "check": None}, episodes=32)
    assert load_language_model(tmp_path / "out").config == load_language_model(toy.sft).config


# the critic alone, before the policy moves -----------------------------------------------------------


def test_in_its_warmup_the_critic_alone_learns(bench: Bench) -> None:
    learner = bench.learner(critic_warmup=1, minibatch=4, batch=12, episodes=36, kl_control="adaptive")
    before = dict(learner.state.values["kl"])
    policy, critic = (copy.deepcopy(one.state_dict()) for one in (learner.models.policy, learner.models.critic))
    metrics = learner.learn(0, bench.rollout)
    assert all(bool((now == policy[name]).all()) for name, now in learner.models.policy.state_dict().items())
    assert any(bool((now != critic[name]).any()) for name, now in learner.models.critic.state_dict().items())
    assert metrics["lr_scale"] == 0
    assert learner.state.values["kl"] == before, "what cannot move is not steered"
    assert metrics["value_loss"] > 0
    assert "loss" not in metrics
    assert "clip_fraction" not in metrics
    metrics = learner.learn(1, bench.rollout)
    assert metrics["lr_scale"] == 1, "the policy's rate begins with its own first iteration"
    assert any(bool((now != policy[name]).any()) for name, now in learner.models.policy.state_dict().items())


def test_the_policy_is_tried_when_it_has_learnt_and_not_in_the_warmup(
    run: Run, tmp_path: Path, lines: Callable
) -> None:
    run(batch=8, minibatch=8, episodes=48, critic_warmup=2, snapshots=2, max_kl=1e9)
    tried = [line["step"] for line in lines(tmp_path / "out/metrics.jsonl") if "dev_score" in line]
    assert tried == [0, 4, 6]


def test_a_warmup_that_leaves_the_policy_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"critic_warmup 4 leaves the policy none of the 4 iterations"):
        PPOConfig(episodes=1024, critic_warmup=4)
