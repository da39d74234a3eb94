"""The steps of PPO's policy and critic, held to the list "What makes RLHF work": each test is named for its point."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from preceptor.stages import ppo_learner
from preceptor.training.batches import batch_at
from preceptor.training.corpus import next_token_loss, next_token_mask
from preceptor.training.rollout import Rollout, response_logprobs
from tests.stages.ppo_bench import PROMPTS, Bench


def assert_alike(mine: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert set(mine) == set(theirs)
    for name, grad in mine.items():
        torch.testing.assert_close(grad, theirs[name], rtol=1e-4, atol=1e-6, msg=name)


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
