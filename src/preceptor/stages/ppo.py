"""Stage: optimise the policy against the reward model by PPO with a per-token KL penalty.

InstructGPT section 3.5 and appendix C.4; Ziegler et al. 2019; "The N+ implementation details of
RLHF with PPO". One iteration: the policy answers a batch of prompts, the reward model scores the
answers, the critic says what it had expected, and policy and critic take a few steps.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from preceptor.algorithms.advantages import gae, whiten
from preceptor.algorithms.kl import AdaptiveKL, FixedKL, episode_kl, per_token_rewards
from preceptor.algorithms.policy import explained_variance, merge_stats, policy_loss, value_loss
from preceptor.feedback.schema import Prompt
from preceptor.files import read_jsonl
from preceptor.generation.sampling import SamplingConfig
from preceptor.keyed import numpy_rng
from preceptor.models.checkpoint import save_model
from preceptor.models.compute import COMPUTE, ComputeConfig, compile_blocks
from preceptor.models.lora import NO_LORA, LoRAConfig, fork, own_parameters
from preceptor.models.peft import FOLDER, save_adapters
from preceptor.models.transformer import Transformer
from preceptor.stages.corpus import read_corpus
from preceptor.stages.ppo_models import Models, load_models
from preceptor.stages.ppo_probes import probe
from preceptor.stages.ppo_snapshots import Snapshots
from preceptor.text.conversation import render_prompt
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.batches import batch_at
from preceptor.training.corpus import Corpus, next_token_loss, next_token_mask
from preceptor.training.kept import restore
from preceptor.training.loop import CHECKPOINT, Metrics, TrainingState, optimize, train
from preceptor.training.optimizer import Optimizer, OptimizerConfig, learning_rate_scale
from preceptor.training.progress import Progress, StageProgress
from preceptor.training.rollout import Rollout, collect, response_logprobs, response_values


class PPOConfig(OptimizerConfig):
    """The ``[ppo]`` table."""

    episodes: int = Field(5120, ge=1, description="Responses written and learnt from in the whole stage.")
    batch: int = Field(256, ge=1, description="Episodes of one iteration.")
    minibatch: int = Field(64, ge=1, description="Episodes of one optimizer step.")
    epochs: int = Field(1, ge=1, description="Passes over the episodes of an iteration.")
    temperature: float = Field(
        1.0, gt=0, description="Sampling temperature of the rollouts; the update divides by it too."
    )
    max_new_tokens: int = Field(48, ge=1, description="Longest response in tokens.")
    no_end_penalty: float = Field(1.0, ge=0, description="Taken from the score of a response without an end token.")
    kl_coef: float = Field(0.02, ge=0, description="beta, the price of one nat of KL from the SFT model.")
    kl_control: Literal["fixed", "adaptive"] = Field("fixed", description="Whether beta stays or follows `kl_target`.")
    kl_target: float = Field(6.0, gt=0, description="Nats an episode that the adaptive controller aims at.")
    kl_horizon: int = Field(10_000, ge=1, description="Episodes over which the adaptive controller corrects.")
    gamma: float = Field(1.0, gt=0, le=1, description="Discount.")
    lam: float = Field(0.95, ge=0, le=1, description="lambda of generalised advantage estimation.")
    clip: float = Field(0.2, gt=0, description="The ratio of new to old probability counts within 1 +- this.")
    value_clip: float = Field(0.2, gt=0, description="Values count within +- this of the old ones.")
    critic_lr: float = Field(1e-3, gt=0, description="Peak learning rate of the critic.")
    ptx_coef: float = Field(
        0.3, ge=0, description="gamma of PPO-ptx: weight of the mean corpus loss in the gradient; 0 for none."
    )
    ptx_rows: int = Field(2, ge=1, description="Corpus rows beside each minibatch.")
    ema_decay: float = Field(
        0.0, ge=0, lt=1, description="Moving average of the policy's weights, a step; 0 for none (paper: 0.992)."
    )
    snapshots: int = Field(5, ge=1, description="How often the policy is tried on development prompts and may be kept.")
    snapshot_prompts: int = Field(256, ge=1, description="Development prompts of one trial.")
    max_kl: float = Field(
        20.0, gt=0, description="A snapshot further than this from the SFT model is never kept (nats an episode)."
    )
    lr: float = Field(5e-4, gt=0, description="Peak learning rate of the policy.")
    final_lr: float = Field(0.2, ge=0, le=1, description="Share of the peak learning rate left at the end (cosine).")

    @model_validator(mode="after")
    def _horizon_is_long_enough(self) -> Self:
        if self.kl_control == "adaptive":
            if 0.2 * self.batch >= self.kl_horizon:  # one step down could reach 0, or turn the penalty into a reward
                raise ValueError(f"kl_horizon {self.kl_horizon} is too short for batch {self.batch}: make it longer")
            if self.kl_coef == 0:
                raise ValueError("kl_coef 0 can never be changed by the adaptive controller: start above 0")
        return self


def ppo(
    config: PPOConfig,
    *,
    model: Path,
    reward: Path,
    check: Path | None,
    prompts: Path,
    prompts_dev: Path,
    demonstrations: Path | None,
    corpus: Path | None,
    out: Path,
    seed: int,
    progress: Progress,
    lora: LoRAConfig = NO_LORA,
    compute: ComputeConfig = COMPUTE,
) -> dict[str, Any]:
    """Optimise the language model in ``model`` (which is the KL reference too) and write the kept policy to ``out``.

    ``check`` is a second reward model that is only looked at: the policy that is kept is the
    snapshot it likes best, so that what fools the first one is not chosen. With ``lora`` policy and critic learn
    adapters over shared weights; ``out`` is the merged policy all the same, and ``out/adapter`` has them alone.
    """
    text = Tokenizer.load(model)
    models = load_models(model, reward, check, lora, seed, compute)
    for learning in (models.policy, models.critic.trunk):
        learning.gradient_checkpointing = config.gradient_checkpointing
        compile_blocks(learning, compute)
    context = models.reference.context
    sampling = SamplingConfig(temperature=config.temperature, max_new_tokens=config.max_new_tokens, seed=seed)
    episodes = _Episodes.read(config, models, text, prompts, sampling, seed)
    probe(text, models.policy, models.critic, models.reward, episodes.prompts[:8], sampling, demonstrations)
    rows = read_corpus(corpus, text, context, seed=seed) if corpus is not None and config.ptx_coef > 0 else None
    iterations = max(1, round(config.episodes / config.batch))
    learner = _Learner(config, models, rows, iterations, seed, compute)
    snapshots = _snapshots(config, models, text, prompts_dev, sampling, seed, out)

    with progress.stage("ppo", out) as stage:
        asked, truncated = len(episodes.prompts), episodes.truncated
        if truncated:
            stage.note(f"{truncated} of {asked} prompts were longer than the context and were truncated")
        do_step = partial(_iterate, episodes, learner, snapshots, stage)
        train(learner.state, iterations, do_step, checkpoint=out / CHECKPOINT, stage=stage)
        best = learner.state.values["best"]
        stage.note(
            f"kept the policy of iteration {best['iteration']}: KL {best['kl']:.2f} nats, score {best['score']:+.3f}"
        )
    restore(learner.state, models.policy)
    save_model(models.policy, out, text)
    if lora.rank:
        save_adapters(models.policy, out / FOLDER, lora, model)
    (out / CHECKPOINT).unlink(missing_ok=True)
    played, kept = iterations * config.batch, best["iteration"]
    # Provenance, evaluation and report look for ``kept_step``.
    return {"iterations": iterations, "episodes": played, "truncated": truncated, "kept_step": kept, "kept": best}


def _iterate(
    episodes: "_Episodes", learner: "_Learner", snapshots: Snapshots, stage: StageProgress, iteration: int
) -> Metrics:
    """One iteration: play the episodes, learn from them, and from time to time try the policy out."""
    metrics: Metrics = {}
    if iteration == 0:  # where it starts is step 0: under step 1 it would be taken for what came of the first
        stage.log(0, tokens=None, **snapshots.take(learner.state, learner.kept_module, 0))
    metrics |= learner.learn(iteration, episodes.play(iteration))
    every = max(1, learner.iterations // learner.config.snapshots)
    if (iteration + 1) % every == 0 or iteration + 1 == learner.iterations:
        metrics |= snapshots.take(learner.state, learner.kept_module, iteration + 1)
    if metrics["kl"] < -0.1:
        stage.note(
            f"iteration {iteration}: KL is {metrics['kl']:.2f} nats, below 0: samples do not come from the policy"
        )
    return metrics


@dataclass(frozen=True)
class _Episodes:
    """The prompts, and the models that answer them and judge the answers."""

    config: PPOConfig
    models: Models
    text: Tokenizer
    sampling: SamplingConfig
    seed: int
    prompts: list[list[int]]  # the ids of each
    truncated: int  # how many of them were too long

    @classmethod
    def read(
        cls, config: PPOConfig, models: Models, text: Tokenizer, prompts: Path, sampling: SamplingConfig, seed: int
    ) -> "_Episodes":
        """Render the prompts so that each leaves room for a response."""
        room = sampling.prompt_room(models.reference.context)
        whole = [render_prompt(text, prompt.messages, room) for prompt in read_jsonl(prompts, Prompt)]
        truncated = sum(prompt.truncated for prompt in whole)
        return cls(config, models, text, sampling, seed, [prompt.ids for prompt in whole], truncated)

    def play(self, iteration: int) -> Rollout:
        """The policy answers the prompts of an iteration; reference, critic and reward model say what they think."""
        batch = batch_at(iteration, count=len(self.prompts), batch=self.config.batch, seed=self.seed, key="ppo")
        return collect(
            self.models.policy,
            [self.prompts[i] for i in batch],
            reference=self.models.reference,
            critic=self.models.critic,
            reward_model=self.models.reward,
            tokenizer=self.text,
            sampling=self.sampling,
            keys=[("ppo", iteration, place) for place in range(len(batch))],
            no_end_penalty=self.config.no_end_penalty,
        )


def _snapshots(
    config: PPOConfig, models: Models, text: Tokenizer, prompts: Path, sampling: SamplingConfig, seed: int, out: Path
) -> Snapshots:
    """The trials on development prompts, as the table asks for them."""
    return Snapshots.read(
        text,
        models.reference,
        models.reward,
        models.check,
        prompts,
        count=config.snapshot_prompts,
        sampling=sampling,
        seed=seed,
        max_kl=config.max_kl,
        no_end_penalty=config.no_end_penalty,
        out=out,
    )


@dataclass(frozen=True)
class _Part:
    """A micro-batch: n episodes of a minibatch on the policy's device, with their (n, T) advantages and returns."""

    episodes: Rollout
    advantages: Tensor
    returns: Tensor


class _Learner:
    """Policy, critic and their optimizers: everything that changes from one iteration to the next."""

    def __init__(
        self,
        config: PPOConfig,
        models: Models,
        corpus: Corpus | None,
        iterations: int,
        seed: int,
        compute: ComputeConfig = COMPUTE,
    ):
        self.config, self.models, self.corpus, self.compute = config, models, corpus, compute
        self.iterations, self.seed = iterations, seed
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
        # Returns come from the raw advantages; only the policy sees them whitened.
        advantages, returns = gae(rewards, rollout.values, rollout.mask, config.gamma, config.lam)
        advantages = whiten(advantages, rollout.mask)
        stats: list[dict[str, Tensor]] = []
        losses: dict[str, list[float]] = defaultdict(list)  # one of each a minibatch
        scale = learning_rate_scale(config, iteration, self.iterations)
        count = rollout.ids.shape[0]
        for epoch in range(config.epochs):
            order = numpy_rng(self.seed, "ppo", "minibatches", iteration, epoch).permutation(count).tolist()
            for number, at in enumerate(range(0, count, config.minibatch)):
                rows = order[at : at + config.minibatch]
                step = (iteration * config.epochs + epoch) * -(-count // config.minibatch) + number
                self._update(rollout, advantages, returns, rows, step, scale, stats, losses)
        kl = episode_kl(rollout.logprobs, rollout.ref_logprobs, rollout.mask)
        means = {name: sum(values) / len(values) for name, values in losses.items()}
        metrics = means | self._metrics(rollout, returns, merge_stats(stats), kl) | {"lr_scale": scale}
        self.kl.update(float(kl.mean()), count)  # after the metrics: they tell the coefficient that was used
        self.state.values["kl"] = self.kl.state_dict()
        return metrics

    def _update(
        self,
        rollout: Rollout,
        advantages: Tensor,
        returns: Tensor,
        rows: list[int],
        step: int,
        scale: float,
        stats: list[dict[str, Tensor]],
        losses: dict[str, list[float]],
    ) -> None:
        """One optimizer step of the policy and one of the critic on a minibatch of episodes."""
        parts = self._parts(rollout, advantages, returns, rows)
        padded = sum(part.episodes.segments.numel() for part in parts)
        losses["padding"].append(1 - float(rollout.segments[rows].sum()) / padded)
        tokens = rollout.mask[rows].sum()
        policy_losses = self._policy_losses(parts, tokens, step, stats, losses)
        value_losses = self._value_losses(parts, tokens, stats)
        moved = optimize(self.policy_optimizer, policy_losses, scale=scale, where=f"ppo policy step {step}")
        valued = optimize(self.critic_optimizer, value_losses, scale=scale, where=f"ppo critic step {step}")
        for name, value in (
            ("loss", moved["loss"]),
            ("value_loss", valued["loss"]),
            ("grad_norm", moved["grad_norm"]),
            ("value_grad_norm", valued["grad_norm"]),
        ):
            losses[name].append(float(value))
        if self.config.ema_decay:
            self._average()

    def _parts(self, rollout: Rollout, advantages: Tensor, returns: Tensor, rows: list[int]) -> list[_Part]:
        """A minibatch cut into micro-batches of similar length, each only as wide as its longest episode."""
        device = self.models.policy.device
        parts = []
        for group in rollout.groups(rows, self.compute.token_budget):
            episodes = rollout.take(group).to(device)
            width = episodes.mask.shape[1]
            parts.append(_Part(episodes, advantages[group][:, :width].to(device), returns[group][:, :width].to(device)))
        return parts

    def _policy_losses(
        self,
        parts: list[_Part],
        tokens: Tensor,
        step: int,
        stats: list[dict[str, Tensor]],
        losses: dict[str, list[float]],
    ) -> Iterator[Tensor]:
        """Of each micro-batch, divided by the response tokens of the whole minibatch; then the corpus mix."""
        config, policy = self.config, self.models.policy
        for part in parts:
            old = part.episodes
            logprobs, spread = response_logprobs(policy, old.ids, old.segments, old.mask, config.temperature)
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

    def _value_losses(self, parts: list[_Part], tokens: Tensor, stats: list[dict[str, Tensor]]) -> Iterator[Tensor]:
        """Of each micro-batch, divided by the response tokens of the whole minibatch."""
        for part in parts:
            old = part.episodes
            values = response_values(self.models.critic, old.ids, old.segments, old.mask)
            loss, one = value_loss(values, old.values, part.returns, old.mask, self.config.value_clip)
            stats.append({key: value for key, value in one.items() if key != "tokens"})
            yield loss / tokens

    @torch.no_grad()
    def _average(self) -> None:
        """Move the average of the policy's weights a step towards what they are now."""
        now = own_parameters(self.models.policy)
        for name, mean in own_parameters(self.kept_module).items():
            mean.lerp_(now[name], 1 - self.config.ema_decay)

    def _metrics(self, rollout: Rollout, returns: Tensor, stats: dict[str, Tensor], kl: Tensor) -> Metrics:
        tokens = float(stats["tokens"])
        return {
            "tokens": int(rollout.segments.sum()),
            "score": float(rollout.scores.mean()),
            "kl": float(kl.mean()),
            "kl_coef": self.kl.kl_coef,
            "reward": float((rollout.scores - self.kl.kl_coef * kl).mean()),
            "length": float(rollout.lengths.float().mean()),
            "eos_rate": float(rollout.ended.float().mean()),
            "entropy": float(stats["entropy"]) / tokens,
            "ratio": float(stats["ratio"]) / tokens,
            "ratio_max": float(stats["ratio_max"]),
            "clip_fraction": float(stats["clipped"]) / tokens,
            "approx_kl": float(stats["approx_kl"]) / tokens,
            "value_clip_fraction": float(stats["value_clipped"]) / tokens,
            "explained_variance": float(explained_variance(rollout.values, returns, rollout.mask)),
        }
