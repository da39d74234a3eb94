"""What learns in PPO: rewards and advantages of an iteration's episodes, then the steps of policy and critic.

InstructGPT section 3.5 and appendix C.4; Schulman et al. 2017 (arXiv 1707.06347).
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from preceptor.algorithms.advantages import gae, others_surplus, whiten
from preceptor.algorithms.kl import AdaptiveKL, FixedKL, episode_kl, per_token_rewards
from preceptor.algorithms.policy import explained_variance, merge_stats, policy_loss, value_loss
from preceptor.keyed import numpy_rng
from preceptor.models.compute import COMPUTE, ComputeConfig
from preceptor.models.lora import fork, own_parameters
from preceptor.models.transformer import Transformer
from preceptor.stages.ppo_config import PPOConfig
from preceptor.stages.ppo_models import Models
from preceptor.training.batches import Padding, batch_at
from preceptor.training.corpus import Corpus, next_token_loss, next_token_mask
from preceptor.training.loop import Metrics, TrainingState, optimize
from preceptor.training.optimizer import Optimizer, learning_rate_scale
from preceptor.training.rollout import Rollout, response_logprobs, response_values
from preceptor.training.shared_prompts import inputs


@dataclass(frozen=True)
class Part:
    """A micro-batch: n episodes of a minibatch on the policy's device, with their (n, T) advantages and returns."""

    episodes: Rollout
    advantages: Tensor
    returns: Tensor


class Learner:
    """Policy, critic and their optimizers: everything that changes from one iteration to the next."""

    def __init__(
        self,
        config: PPOConfig,
        models: Models,
        corpus: Corpus | None,
        seed: int,
        compute: ComputeConfig = COMPUTE,
    ):
        self.config, self.models, self.corpus, self.compute = config, models, corpus, compute
        self.seed = seed
        self.policy_optimizer = Optimizer(models.policy, config)
        self.critic_optimizer = Optimizer(models.critic, config.model_copy(update={"lr": config.critic_lr}))
        modules: dict[str, torch.nn.Module] = {"policy": models.policy, "critic": models.critic}
        if config.ema_decay:
            modules["average"] = fork(models.policy).requires_grad_(False)
        self.kl: FixedKL | AdaptiveKL = FixedKL(config.kl_coef)
        if config.kl_control == "adaptive":
            self.kl = AdaptiveKL(config.kl_coef, config.kl_target, config.kl_horizon)
        self.state = TrainingState(
            modules,
            {"policy": self.policy_optimizer, "critic": self.critic_optimizer},
            values={"kl": self.kl.state_dict()},
        )

    @property
    def kept_module(self) -> Transformer:
        """What is tried out and saved: the average of the policy if one is kept, else the policy."""
        module = self.state.modules.get("average", self.models.policy)
        assert isinstance(module, Transformer)
        return module

    def learn(self, iteration: int, rollout: Rollout) -> Metrics:
        """Rewards, advantages, then the optimizer steps of one iteration."""
        config = self.config
        self.kl.load_state_dict(self.state.values["kl"])
        rewards = per_token_rewards(
            rollout.scores, rollout.logprobs, rollout.ref_logprobs, rollout.mask, self.kl.kl_coef
        )
        # Returns come from the raw advantages; only the policy sees them measured against the others and whitened.
        values, mask = rollout.values, rollout.mask
        advantages, returns = gae(rewards, values, mask, config.gamma, config.lam)
        if config.responses > 1:
            values = values + others_surplus(rewards, values, mask, config.responses, config.gamma)
            advantages, _ = gae(rewards, values, mask, config.gamma, config.lam)
        advantages = whiten(advantages, mask)
        stats: list[dict[str, Tensor]] = []
        losses: dict[str, list[float]] = defaultdict(list)  # one of each a minibatch
        # Policy and critic each rise to their rate and fall over the iterations that they learn in.
        moved = iteration - config.critic_warmup
        scale = learning_rate_scale(config, moved, config.iterations - config.critic_warmup) if moved >= 0 else 0.0
        critic_scale = learning_rate_scale(config, iteration, config.iterations)
        count = rollout.ids.shape[0]
        for epoch in range(config.epochs):
            order = self._order(count, iteration, epoch)
            for number, at in enumerate(range(0, count, config.minibatch)):
                rows = order[at : at + config.minibatch]
                step = (iteration * config.epochs + epoch) * -(-count // config.minibatch) + number
                parts, tokens = self._parts(rollout, advantages, returns, rows), rollout.mask[rows].sum()
                losses["padding"].append(_padding(parts))
                if moved >= 0:
                    self._update_policy(parts, tokens, step, scale, stats, losses)
                self._update_critic(parts, tokens, step, critic_scale, stats, losses)
        kl = episode_kl(rollout.logprobs, rollout.ref_logprobs, rollout.mask)
        means = {name: sum(values) / len(values) for name, values in losses.items()}
        metrics = means | self._metrics(rollout, returns, merge_stats(stats), kl) | {"lr_scale": scale}
        if moved >= 0:  # before, the divergence is 0 and says nothing of the coefficient
            self.kl.update(float(kl.mean()), count)  # after the metrics: they tell the coefficient that was used
        self.state.values["kl"] = self.kl.state_dict()
        return metrics

    def _order(self, count: int, iteration: int, epoch: int) -> list[int]:
        """The episodes shuffled, those that answer the same prompt together."""
        each = self.config.responses
        prompts = numpy_rng(self.seed, "ppo", "minibatches", iteration, epoch).permutation(count // each).tolist()
        return [prompt * each + k for prompt in prompts for k in range(each)]

    def _update_policy(
        self,
        parts: list[Part],
        tokens: Tensor,
        step: int,
        scale: float,
        stats: list[dict[str, Tensor]],
        losses: dict[str, list[float]],
    ) -> None:
        """One optimizer step of the policy on a minibatch of episodes, with ``tokens`` response tokens in all."""
        terms = self._policy_losses(parts, tokens, step, stats, losses)
        moved = optimize(self.policy_optimizer, terms, scale=scale, where=f"ppo policy step {step}")
        losses["loss"].append(moved["loss"])
        losses["grad_norm"].append(moved["grad_norm"])
        if self.config.ema_decay:
            self._average()

    def _update_critic(
        self,
        parts: list[Part],
        tokens: Tensor,
        step: int,
        scale: float,
        stats: list[dict[str, Tensor]],
        losses: dict[str, list[float]],
    ) -> None:
        """The same of the critic."""
        terms = self._value_losses(parts, tokens, stats)
        moved = optimize(self.critic_optimizer, terms, scale=scale, where=f"ppo critic step {step}")
        losses["value_loss"].append(moved["loss"])
        losses["value_grad_norm"].append(moved["grad_norm"])

    def _parts(self, rollout: Rollout, advantages: Tensor, returns: Tensor, rows: list[int]) -> list[Part]:
        """A minibatch cut into micro-batches of similar length, each only as wide as its longest episode."""
        device = self.models.policy.device
        parts = []
        for group in rollout.groups(rows, self.compute.token_budget):
            episodes = rollout.take(group).to(device)
            width = episodes.mask.shape[1]
            parts.append(Part(episodes, advantages[group][:, :width].to(device), returns[group][:, :width].to(device)))
        return parts

    def _policy_losses(
        self,
        parts: list[Part],
        tokens: Tensor,
        step: int,
        stats: list[dict[str, Tensor]],
        losses: dict[str, list[float]],
    ) -> Iterator[Tensor]:
        """Of each micro-batch, divided by the response tokens of the whole minibatch; then the corpus mix."""
        config, policy = self.config, self.models.policy
        for part in parts:
            old = part.episodes
            logprobs, spread = response_logprobs(
                policy, old.ids, old.segments, old.mask, config.temperature, old.prompts
            )
            loss, one = policy_loss(logprobs, old.logprobs, part.advantages, old.mask, config.clip)
            stats.append(one | {"entropy": spread.sum()})
            yield loss / tokens
        if self.corpus is not None:
            # PPO-ptx: g_PPO + ptx_coef * g_pretrain in one step, each the gradient of a mean over tokens.
            taken = batch_at(step, count=self.corpus.rows, batch=config.ptx_rows, seed=self.seed, key="ptx")
            ids, segments = self.corpus.take(taken)
            chosen = next_token_mask(segments)
            loss = next_token_loss(policy, ids, segments, chosen) / chosen.sum()
            losses["ptx_loss"].append(float(loss.detach()))
            yield config.ptx_coef * loss

    def _value_losses(self, parts: list[Part], tokens: Tensor, stats: list[dict[str, Tensor]]) -> Iterator[Tensor]:
        """Of each micro-batch, divided by the response tokens of the whole minibatch."""
        for part in parts:
            old = part.episodes
            values = response_values(self.models.critic, old.ids, old.segments, old.mask, old.prompts)
            loss, one = value_loss(values, old.values, part.returns, old.mask, self.config.value_clip)
            stats.append({"value_tokens": one["tokens"], "value_clipped": one["value_clipped"]})
            yield loss / tokens

    @torch.no_grad()
    def _average(self) -> None:
        """Move the average of the policy's weights a step towards what they are now."""
        now = own_parameters(self.models.policy)
        for name, mean in own_parameters(self.kept_module).items():
            mean.lerp_(now[name], 1 - self.config.ema_decay)

    def _metrics(self, rollout: Rollout, returns: Tensor, stats: dict[str, Tensor], kl: Tensor) -> Metrics:
        metrics = {
            "tokens": int(rollout.segments.sum()),
            "score": float(rollout.scores.mean()),
            "kl": float(kl.mean()),
            "kl_coef": self.kl.kl_coef,
            "reward": float((rollout.scores - self.kl.kl_coef * kl).mean()),
            "length": float(rollout.lengths.float().mean()),
            "eos_rate": float(rollout.ended.float().mean()),
            "value_clip_fraction": float(stats["value_clipped"]) / float(stats["value_tokens"]),
            "explained_variance": float(explained_variance(rollout.values, returns, rollout.mask)),
        }
        if "tokens" not in stats:  # the critic alone has learnt
            return metrics
        tokens = float(stats["tokens"])
        return metrics | {
            "entropy": float(stats["entropy"]) / tokens,
            "ratio": float(stats["ratio"]) / tokens,
            "ratio_max": float(stats["ratio_max"]),
            "clip_fraction": float(stats["clipped"]) / tokens,
            "approx_kl": float(stats["approx_kl"]) / tokens,
        }


def _padding(parts: list[Part]) -> float:
    """The share of what is computed of a minibatch that is padding."""
    padding = Padding()
    for part in parts:
        old = part.episodes
        padding.count(inputs(old.ids, old.segments, old.mask, old.prompts).segments)
    return padding.share
